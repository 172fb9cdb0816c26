package routingpolicy

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
)

// observe finds the Subject and the state of its variants. What was applied for a Subject that is gone goes too; where the
// reference leads nowhere, or deletionPolicy says so, it stays, without mirrors.
func (r *Reconciler) observe(ctx context.Context, s *scope) outcome {
	name := desired.SubjectName(s.policy)
	if name.Namespace != s.policy.Namespace && !r.AllowCrossNamespace {
		return s.withholdAll(iter8v1alpha1.ReasonCrossNamespaceReference, fmt.Sprintf(
			"spec.subjectRef is in namespace %s, and this operator does not allow references to other namespaces", name.Namespace))
	}
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, name.Namespace) {
		return s.withholdAll(iter8v1alpha1.ReasonCrossNamespaceReference, fmt.Sprintf(
			"spec.subjectRef is in namespace %s, which this operator does not watch", name.Namespace))
	}
	subject := &iter8v1alpha1.Subject{}
	switch err := r.Client.Get(ctx, name, subject); {
	case apierrors.IsNotFound(err) && s.knew(name) && s.orphans() && len(s.policy.Status.Applied) > 0:
		return s.withholdAll(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf("Subject %s does not exist; what was applied for it stays, without mirrors", name.Name))
	case apierrors.IsNotFound(err) && s.knew(name):
		s.withholdAll(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf("Subject %s does not exist; nothing is applied without it", name.Name))
		return withdraw
	case apierrors.IsNotFound(err) && len(s.policy.Status.Applied) > 0:
		return s.withholdAll(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf("Subject %s does not exist; what was applied for another one stays, without mirrors", name.Name))
	case apierrors.IsNotFound(err):
		return s.withholdAll(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf("Subject %s does not exist; nothing is applied without it", name.Name))
	case err != nil:
		s.err = err
		return hold
	}
	s.subject, s.observation = subject, r.Observer.Observe(subject)
	return advance
}

// knew reports whether what is applied was applied for a Subject of this name.
func (s *scope) knew(subject types.NamespacedName) bool {
	known := s.policy.Status.Subject
	return known != nil && known.Namespace == subject.Namespace && known.Name == subject.Name
}

// withholdAll interrupts the reconcile for a reason for which no mirror may stand either.
func (s *scope) withholdAll(reason, message string) outcome {
	s.withheld = append(s.withheld, mirrors.Withholding{Reason: reason, Message: message})
	return s.interrupt(reason, message)
}
