package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// needed returns why a rule that is to be deleted has to stay: something in its namespace, whoever's, names a subset of it that no rule beside it
// defines, as the apiserver says just then. What the policy has deleted and a finalizer holds is still served. It asks only about rules
// that define subsets.
func (x *Executor) needed(ctx context.Context, reader dynamic.Interface, owner Owner, step Step) *Failure {
	if reader == nil || !routes.DefinesSubsets(step.Key.GroupKind) {
		return nil
	}
	rule := step.Existing.Live(step.Watched, types.NamespacedName{Namespace: owner.Namespace, Name: step.Key.Name})
	if rule == nil || len(routes.Subsets(rule, owner.Namespace)) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout)
	defer cancel()
	naming, err := x.list(ctx, reader, routes.NamingSubsets, step.Watched.Version, owner.Namespace)
	if err == nil && len(naming) > 0 {
		var rules []*unstructured.Unstructured
		rules, err = x.list(ctx, reader, step.Key.GroupKind, step.Watched.Version, owner.Namespace)
		rules = slices.DeleteFunc(rules, func(o *unstructured.Unstructured) bool {
			return o.GetName() == rule.GetName() || o.GetDeletionTimestamp() != nil || !routes.DefinesForAll(o)
		})
		if _, why := (routes.Transition{From: rule}).User(naming, rules); err == nil && why != "" {
			return &Failure{Reason: iter8v1alpha1.ReasonSubsetInUse, Message: fmt.Sprintf("%s %s is not deleted, since %s", step.Key.Kind, step.Key.Name, why)}
		}
	}
	if err == nil || meta.IsNoMatchError(err) || isNotServed(err) || errors.Is(err, watch.ErrNotServed) {
		return nil // what isn't served serves no clients
	}
	return &Failure{Reason: iter8v1alpha1.ReasonPruneFailed, Message: describe("finding what needs", step, err), Err: err}
}

// list lists the objects of a kind in a namespace, in a version where the cluster serves the kind in that, else in another one.
func (x *Executor) list(ctx context.Context, reader dynamic.Interface, kind schema.GroupKind, version, namespace string) ([]*unstructured.Unstructured, error) {
	mapping, err := x.Mapper.RESTMapping(kind, version)
	if meta.IsNoMatchError(err) {
		mapping, err = x.Mapper.RESTMapping(kind)
	}
	if err != nil {
		return nil, err
	}
	list, err := reader.Resource(mapping.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}
