package controller

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// nameTakenError says that an object of the ConfigMap's name isn't its.
type nameTakenError struct {
	kind, name string
}

func (e *nameTakenError) Error() string {
	return fmt.Sprintf("%s %s exists and was not converted from this ConfigMap, so it is left alone; rename or delete one of the two", e.kind, e.name)
}

// mirror makes an object what a ConfigMap was converted to, or takes it away where that isn't anything.
func (r *Reconciler) mirror(ctx context.Context, configMap *corev1.ConfigMap, wanted, existing client.Object) error {
	key := client.ObjectKeyFromObject(configMap)
	err := r.Client.Get(ctx, key, existing)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	found, kind := err == nil, reflect.TypeOf(existing).Elem().Name()
	ours := found && convertedFrom(existing, configMap.Name)
	switch {
	case reflect.ValueOf(wanted).IsNil() && ours:
		return client.IgnoreNotFound(r.Client.Delete(ctx, existing))
	case reflect.ValueOf(wanted).IsNil():
		return nil
	case !found:
		if err := r.Client.Create(ctx, wanted); err != nil {
			return fmt.Errorf("creating %s %s: %w", kind, key, err)
		}
		return nil
	case !ours:
		return &nameTakenError{kind, configMap.Name}
	}

	updated := existing.DeepCopyObject().(client.Object)
	edited := copySpec(updated, wanted)
	replaced := updated.GetAnnotations()[iter8v1alpha1.ConvertedFromUIDAnnotation] != string(configMap.UID)
	updated.SetAnnotations(over(updated.GetAnnotations(), wanted.GetAnnotations()))
	updated.SetLabels(over(updated.GetLabels(), wanted.GetLabels()))
	if equality.Semantic.DeepEqual(updated, existing) {
		return nil
	}
	if err := r.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("updating %s %s: %w", kind, key, err)
	}
	// A ConfigMap that isn't immutable may have changed itself; then its managed fields are newer.
	if edited && !replaced && configMap.Immutable != nil && *configMap.Immutable {
		r.Recorder.Eventf(updated, configMap, corev1.EventTypeWarning, iter8v1alpha1.EventEditPutBack, "Convert",
			"an edit was put back: this %s mirrors ConfigMap %s; edit that, or delete it to go on with this %s alone", kind, configMap.Name, kind)
	}
	return nil
}

// copySpec gives an object the wanted spec, and tells whether it had another.
func copySpec(updated, wanted client.Object) bool {
	switch u := updated.(type) {
	case *iter8v1alpha1.Subject:
		w := wanted.(*iter8v1alpha1.Subject)
		edited := !equality.Semantic.DeepEqual(u.Spec, w.Spec)
		u.Spec = *w.Spec.DeepCopy()
		return edited
	case *iter8v1alpha1.RoutingPolicy:
		w := wanted.(*iter8v1alpha1.RoutingPolicy).DeepCopy()
		if w.Spec.Interval == nil {
			w.Spec.Interval = u.Spec.Interval // the API's default; a built-in chart isn't resolved again
		}
		if w.Spec.DeletionPolicy == "" {
			w.Spec.DeletionPolicy = u.Spec.DeletionPolicy // the API's default, or what a user wants
		}
		edited := !sameSpec(u.Spec, w.Spec)
		if edited {
			u.Spec = w.Spec
		}
		return edited
	}
	return false
}

// sameSpec compares the values as what they mean, not as how they are written.
func sameSpec(a, b iter8v1alpha1.RoutingPolicySpec) bool {
	if !equality.Semantic.DeepEqual(valuesOf(a), valuesOf(b)) {
		return false
	}
	a.Values, b.Values = nil, nil
	return equality.Semantic.DeepEqual(a, b)
}

func over(have, want map[string]string) map[string]string {
	merged := make(map[string]string, len(have)+len(want))
	for k, v := range have {
		merged[k] = v
	}
	for k, v := range want {
		merged[k] = v
	}
	if len(merged) == 0 {
		return nil
	}
	return merged
}

func valuesOf(spec iter8v1alpha1.RoutingPolicySpec) any {
	if spec.Values == nil {
		return nil
	}
	var values any
	if err := utiljson.Unmarshal(spec.Values.Raw, &values); err != nil {
		return string(spec.Values.Raw)
	}
	return values
}
