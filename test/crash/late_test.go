package crash

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// network is what lies between a leader and the apiserver: it can hold up a write, and keep requests for the Lease from arriving.
type network struct {
	// resource whose next write is held up, once slow is set.
	resource string
	slow     atomic.Bool
	// leaseless: requests for the Lease are answered with an error.
	leaseless atomic.Bool
	once      sync.Once
	// held is closed when a write is held up, until release is.
	held, release chan struct{}
}

func newNetwork(resource string) *network {
	return &network{resource: resource, held: make(chan struct{}), release: make(chan struct{})}
}

// hook is that of the leader's proxy.
func (n *network) hook(ctx context.Context, r env.Request) env.Verdict {
	switch {
	case r.Resource == "leases" && n.leaseless.Load():
		return env.Verdict{Refuse: 500}
	case r.IsWrite() && r.Resource == n.resource && n.slow.Load():
		n.once.Do(func() { close(n.held) })
		select {
		case <-n.release:
		case <-ctx.Done():
		}
	}
	return env.Verdict{}
}

// deliver lets the write that was held up go on, long after the leader has ended.
func (n *network) deliver(s *scene, leader *replica, write string) {
	s.Helper()
	before := len(leader.writes())
	close(n.release)
	s.Eventually(leader.writes).Should(HaveLen(before + 1))
	s.Expect(leader.writes()[before]).To(Equal(write))
}

// expectEnd waits for the leader's end, by itself, with exit status 1, and because it doesn't lead any more.
func (r *replica) expectEnd(s *scene) {
	s.Helper()
	s.Eventually(r.Done()).Should(BeClosed())
	var exit *exec.ExitError
	s.Expect(errors.As(r.Wait(), &exit)).To(BeTrue())
	s.Expect(exit.ExitCode()).To(Equal(1))
	s.Expect(os.ReadFile(r.LogFile())).To(ContainSubstring("iter8-operator: leader election lost"))
}

// takeDown undoes bringUp.
func (s *scene) takeDown(name string) {
	s.Helper()
	for _, o := range []client.Object{s.service(name), &appsv1.Deployment{ObjectMeta: s.meta(name)}, &discoveryv1.EndpointSlice{ObjectMeta: s.meta(name)}} {
		s.Expect(k8s.Delete(s.Context(), o)).To(Succeed())
	}
}

// A leader that can't renew its Lease ends its process after 10 s, 5 s before another replica may lead, whatever it is doing. What it has sent by then is
// out of its hands: a write may arrive later than those of the next leader. There is nothing in a server-side apply by
// which the apiserver could know, so that for the time of one watch event the route is what the old leader had in mind; the next
// leader takes it for drift, and puts it right.
func testLateRoute(s *scene) {
	s.create(s.service("web"))
	s.app("flips", "v2")
	n := newNetwork("httproutes")
	leader := s.start(n.hook)
	s.Eventually(s.arrivedAt("flips", "")).Should(Succeed())
	standby := s.start(nil)

	n.slow.Store(true)
	s.bringUp("v2")
	s.Eventually(n.held).Should(BeClosed())
	leader.ExpectEnd()
	n.leaseless.Store(true)
	cut := time.Now()
	s.takeDown("v2")
	leader.expectEnd(s)
	ended := time.Now()
	s.Expect(standby.writes()).To(BeEmpty(), "while the leader was there")
	s.Eventually(standby.reads).WithArguments(cut).Should(ContainElement("httproutes"), "it leads")
	s.Eventually(s.arrivedAt("flips", "")).Should(Succeed())
	s.Expect(standby.writes()).NotTo(ContainElement("patch httproutes " + s.namespace + "/flips"))

	n.deliver(s, leader, "patch httproutes "+s.namespace+"/flips")
	route := &gatewayv1.HTTPRoute{ObjectMeta: s.meta("flips")}
	corrected := func(g Gomega) {
		g.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(route), route)).To(Succeed())
		g.Expect(route.Generation).To(BeEquivalentTo(3), "created, mirrored by the old leader, corrected by the new one")
		g.Expect(route.Spec.Rules[0].Filters).To(BeEmpty())
	}
	s.Eventually(corrected).Should(Succeed())
	s.Consistently(corrected, "500ms").Should(Succeed())
	s.Expect(s.arrivedAt("flips", "")()).To(Succeed())
	s.Expect(standby.proxy.Requests(isWork)[0].Time).To(BeTemporally(">", ended))
}

// A leader whose Lease another one has taken goes on for up to 10 s, until it gives up trying to renew it, and ends. A
// status that it wrote before, and that arrives after the next leader's, must not be taken: the inventory in it is old.
func testLateStatus(s *scene) {
	one, two, three := routeTemplate("one"), routeTemplate("two"), routeTemplate("three")
	render := func(templates ...string) {
		patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { setTemplates(p, templates...) })
	}
	renders := func(names ...string) func() error {
		want := state{ready: "True Succeeded"}
		for _, name := range names {
			want.objects = append(want.objects, "HTTPRoute/"+name)
		}
		return s.arrived("app", want)
	}
	s.create(s.service("app"), s.subject("app", "app"), s.policy("app", one))
	n := newNetwork("routingpolicies")
	leader := s.start(n.hook)
	s.Eventually(renders("one")).Should(Succeed())
	s.start(nil)

	n.slow.Store(true)
	render(one, two)
	s.Eventually(n.held).Should(BeClosed())
	leader.ExpectEnd()
	s.takeLease("another")
	leader.expectEnd(s)
	s.Eventually(renders("one", "two")).Should(Succeed())
	render(one, three)
	s.Eventually(renders("one", "three")).Should(Succeed())

	n.deliver(s, leader, "patch routingpolicies/status "+s.namespace+"/app")
	s.Consistently(renders("one", "three"), "1s").Should(Succeed())
	render(one)
	s.Eventually(renders("one")).Should(Succeed(), "what isn't listed isn't deleted")
}

// takeLease has another holder take the Lease, which never renews it.
func (s *scene) takeLease(holder string) {
	s.Helper()
	s.Eventually(func() error { // whoever holds it renews it
		l := s.readLease()
		now := metav1.NewMicroTime(time.Now())
		l.Spec.HolderIdentity, l.Spec.AcquireTime, l.Spec.RenewTime = &holder, &now, &now
		return k8s.Update(s.Context(), l)
	}).Should(Succeed())
}
