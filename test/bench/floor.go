package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// floorWorkers are as many as the operator has for policies.
const floorWorkers = 8

// floor is the least that has routes follow variants: one informer, on Deployments, and for each change of a
// variant one server-side apply of a route that is written here.
type floor struct {
	deployments listers.DeploymentLister
	routes      dynamic.NamespaceableResourceInterface
	queue       workqueue.TypedInterface[types.NamespacedName]
}

// runFloor is the floor until the input ends or the context does.
func runFloor(ctx context.Context, kubeconfig string, input io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
	}()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.UserAgent = floorAgent
	config.QPS = -1
	routes, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(protobuf)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = floorLabel + "=true"
	}))
	deployments := factory.Apps().V1().Deployments()
	f := &floor{
		deployments: deployments.Lister(),
		routes:      routes.Resource(httpRoutes),
		queue:       workqueue.NewTyped[types.NamespacedName](),
	}
	_, err = deployments.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { f.queue.Add(nameOf(obj.(*appsv1.Deployment))) },
		UpdateFunc: func(before, after any) {
			if b, a := before.(*appsv1.Deployment), after.(*appsv1.Deployment); isAvailable(b) != isAvailable(a) {
				f.queue.Add(nameOf(a))
			}
		},
	})
	if err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	workers, ctx := errgroup.WithContext(ctx)
	for range floorWorkers {
		workers.Go(func() error { return f.work(ctx) })
	}
	<-ctx.Done()
	f.queue.ShutDown()
	return workers.Wait()
}

func nameOf(d *appsv1.Deployment) types.NamespacedName {
	return types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
}

func (f *floor) work(ctx context.Context) error {
	for {
		name, shutdown := f.queue.Get()
		if shutdown {
			return nil
		}
		err := f.apply(ctx, name)
		f.queue.Done(name)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("applying the route for Deployment %s: %w", name, err)
		}
	}
}

// apply writes a route of the same shape as the operator's, with a label and an owner as well.
func (f *floor) apply(ctx context.Context, name types.NamespacedName) error {
	d, err := f.deployments.Deployments(name.Namespace).Get(name.Name)
	if err != nil {
		return err
	}
	app := strings.TrimSuffix(name.Name, secondVariant)
	var mirrors []string
	if isAvailable(d) {
		mirrors = append(mirrors, name.Name)
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": httpRoutes.GroupVersion().String(),
		"kind":       "HTTPRoute",
		"metadata": map[string]any{
			"name": app, "namespace": name.Namespace,
			"labels":          map[string]string{iter8v1alpha1.ManagedByLabel: floorAgent},
			"ownerReferences": []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		"spec": mirrorValues(app, app+firstVariant, mirrors...),
	})
	if err != nil {
		return err
	}
	force := true
	_, err = f.routes.Namespace(name.Namespace).Patch(ctx, app, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: floorAgent, Force: &force})
	return err
}

func isAvailable(d *appsv1.Deployment) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentAvailable {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
