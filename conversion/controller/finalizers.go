package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Resource names a watched resource.
type Resource struct {
	Kind schema.GroupVersionKind
	Name types.NamespacedName
}

// Finalizers takes the finalizer of Iter8's controller off the resources that it watched: with that controller
// gone, they could never be deleted.
type Finalizers struct {
	Client metadata.Interface
	Mapper meta.RESTMapper

	found chan Resource
}

// rememberedResources is how many resources may wait for the finalizer's removal before their finder does.
const rememberedResources = 1024

// NewFinalizers makes Finalizers.
func NewFinalizers(client metadata.Interface, mapper meta.RESTMapper) *Finalizers {
	return &Finalizers{Client: client, Mapper: mapper, found: make(chan Resource, rememberedResources)}
}

// Found says that a resource carries the finalizer.
func (f *Finalizers) Found(kind schema.GroupVersionKind, name types.NamespacedName) {
	f.found <- Resource{kind, name}
}

// Reconcile removes the finalizer, and only that.
func (f *Finalizers) Reconcile(ctx context.Context, r Resource) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	mapping, err := f.Mapper.RESTMapping(r.Kind.GroupKind(), r.Kind.Version)
	if err != nil {
		return ctrl.Result{}, err
	}
	client := f.Client.Resource(mapping.Resource).Namespace(r.Name.Namespace)
	object, err := client.Get(ctx, r.Name.Name, metav1.GetOptions{})
	if err != nil {
		return ctrl.Result{}, ignoreNotFound(err)
	}
	at := slices.Index(object.Finalizers, iter8v1alpha1.LegacyFinalizer)
	if at < 0 {
		return ctrl.Result{}, nil
	}
	path := fmt.Sprintf("/metadata/finalizers/%d", at)
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": path, "value": iter8v1alpha1.LegacyFinalizer},
		{"op": "remove", "path": path},
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	_, err = client.Patch(ctx, r.Name.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	if err = ignoreNotFound(err); err != nil {
		return ctrl.Result{}, fmt.Errorf("removing finalizer %s from %s %s: %w", iter8v1alpha1.LegacyFinalizer, r.Kind.Kind, r.Name, err)
	}
	return ctrl.Result{}, nil
}

// SetupWithManager has the removal woken by Found.
func (f *Finalizers) SetupWithManager(mgr ctrl.Manager, options controller.TypedOptions[Resource]) error {
	wake := source.TypedFunc[Resource](func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[Resource]) error {
		go func() {
			for {
				select {
				case r := <-f.found:
					queue.Add(r)
				case <-ctx.Done():
					return
				}
			}
		}()
		return nil
	})
	return builder.TypedControllerManagedBy[Resource](mgr).Named("legacy-finalizers").WatchesRawSource(wake).WithOptions(options).Complete(f)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
