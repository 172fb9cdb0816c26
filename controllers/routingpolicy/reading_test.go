package routingpolicy

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apiReader reads Services of a world's cluster, and all else of what its client has.
type apiReader struct {
	client.Reader
	world *world
}

func (r apiReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	service, ok := object.(*corev1.Service)
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("without an end, a read holds up all others where it isn't answered")
	}
	if !ok {
		return r.Reader.Get(ctx, key, object, options...)
	}
	name := key.Name
	if key.Namespace != "test" {
		name = key.String()
	}
	if err := r.world.noteRead(ctx, name); err != nil {
		return err
	}
	live, err := r.world.cluster.Tracker().Get(services, key.Namespace, key.Name)
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(live.(*unstructured.Unstructured).Object, service)
}

// noteRead notes that a Service is read, and returns the cluster's answer to that.
func (w *world) noteRead(ctx context.Context, name string) error {
	w.mu.Lock()
	w.reads = append(w.reads, name)
	answer := w.answers["read "+name]
	w.mu.Unlock()
	if w.beforeRead != nil {
		w.beforeRead(ctx)
	}
	return answer
}

// read returns the Services that were read since it was asked last.
func (w *world) read() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reads := append([]string{}, w.reads...)
	w.reads = nil
	return reads
}
