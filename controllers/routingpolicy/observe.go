package routingpolicy

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// suspend leaves everything as it is.
func (r *Reconciler) suspend(_ context.Context, s *scope) outcome {
	if s.policy.Spec.Suspend {
		return s.interrupt(iter8v1alpha1.ReasonSuspended, "spec.suspend is set: what is applied stays as it is")
	}
	return advance
}

// observe finds the Subject and the state of its variants. Without a Subject, what was applied for it is withdrawn.
func (r *Reconciler) observe(ctx context.Context, s *scope) outcome {
	name := subjectName(s.policy)
	if name.Namespace != s.policy.Namespace && !r.AllowCrossNamespace {
		return s.interrupt(iter8v1alpha1.ReasonCrossNamespaceReference, fmt.Sprintf(
			"spec.subjectRef is in namespace %s, and this operator does not allow references to other namespaces", name.Namespace))
	}
	subject := &iter8v1alpha1.Subject{}
	switch err := r.Client.Get(ctx, name, subject); {
	case apierrors.IsNotFound(err):
		s.interrupt(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf(
			"Subject %s does not exist; nothing is applied without it", s.policy.Spec.SubjectRef.Name))
		return withdraw
	case err != nil:
		s.err = err
		return hold
	}
	s.subject, s.observation = subject, r.Observer.Observe(subject)
	if s.observation.Pending() {
		return hold
	}
	return advance
}

// subjectName returns the Subject that a policy refers to.
func subjectName(policy *iter8v1alpha1.RoutingPolicy) types.NamespacedName {
	namespace := policy.Spec.SubjectRef.Namespace
	if namespace == "" {
		namespace = policy.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: policy.Spec.SubjectRef.Name}
}
