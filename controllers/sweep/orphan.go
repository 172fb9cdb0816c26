package sweep

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/mirrors"
)

// orphan takes the mirrors out of an object that is to stay, and with them what says that this is still to be done: from then on the operator
// has nothing to do with it, and a mirror that comes back is its new owner's.
func (r *Reconciler) orphan(ctx context.Context, o Object, object *markedObject) (ctrl.Result, error) {
	objects, err := r.resource(o.GroupKind, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	live, err := objects.Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return r.wrote(ctx, o, err)
	case apply.MarkOf(live) == nil:
		return ctrl.Result{}, nil // it is done
	case live.GetUID() != object.UID || live.GetResourceVersion() != object.ResourceVersion:
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // what is about to be shown may be another policy's
	}
	patch := append(mirrors.Patch{{Op: "test", Path: "/metadata/resourceVersion", Value: object.ResourceVersion}}, apply.WithoutMirrors(live, true)...)
	data, err := json.Marshal(patch)
	if err != nil {
		return ctrl.Result{}, err
	}
	_, err = objects.Patch(ctx, o.Name, types.JSONPatchType, data, metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	return r.wrote(ctx, o, err)
}
