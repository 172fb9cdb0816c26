package mesh

import (
	"net/http"
	"slices"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/test/mesh/proxy"
)

// loadPerSecond is how many requests a load sends, evenly, whether they are answered or not.
const loadPerSecond = 200

// load is a steady stream of requests.
type load struct {
	stop    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	answers   map[string]int // by who gave them, or what went wrong
	latencies []time.Duration
}

// load starts to send a request over and over.
func (c *caller) load(request *http.Request) *load {
	l := &load{stop: make(chan struct{}), answers: map[string]int{}}
	l.running.Go(func() {
		ticker := time.NewTicker(time.Second / loadPerSecond)
		defer ticker.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
				l.running.Go(func() { l.one(c, request) })
			}
		}
	})
	return l
}

func (l *load) one(c *caller, request *http.Request) {
	sent := time.Now()
	answer := c.do(request)
	took := time.Since(sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[answer]++
	l.latencies = append(l.latencies, took)
}

// count polls how many requests have been answered.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.latencies)
}

// end stops the load, and returns who answered how often when every request is.
func (l *load) end() map[string]int {
	close(l.stop)
	l.running.Wait()
	return l.answers
}

// median latency of the requests from one number of them to another.
func (l *load) median(from, to int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	sorted := slices.Sorted(slices.Values(l.latencies[from:to]))
	return sorted[len(sorted)/2]
}

// moment is when something was first seen.
type moment chan time.Time

// watching gives the moment at which a watch of objects has told of one that satisfies the condition.
func (s *scene) watching(list client.ObjectList, condition func(watch.Event) bool) moment {
	s.Helper()
	events, err := k8s.Watch(s.Context(), list, client.InNamespace(s.namespace))
	if err != nil {
		s.Fatal(err)
	}
	seen := make(moment, 1)
	go func() {
		defer events.Stop()
		for event := range events.ResultChan() {
			if condition(event) {
				seen <- time.Now()
				return
			}
		}
	}()
	return seen
}

// lastEndpointGone is when a Service's EndpointSlices have no ready endpoint any more.
func (s *scene) lastEndpointGone(service string) moment {
	s.Helper()
	ready := map[string]bool{} // by the slice's name
	return s.watching(&discoveryv1.EndpointSliceList{}, func(event watch.Event) bool {
		slice, ok := event.Object.(*discoveryv1.EndpointSlice)
		if !ok || slice.Labels[discoveryv1.LabelServiceName] != service {
			return false
		}
		delete(ready, slice.Name)
		for _, e := range slice.Endpoints {
			if event.Type != watch.Deleted && e.Conditions.Ready != nil && *e.Conditions.Ready {
				ready[slice.Name] = true
			}
		}
		return len(ready) == 0
	})
}

// mirrorWithdrawn is when a route is written without mirrors.
func (s *scene) mirrorWithdrawn(route string) moment {
	s.Helper()
	return s.watching(&gatewayv1.HTTPRouteList{}, func(event watch.Event) bool {
		r, ok := event.Object.(*gatewayv1.HTTPRoute)
		return ok && r.Name == route && !slices.ContainsFunc(r.Spec.Rules, func(rule gatewayv1.HTTPRouteRule) bool {
			return slices.ContainsFunc(rule.Filters, func(f gatewayv1.HTTPRouteFilter) bool { return f.RequestMirror != nil })
		})
	})
}

// copiesEnd is when the proxy has a configuration by which it copies a request no more.
func (c *caller) copiesEnd(request *http.Request) moment {
	seen := make(moment, 1)
	go func() {
		err := c.proxy.Wait(c.scene.Context(), func(snapshot *proxy.Snapshot) bool {
			route := snapshot.Route(c.routes, request)
			return route != nil && len(route.Mirrors) == 0
		})
		if err == nil {
			seen <- time.Now()
		}
	}()
	return seen
}
