package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// graceSeconds is how long a server that is to stop may go on with the requests that it has.
const graceSeconds = 5

// Workload is what the Pods of a variant have in common: their namespace, and APP-VERSION of their labels.
type Workload struct{ Namespace, Name string }

// Pods plays the containers of all Pods with a label app: each Pod that has an address gets a server of its own on it, on every
// port of its containers, and loses it when it is deleted.
type Pods struct {
	cancel   context.CancelFunc
	factory  informers.SharedInformerFactory
	stopping sync.WaitGroup

	mu       sync.Mutex
	running  map[types.UID]*server
	problems []error
	received map[Workload][]Received
	behavior map[Workload]Behavior
	held     map[Workload]int
}

// server is that of one Pod.
type server struct {
	pod, ip  string
	workload Workload
	handler  http.Handler
	ports    []int32
	// open are those that take connections, one for each port, with what they listen on.
	open      []*http.Server
	listeners []net.Listener
}

// StartPods plays the Pods of a cluster until Stop.
func StartPods(config *rest.Config) (*Pods, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("playing Pods: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pods{
		cancel:  cancel,
		factory: informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app" })),
		running: map[types.UID]*server{}, received: map[Workload][]Received{}, behavior: map[Workload]Behavior{}, held: map[Workload]int{},
	}
	_, err = p.factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { p.see(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			p.end(o.(*corev1.Pod).UID)
		},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("playing Pods: %w", err)
	}
	p.factory.Start(ctx.Done())
	return p, nil
}

// see starts the server of a Pod that has an address, and stops that of one which is being deleted.
func (p *Pods) see(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		p.end(pod.UID)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pod.Status.PodIP == "" || p.running[pod.UID] != nil {
		return
	}
	s := &server{pod: pod.Name, ip: pod.Status.PodIP, workload: workloadOf(pod)}
	s.handler = p.handler(s)
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			s.ports = append(s.ports, port.ContainerPort)
		}
	}
	p.running[pod.UID] = s
	if !p.behavior[s.workload].Refuses {
		p.open(s)
	}
}

func workloadOf(pod *corev1.Pod) Workload {
	name := pod.Labels["app"]
	if version := pod.Labels["version"]; version != "" {
		name += "-" + version
	}
	return Workload{pod.Namespace, name}
}

// open has a server listen on its ports, with HTTP/1.1 and h2c.
func (p *Pods) open(s *server) {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	for _, port := range s.ports {
		listener, err := net.Listen("tcp", net.JoinHostPort(s.ip, strconv.Itoa(int(port))))
		if err != nil {
			p.problems = append(p.problems, fmt.Errorf("the server of Pod %s/%s: %w", s.workload.Namespace, s.pod, err))
			continue
		}
		web := &http.Server{Handler: s.handler, Protocols: protocols, ReadHeaderTimeout: time.Minute, ErrorLog: silent}
		s.open, s.listeners = append(s.open, web), append(s.listeners, listener)
		go func() { _ = web.Serve(listener) }() // ends with an error, always
	}
}

// close breaks a server's connections, and takes no more.
func (s *server) close() {
	for _, web := range s.open {
		_ = web.Close()
	}
	s.open, s.listeners = nil, nil
}

// end stops the server of a Pod as a container is stopped: it takes no more requests, and ends those it has.
func (p *Pods) end(pod types.UID) {
	p.mu.Lock()
	s := p.running[pod]
	delete(p.running, pod)
	var open []*http.Server
	if s != nil {
		open = s.open
		for _, listener := range s.listeners { // at once, since the next Pod may have the address
			_ = listener.Close()
		}
	}
	p.mu.Unlock()
	for _, web := range open {
		p.stopping.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), graceSeconds*time.Second)
			defer cancel()
			if web.Shutdown(ctx) != nil {
				_ = web.Close()
			}
		})
	}
}

// Stop ends all servers. It returns what went wrong with any.
func (p *Pods) Stop() error {
	p.cancel()
	p.factory.Shutdown()
	p.mu.Lock()
	for _, s := range p.running {
		s.close()
	}
	problems := errors.Join(p.problems...)
	p.mu.Unlock()
	p.stopping.Wait()
	return problems
}

// Of are the names of a workload's Pods that are served, sorted.
func (p *Pods) Of(w Workload) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := []string{}
	for _, s := range p.running {
		if s.workload == w {
			names = append(names, s.pod)
		}
	}
	slices.Sort(names)
	return names
}

// At returns the name of the workload of the Pod that has an address; the address if there is none.
func (p *Pods) At(ip string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.running {
		if s.ip == ip {
			return s.workload.Name
		}
	}
	return ip
}
