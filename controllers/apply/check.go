package apply

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Check asks the apiserver about writes without making any. It says nothing of what an account lacks rights for, of a kind that isn't
// served, and of a namespace that is being deleted: these are for Apply to tell, which writes nothing then either or needs them no more.
type Check struct {
	executor *Executor
	account  *Account
	// steps are those of the request, changing are its writes where there are several, and others are writes that may come later.
	steps, changing, others []Step
	// answered is false where it isn't known of an object what the apiserver would say.
	answered bool
}

// Check returns what is to be asked about the manifests of a request, and about all as they may be applied later. Of a request that changes
// one object nothing is: the write says the same.
func (x *Executor) Check(request Request, all []*unstructured.Unstructured) (*Check, *Failure) {
	steps, err := x.plan(request)
	if err != nil {
		return nil, &Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err}
	}
	check := &Check{executor: x, account: request.Account, steps: steps, answered: true}
	if changing := changes(steps); len(changing) > 1 {
		check.changing = changing
	}
	if !equality.Semantic.DeepEqual(request.Manifests, all) {
		later := request
		later.Manifests = all
		if steps, err = x.plan(later); err != nil {
			return nil, &Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err}
		}
	}
	for _, step := range steps {
		switch step.Action {
		case Adopt, TakeOver, Wait, Conflict, Refuse:
			check.answered = false
		case Create, Update:
			if step.Stage != Interim && !check.appliedNow(step) {
				check.others = append(check.others, step)
			}
		case Keep, Yield, Delete, Orphan, Release, Hold:
		}
	}
	return check, nil
}

// appliedNow reports whether the manifest of a step is one of the request's.
func (c *Check) appliedNow(step Step) bool {
	return slices.ContainsFunc(c.steps, func(s Step) bool {
		return s.Manifest != nil && s.Stage != Interim && equality.Semantic.DeepEqual(s.Manifest.Object, step.Manifest.Object)
	})
}

// Asks reports whether there is something to ask.
func (c *Check) Asks() bool { return len(c.changing) > 0 || len(c.others) > 0 }

// Answered reports whether it is known of every object what the apiserver would say, where there is nothing to ask.
func (c *Check) Answered() bool { return c.answered }

// Run asks, until the context ends. It returns why the request is not to be applied, since one of its writes would fail or one that comes
// later is not valid; else it reports whether all is answered.
func (c *Check) Run(ctx context.Context) (bool, *Failure) {
	if failed := c.runPlan(ctx); failed != nil {
		return true, failed
	}
	return c.runOthers(ctx)
}

// runPlan returns the first failure of the request's writes.
func (c *Check) runPlan(ctx context.Context) *Failure {
	if len(c.changing) == 0 || c.executor.preflight(ctx, c.account, c.steps) != nil {
		return nil
	}
	for _, step := range c.changing {
		_, err := c.executor.dryRun(ctx, c.account.Client, step)
		if err == nil || isDryRunUnsupported(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			continue
		}
		reason := reasonOf(step, err)
		switch reason {
		case iter8v1alpha1.ReasonKindNotServed:
			continue
		case iter8v1alpha1.ReasonForbidden:
			c.account.denied()
		}
		return &Failure{Reason: reason, Message: describe("nothing is applied, since a dry run of all failed: applying", step, err), Err: err}
	}
	return nil
}

// runOthers returns the first refusal of what is not valid. An account that may not write, a webhook that can't be asked, and an object of
// another owner are for the apply to tell.
func (c *Check) runOthers(ctx context.Context) (bool, *Failure) {
	answered := c.answered
	for _, step := range c.others {
		_, err := c.executor.dryRun(ctx, c.account.Client, step)
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

// changes returns the steps of a plan that write an object, each object once as it is rendered.
func changes(steps []Step) []Step {
	var changing []Step
	for _, step := range steps {
		if step.Stage != Interim && !step.Action.leaves() && len(step.Action.verbs()) > 0 {
			changing = append(changing, step)
		}
	}
	return changing
}

// isDryRunUnsupported recognizes the apiserver's answer where a webhook declares side effects, so that it isn't asked.
func isDryRunUnsupported(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}
