package crash

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// refusal has a proxy refuse requests that patch objects of a resource: dry runs, or what is meant.
type refusal struct {
	resource string
	dryRun   bool
	status   int
	over     atomic.Bool
}

func (f *refusal) hook(_ context.Context, r env.Request) env.Verdict {
	if f.over.Load() || r.Verb != "patch" || r.Resource != f.resource || strings.Contains(r.URI, "dryRun=All") != f.dryRun {
		return env.Verdict{}
	}
	return env.Verdict{Refuse: f.status}
}

func (s *scene) readiness(name string) func() (string, error) {
	return func() (string, error) {
		policy, err := s.observed(name)
		if err != nil {
			return "", err
		}
		return readiness(policy.Status.Conditions), nil
	}
}

func TestAVirtualServiceNeverNamesASubsetThatIsNotThere(t *testing.T) {
	for name, test := range map[string]struct {
		refusal *refusal
		ready   string
		// rule and service are what the objects say while it lasts.
		rule, service string
	}{
		"a write of the rule is forbidden":        {&refusal{resource: "destinationrules", status: http.StatusForbidden}, "False Forbidden", "name:v1", "subset:v1"},
		"a write of the rule fails":               {&refusal{resource: "destinationrules", status: http.StatusInternalServerError}, "False ApplyFailed", "name:v1", "subset:v1"},
		"a write of the VirtualService fails":     {&refusal{resource: "virtualservices", status: http.StatusInternalServerError}, "False ApplyFailed", "name:v2] map[labels:map[version:v1] name:v1]", "subset:v1"},
		"a dry run of the VirtualService fails":   {&refusal{resource: "virtualservices", dryRun: true, status: http.StatusInternalServerError}, "False ApplyFailed", "subsets:[map[labels:map[version:v1] name:v1]]", "subset:v1"},
		"a dry run of the rule is an ill request": {&refusal{resource: "destinationrules", dryRun: true, status: http.StatusBadRequest}, "False Rejected", "subsets:[map[labels:map[version:v1] name:v1]]", "subset:v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			refused := test.refusal
			refused.over.Store(true)
			s.start(refused.hook, alone)
			s.create(s.service("app"), s.subject("app", "app"), s.policy("app", virtualService, destinationRule))
			done := state{objects: []string{"DestinationRule/app", "VirtualService/app"}, ready: "True Succeeded"}
			s.Eventually(s.arrived("app", done)).Should(Succeed())

			refused.over.Store(false)
			patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { setTemplates(p, shifted, replaced) })
			s.Eventually(s.readiness("app")).Should(Equal(test.ready))
			s.Consistently(s.specs).Should(And(
				HaveKeyWithValue("DestinationRule/app", ContainSubstring(test.rule)), HaveKeyWithValue("VirtualService/app", ContainSubstring(test.service))))

			refused.over.Store(true)
			patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Interval = &metav1.Duration{Duration: time.Hour} }) // what stalls isn't tried again soon
			s.Eventually(s.arrived("app", done)).Should(Succeed())
			s.Expect(s.specs()).To(And(
				HaveKeyWithValue("DestinationRule/app", ContainSubstring("subsets:[map[labels:map[version:v2] name:v2]]")),
				HaveKeyWithValue("VirtualService/app", ContainSubstring("subset:v2"))))
		})
	}
}

func TestARuleWhoseSubsetIsNamedStays(t *testing.T) {
	s := newScene(t)
	r := s.start(nil, alone)
	s.create(s.service("app"), s.subject("app", "app"), s.policy("app", virtualService, destinationRule))
	both := []string{"DestinationRule/app", "VirtualService/app"}
	s.Eventually(s.arrived("app", state{objects: both, ready: "True Succeeded"})).Should(Succeed())
	patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { setTemplates(p, virtualService) })
	s.Eventually(s.readiness("app")).Should(Equal("False SubsetInUse"))
	writes := func() []env.Request { // an Event comes a while after what it tells of
		return r.proxy.Requests(func(r env.Request) bool { return isWork(r) && r.Resource != "events" })
	}
	before := writes()
	s.Consistently(func() []string { return slices.Sorted(maps.Keys(s.routingObjects())) }).Should(Equal(both))
	s.Expect(writes()).To(Equal(before), "nothing is tried meanwhile")

	patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) {
		setTemplates(p, strings.Replace(virtualService, ", subset: v1", "", 1))
	})
	s.Eventually(s.arrived("app", state{objects: []string{"VirtualService/app"}, ready: "True Succeeded"})).Should(Succeed())
}

// specs returns the specs of the routing objects in a scene as text.
func (s *scene) specs() map[string]string {
	s.Helper()
	specs := map[string]string{}
	for name, o := range s.routingObjects() {
		specs[name] = fmt.Sprint(o.Object["spec"])
	}
	return specs
}
