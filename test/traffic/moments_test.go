package traffic

import (
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// moment is when something was first seen.
type moment chan time.Time

// watching returns the moment at which a watch of objects has told of one that satisfies the condition.
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

// written is when an HTTPRoute that is there already is written with, or without, mirrors where it was not so before.
func (s *scene) written(route string) moment {
	s.Helper()
	first, had := true, false
	return s.watching(&gatewayv1.HTTPRouteList{}, func(event watch.Event) bool {
		r, ok := event.Object.(*gatewayv1.HTTPRoute)
		if !ok || r.Name != route {
			return false
		}
		has := slices.ContainsFunc(r.Spec.Rules, func(rule gatewayv1.HTTPRouteRule) bool {
			return slices.ContainsFunc(rule.Filters, func(f gatewayv1.HTTPRouteFilter) bool { return f.RequestMirror != nil })
		})
		changed := !first && has != had
		first, had = false, has
		return changed
	})
}
