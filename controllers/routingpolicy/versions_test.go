package routingpolicy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// The version in which a world's cluster serves routes is v1.
const droppedVersion = "gateway.networking.k8s.io/v1beta9"

// rendersDropped has the policy render its route in a version that isn't served.
func rendersDropped(p *iter8v1alpha1.RoutingPolicy) {
	p.Spec.Chart, p.Spec.Values = nil, nil
	route := strings.Replace(aRoute("web", strings.Trim(rulesOf(toV2, toV3), "[]")), "gateway.networking.k8s.io/v1", droppedVersion, 1)
	p.Spec.Templates = []iter8v1alpha1.InlineTemplate{{Name: "web", Template: route}}
}

// recordedAsDropped has the inventory list the route in a version that was served once.
func (w *world) recordedAsDropped(t *testing.T) {
	t.Helper()
	policy := w.policy(t)
	policy.Status.Applied[0].APIVersion = droppedVersion
	w.Expect(w.client.Status().Update(t.Context(), policy)).To(Succeed())
}

// asked is a mapper that notes in which versions it is asked for kinds.
type asked struct {
	meta.RESTMapper
	mu       sync.Mutex
	versions []string
}

func (a *asked) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	a.mu.Lock()
	a.versions = append(a.versions, versions...)
	a.mu.Unlock()
	return a.RESTMapper.RESTMapping(kind, versions...)
}

func TestAMirrorIsWithdrawnWhateverVersionIsRenderedOrRecorded(t *testing.T) {
	for name, test := range map[string]struct {
		spoil     func(*iter8v1alpha1.RoutingPolicy)
		dropped   bool
		restarted bool
		ready     string
	}{
		"one is rendered that isn't served":                {rendersDropped, false, false, "False KindNotServed"},
		"one is rendered that isn't served, and a restart": {rendersDropped, false, true, "False KindNotServed"},
		"the recorded one was dropped":                     {brokenTemplate, true, true, "False RenderFailed"},
		"the recorded and the rendered one were dropped":   {rendersDropped, true, true, "False KindNotServed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			mapper := &asked{RESTMapper: w.reconciler.Executor.Mapper}
			w.change(t, test.spoil)
			w.settled(t, test.ready)
			if test.dropped {
				w.recordedAsDropped(t)
			}
			if test.restarted {
				w.startedAgain(t, threeVariants())
				w.observedAs(t, "v2", true)
			}
			w.reconciler.Executor.Mapper = mapper // and not the watches', which ask in the background
			w.goes(t, "v2")
			w.Eventually(func() string {
				_, _ = w.reconcileOnce(t)
				return w.rules("web")
			}).Should(MatchJSON(rulesOf("", toV3)))
			w.settled(t, test.ready)
			w.Expect(w.mirrors(t)).To(ConsistOf(goneV2, mirroredToV3))
			w.written()
			for range 3 {
				_, err := w.reconcileOnce(t)
				w.Expect(err).NotTo(HaveOccurred())
			}
			w.Expect(w.written()).To(BeEmpty())
			w.Expect(slices.Compact(mapper.versions)).To(HaveExactElements("v1"), "a version that isn't known is looked for at the apiserver each time")
		})
	}
}

func TestARouteWhoseRecordedVersionWasDroppedIsDeletedInAnotherOne(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *world){
		"its Subject is deleted": func(t *testing.T, w *world) {
			t.Helper()
			w.Expect(w.client.Delete(t.Context(), threeVariants(), client.GracePeriodSeconds(0))).To(Succeed())
		},
		"nothing of its kind is rendered": func(t *testing.T, w *world) {
			t.Helper()
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
				brokenTemplate(p)
				p.Spec.Templates[0].Template = "# nothing"
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.recordedAsDropped(t)
			w.startedAgain(t, threeVariants())
			leave(t, w)
			w.Eventually(func() []iter8v1alpha1.AppliedObject {
				_, _ = w.reconcileOnce(t)
				return w.policy(t).Status.Applied
			}).Should(BeEmpty())
			w.Expect(w.route("web")).To(BeNil())
			w.Expect(w.written()).To(ContainElement("delete web"))
		})
	}
}

// The inventory lists a route in a version that isn't served, and so does the last answer to which versions are.
func TestARouteIsForgottenOnlyWithItsKind(t *testing.T) {
	unwell := func(d *fake.FakeDiscovery) {
		d.PrependReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("unwell") })
	}
	for name, test := range map[string]struct {
		change  func(*fake.FakeDiscovery)
		message string
	}{
		"the kind is served in no version": {func(*fake.FakeDiscovery) {}, ""},
		"it was not known yet that it is served in another one": {
			func(d *fake.FakeDiscovery) {
				d.Resources = served(map[string][]string{"gateway.networking.k8s.io/v2": {"HTTPRoute"}}).Resources
			},
			"HTTPRoute web can't be looked up: HTTPRoute.gateway.networking.k8s.io is not watched yet in a version that is served (v2)"},
		"it can't be known": {unwell, "asking in which versions HTTPRoute.gateway.networking.k8s.io is served: listing API groups: unwell"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.recordedAsDropped(t)
			d := served(map[string][]string{"apps/v1": {"Deployment"}})
			w.reconciler.Capabilities = NewCapabilities(d, routeKinds, ignore)
			_, err := w.reconciler.Capabilities.Cluster()
			w.Expect(err).NotTo(HaveOccurred())
			test.change(d)
			w.startedAgain(t, threeVariants())
			w.Expect(w.client.Delete(t.Context(), threeVariants(), client.GracePeriodSeconds(0))).To(Succeed())
			w.written()
			if test.message != "" {
				w.Eventually(func() *metav1.Condition {
					_, _ = w.reconcileOnce(t)
					return meta.FindStatusCondition(w.policy(t).Status.Conditions, iter8v1alpha1.ConditionApplied)
				}).Should(HaveValue(And(HaveField("Reason", iter8v1alpha1.ReasonWatchFailed), HaveField("Message", test.message))))
				w.Expect(w.policy(t).Status.Applied).To(HaveExactElements(HaveField("Name", "web")))
				w.Eventually(func() error {
					_, err := w.reconcileOnce(t)
					return err
				}).Should(MatchError(ContainSubstring("HTTPRoute")), "it is tried again")
			} else {
				w.Eventually(func() []iter8v1alpha1.AppliedObject {
					_, _ = w.reconcileOnce(t)
					return w.policy(t).Status.Applied
				}).Should(BeEmpty())
			}
			w.Expect(w.written()).NotTo(ContainElement("delete web"))
		})
	}
}

func TestTheClusterIsAskedSoonerWhereAKindIsNotServedAsPoliciesKnowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		began, asked := time.Now(), []string{}
		d := served(gateway())
		d.PrependReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) {
			asked = append(asked, time.Since(began).String())
			return false, nil, nil
		})
		c := NewCapabilities(d, routeKinds, ignore)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = c.Start(ctx) }()
		synctest.Wait()
		for _, pause := range []time.Duration{20 * time.Second, 2 * time.Second} {
			<-time.After(pause)
			synctest.Wait()
			for range 3 {
				c.Versions(routeKinds[0])
			}
		}
		<-time.After(20 * time.Second)
		cancel()
		synctest.Wait()
		g.Expect(asked).To(Equal([]string{"0s", "21s", "26s"}))
	})
}

func TestAPolicyIsNotifiedOnceItIsKnownInWhichVersionsAKindIsServed(t *testing.T) {
	g := NewWithT(t)
	route, other := routeKinds[0], schema.GroupKind{Group: "example.com", Kind: "HTTPRoute"}
	d := served(gateway())
	told := 0
	c := NewCapabilities(d, routeKinds, ignore)
	c.notify = func(types.NamespacedName) { told++ }
	refresh := func() {
		_, err := c.refresh()
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(c.Versions(route)).To(BeEmpty())
	g.Expect(d.Actions()).To(BeEmpty(), "it doesn't ask")
	refresh()
	g.Expect(told).To(Equal(1))
	g.Expect(c.Versions(route)).To(ConsistOf("v1", "v1beta1"))
	refresh()
	g.Expect(told).To(Equal(1))

	g.Expect(c.Versions(other)).To(BeEmpty(), "no policy may render it, and one may have before")
	refresh()
	g.Expect(told).To(Equal(2))
	g.Expect(c.Versions(other)).To(ConsistOf("v1"))
	g.Expect(c.Cluster()).To(HaveField("APIVersions", gatewayVersions), "charts aren't told")

	d.Resources = append(d.Resources, served(map[string][]string{"example.com/v2": {"HTTPRoute"}}).Resources...)
	g.Expect(c.Versions(other)).To(ConsistOf("v1"))
	g.Expect(c.Ask(other)).To(ConsistOf("v1", "v2"))
	g.Expect(c.Versions(other)).To(ConsistOf("v1", "v2"))
	g.Expect(told).To(Equal(3))
	g.Expect(c.Ask(schema.GroupKind{Group: "example.com", Kind: "Gone"})).To(BeEmpty())
}
