package mesh

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// graceSeconds is how long a server that is told to stop may go on with the requests that it has.
const graceSeconds = 5

// fleet plays the containers of all Pods with a label app: each Pod that has an address gets a server of its
// own on it, on every port of its containers, and loses it when it is deleted.
type fleet struct {
	cancel   context.CancelFunc
	factory  informers.SharedInformerFactory
	stopping sync.WaitGroup

	mu       sync.Mutex
	running  map[types.UID]*server
	problems []string
	logs     map[variant][]received
	manners  map[variant]*manners
}

// variant of an app: what the labels app and version of its Pods say.
type variant struct{ namespace, name string }

// server is that of one Pod.
type server struct {
	pod     string
	variant variant
	https   []*http.Server
}

func startFleet(config *rest.Config) (*fleet, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{
		cancel:  cancel,
		factory: informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app" })),
		running: map[types.UID]*server{}, logs: map[variant][]received{}, manners: map[variant]*manners{},
	}
	_, err = f.factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f.see(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { f.see(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			f.end(o.(*corev1.Pod).UID)
		},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	f.factory.Start(ctx.Done())
	return f, nil
}

// see starts the server of a Pod that has an address, and stops that of one which is being deleted.
func (f *fleet) see(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		f.end(pod.UID)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if pod.Status.PodIP == "" || f.running[pod.UID] != nil {
		return
	}
	s := &server{pod: pod.Name, variant: variantOf(pod)}
	f.running[pod.UID] = s
	handler := f.handler(s)
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
			listener, err := net.Listen("tcp", address)
			if err != nil {
				f.problems = append(f.problems, fmt.Sprintf("Pod %s/%s: %v", pod.Namespace, pod.Name, err))
				continue
			}
			web := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: time.Minute, ErrorLog: silent}
			s.https = append(s.https, web)
			go func() { _ = web.Serve(listener) }() // ends with an error, always
		}
	}
}

func variantOf(pod *corev1.Pod) variant {
	name := pod.Labels["app"]
	if version := pod.Labels["version"]; version != "" {
		name += "-" + version
	}
	return variant{pod.Namespace, name}
}

// end stops the server of a Pod as a container is stopped: it takes no more requests, and ends those it has.
func (f *fleet) end(pod types.UID) {
	f.mu.Lock()
	s := f.running[pod]
	delete(f.running, pod)
	f.mu.Unlock()
	if s == nil {
		return
	}
	for _, web := range s.https {
		f.stopping.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), graceSeconds*time.Second)
			defer cancel()
			if web.Shutdown(ctx) != nil {
				_ = web.Close()
			}
		})
	}
}

// stop ends all servers. It returns what went wrong with any.
func (f *fleet) stop() error {
	f.cancel()
	f.factory.Shutdown()
	f.mu.Lock()
	for _, s := range f.running {
		for _, web := range s.https {
			_ = web.Close()
		}
	}
	problems := f.problems
	f.mu.Unlock()
	f.stopping.Wait()
	if len(problems) > 0 {
		return fmt.Errorf("servers of Pods: %v", problems)
	}
	return nil
}

// pods are the names of a variant's Pods that are served, sorted.
func (f *fleet) pods(v variant) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for _, s := range f.running {
		if s.variant == v {
			names = append(names, s.pod)
		}
	}
	slices.Sort(names)
	return names
}

// grpcServer serves the health service for all Pods.
func grpcServer() http.Handler {
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}
