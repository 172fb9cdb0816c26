package apply

import (
	"fmt"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// conflict says whose an object is that isn't the policy's, and what to do about it.
func conflict(owner Owner, step Step) *Failure {
	object := step.Key.Kind + " " + step.Key.Name
	switch c := step.Existing.Controller; {
	case c != nil && isOurs(*c) && c.Kind == "RoutingPolicy" && c.Name == owner.Name:
		return &Failure{Reason: iter8v1alpha1.ReasonTerminating, Message: fmt.Sprintf(
			"%s belongs to an earlier policy of this name, with which it is deleted; it is applied again once it is gone", object)}
	case owner.succeeds(step.Existing):
		return &Failure{Reason: iter8v1alpha1.ReasonTerminating, Message: fmt.Sprintf("%s belongs to an earlier policy of this name, and differs from what is "+
			"rendered now; it is deleted once no VirtualService names its subsets, and applied again once it is gone; where one goes on naming them, "+
			"change the rule until it is what is rendered: it is taken over then", object)}
	}
	if step.Existing.Terminating {
		return &Failure{Reason: iter8v1alpha1.ReasonTerminating, Message: fmt.Sprintf(
			"%s, which does not belong to this policy, is being deleted; it is applied once that is gone", object)}
	}
	advice := fmt.Sprintf("rename or delete it, or hand it over with the annotation %s: \"true\"", iter8v1alpha1.AdoptAnnotation)
	if step.Existing.Controller != nil || owner.marksOther(step.Existing) {
		advice = "rename or delete one of the two"
	}
	return &Failure{
		Reason: iter8v1alpha1.ReasonOwnershipConflict,
		Message: fmt.Sprintf("%s exists and does not belong to this policy (%s), so it is left alone; %s",
			object, step.Existing.whose(), advice),
	}
}

// whose says who has an object that isn't the policy's.
func (e *Existing) whose() string {
	switch {
	case e.Controller != nil:
		return fmt.Sprintf("%s %s controls it", e.Controller.Kind, e.Controller.Name)
	case e.Mark != nil:
		return fmt.Sprintf("RoutingPolicy %s applied it", e.Mark.Policy)
	case e.Managers != "":
		return "its fields are managed by " + e.Managers
	default:
		return "no controller owns it"
	}
}
