package apply

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// CheckPlan asks the apiserver about each write of a request that changes more than one object, so that none is made where one of them
// would fail, and returns the first failure; before is called before it asks. It asks nothing where one object changes, of which
// the write says the same. What an account lacks rights for, a kind that isn't served, and a namespace that is being deleted are
// for Apply to tell, which writes nothing then either or needs them no more. Each answer may take as long as that to a write.
func (x *Executor) CheckPlan(ctx context.Context, request Request, before func()) *Failure {
	steps, err := x.plan(request)
	if err != nil {
		return &Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err}
	}
	changing := changes(steps)
	if len(changing) < 2 {
		return nil
	}
	before()
	if x.preflight(ctx, request.Account, steps) != nil {
		return nil
	}
	for _, step := range changing {
		err := x.boundedDryRun(ctx, request.Account.Client, step)
		if err == nil || isDryRunUnsupported(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			continue
		}
		reason := reasonOf(step, err)
		switch reason {
		case iter8v1alpha1.ReasonKindNotServed:
			continue
		case iter8v1alpha1.ReasonForbidden:
			request.Account.denied()
		}
		return &Failure{Reason: reason, Message: describe("nothing is applied, since a dry run of all failed: applying", step, err), Err: err}
	}
	return nil
}

// changes returns the steps of a plan that write an object, each object once as it is rendered.
func changes(steps []Step) []Step {
	var changing []Step
	for _, step := range steps {
		if step.Stage != Interim && step.Action != Delete && len(step.Action.verbs()) > 0 {
			changing = append(changing, step)
		}
	}
	return changing
}

func (x *Executor) boundedDryRun(ctx context.Context, client dynamic.Interface, step Step) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return x.dryRun(ctx, client, step)
}

// isDryRunUnsupported recognizes the apiserver's answer where a webhook declares side effects, so that it isn't asked.
func isDryRunUnsupported(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

// Check asks the apiserver whether it would take the manifests of a request, without applying any, but for those that are about to
// be applied anyway; before is called each time before it asks. It reports whether that is answered, and returns the first refusal of what is not valid. An account that may not write, a
// webhook that can't be asked, and an object of another owner are for the apply to tell.
func (x *Executor) Check(ctx context.Context, request Request, applied []*unstructured.Unstructured, before func()) (bool, *Failure) {
	steps, err := x.plan(request)
	if err != nil {
		return true, &Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err}
	}
	answered := true
	for _, step := range steps {
		switch step.Action {
		case Adopt, TakeOver, Wait, Conflict:
			answered = false
		case Create, Update, Keep, Yield, Delete, Release, Hold:
		}
		if step.Action != Create && step.Action != Update || step.Stage == Interim || slices.ContainsFunc(applied, func(m *unstructured.Unstructured) bool {
			return equality.Semantic.DeepEqual(withOwner(request.Owner, m).Object, step.Manifest.Object)
		}) {
			continue
		}
		before()
		err := x.dryRun(ctx, request.Account.Client, step)
		if err == nil || isDryRunUnsupported(err) {
			continue
		}
		switch reason := reasonOf(step, err); reason {
		case iter8v1alpha1.ReasonRejected, iter8v1alpha1.ReasonUnsupportedByCluster:
			return true, &Failure{Reason: reason, Message: describe("with every variant available, applying", step, err), Err: err}
		case iter8v1alpha1.ReasonApplyFailed, iter8v1alpha1.ReasonForbidden, iter8v1alpha1.ReasonKindNotServed:
			answered = false
		}
	}
	return answered, nil
}
