package watch

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// unreadable are the outages of all Sets of the process.
var unreadable = &outages{watches: map[place]int{}}

func init() {
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "iter8_unreadable_kinds",
		Help: "How many of the kinds that are watched can't be read now, counted once for each namespace where namespaces are watched one by one.",
	}, unreadable.count))
}

// outages are the kinds that can't be read now, each in a namespace.
type outages struct {
	mu sync.Mutex
	// watches is how many can't read it: several Sets may watch the same.
	watches map[place]int
}

type place struct {
	kind      schema.GroupVersionKind
	namespace string
}

func (o *outages) count() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return float64(len(o.watches))
}

// begin returns the namespaces in which a kind could be read until now.
func (o *outages) begin(kind schema.GroupVersionKind, namespaces []string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first []string
	for _, namespace := range namespaces {
		p := place{kind, namespace}
		o.watches[p]++
		if o.watches[p] == 1 {
			first = append(first, displayed(namespace))
		}
	}
	return first
}

// end returns the namespaces in which no watch fails to read a kind any more.
func (o *outages) end(kind schema.GroupVersionKind, namespaces []string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var last []string
	for _, namespace := range namespaces {
		p := place{kind, namespace}
		o.watches[p]--
		if o.watches[p] == 0 {
			delete(o.watches, p)
			last = append(last, displayed(namespace))
		}
	}
	return last
}

// displayed returns a namespace as the log has it.
func displayed(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "*"
	}
	return namespace
}

// report logs and counts which of the namespaces can't be read any more, and which can again: not before they have been read.
func (s *Set[T]) report(w *kindWatch, namespaces []string, states []State) {
	var lost, found []string
	var err error
	for i, namespace := range namespaces {
		_, was := w.unreadable[namespace]
		switch state := states[i]; {
		case state.Err != nil && !was:
			w.unreadable[namespace] = struct{}{}
			lost, err = append(lost, namespace), state.Err
		case state.Err == nil && state.Synced && was:
			delete(w.unreadable, namespace)
			found = append(found, namespace)
		}
	}
	kind := w.target.GroupVersionKind
	if lost = s.outages.begin(kind, lost); len(lost) > 0 {
		log.FromContext(s.ctx).Info("Kind can't be read", "kind", kind.String(), "namespaces", lost, "reason", err.Error())
	}
	if found = s.outages.end(kind, found); len(found) > 0 {
		log.FromContext(s.ctx).Info("Kind can be read again", "kind", kind.String(), "namespaces", found)
	}
}

// end stops a watch, of which nothing is told any more.
func (s *Set[T]) end(w *kindWatch) {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for namespace := range w.unreadable {
		s.outages.end(w.target.GroupVersionKind, []string{namespace})
	}
}
