package crash

import (
	"context"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// overWithin is how long after the end of a fault all is as it should be.
const overWithin = "25s"

// fault is something that keeps the operator from its work for a while, and that no policy or Subject is to blame for.
type fault struct {
	// deaf is an apiserver that doesn't answer as it should; nil where the fault is another.
	deaf *deaf
	// begins brings the fault about, and returns what ends it; nil where that is the apiserver.
	begins func(*scene, *replica) (ends func())
	// found: the operator finds the fault when it starts.
	found bool
	// work is what there is to do meanwhile, and done where that leads to.
	work func(*scene)
	done state
	// says is what the policy says meanwhile; empty where no status can be written.
	says string
}

var (
	oneMore = state{objects: []string{"HTTPRoute/web", "HTTPRoute/two"}, targets: "app:80", ready: "True Succeeded"}
	toWrite = func(r env.Request) bool { return r.IsWrite() && r.Resource == "httproutes" }
	dryRuns = func(r env.Request) bool { return r.Resource == "httproutes" && strings.Contains(r.URI, "dryRun=All") }
	reads   = func(resource string) func(env.Request) bool {
		return func(r env.Request) bool { return r.Resource == resource && r.Verb != "patch" && r.Verb != "delete" }
	}
	statuses = func(resource string) func(env.Request) bool {
		return func(r env.Request) bool { return r.Resource == resource && r.Subresource == "status" }
	}
	discovery = func(r env.Request) bool {
		return r.Resource == "" && strings.HasPrefix(r.URI, "/apis/gateway.networking.k8s.io/")
	}
)

// renderAnother has the policy render another route, and renderOther that and another spec of the one that stands.
func renderAnother(s *scene) {
	patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) {
		setTemplates(p, p.Spec.Templates[0].Template, routeTemplate("two"))
	})
}

func renderOther(s *scene) {
	patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) {
		setTemplates(p, strings.ReplaceAll(p.Spec.Templates[0].Template, "spec: {", "spec: {hostnames: [example.com], "), routeTemplate("two"))
	})
}

func nothing(*scene) {}

var faults = map[string]fault{
	"discovery fails":                              {deaf: &deaf{status: http.StatusInternalServerError, to: discovery}, found: true, work: nothing, done: mirrors, says: "False DiscoveryFailed, Reconciling"},
	"discovery is put off":                         {deaf: &deaf{status: http.StatusTooManyRequests, to: discovery}, found: true, work: nothing, done: mirrors, says: "False DiscoveryFailed, Reconciling"},
	"discovery has no answer":                      {deaf: &deaf{hangs: true, to: discovery}, found: true, work: nothing, done: mirrors, says: "False DiscoveryFailed, Reconciling"},
	"routes can't be read":                         {deaf: &deaf{status: http.StatusInternalServerError, to: reads("httproutes")}, found: true, work: nothing, done: mirrors, says: "False WatchFailed, Reconciling"},
	"reads of routes are put off":                  {deaf: &deaf{status: http.StatusTooManyRequests, to: reads("httproutes")}, found: true, work: nothing, done: mirrors, says: "False WatchFailed, Reconciling"},
	"reads of routes have no answer":               {deaf: &deaf{hangs: true, to: reads("httproutes")}, found: true, work: nothing, done: mirrors, says: "False WatchFailed, Reconciling"},
	"variants can't be read":                       {deaf: &deaf{status: http.StatusServiceUnavailable, to: reads("services")}, found: true, work: nothing, done: mirrors, says: "False VariantStateUnknown, Reconciling"},
	"writes of routes fail":                        {deaf: &deaf{status: http.StatusInternalServerError, to: toWrite}, work: renderAnother, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"writes of routes are put off":                 {deaf: &deaf{status: http.StatusTooManyRequests, to: toWrite}, work: renderAnother, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"writes of routes time out":                    {deaf: &deaf{status: http.StatusGatewayTimeout, to: toWrite}, work: renderAnother, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"connections for writes of routes end":         {deaf: &deaf{drops: true, to: toWrite}, work: renderAnother, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"dry runs fail":                                {deaf: &deaf{status: http.StatusInternalServerError, to: dryRuns}, work: renderOther, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"dry runs are put off":                         {deaf: &deaf{status: http.StatusTooManyRequests, to: dryRuns}, work: renderOther, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"statuses of policies can't be written":        {deaf: &deaf{status: http.StatusServiceUnavailable, to: statuses("routingpolicies")}, work: renderAnother, done: oneMore},
	"statuses of policies are put off":             {deaf: &deaf{status: http.StatusTooManyRequests, to: statuses("routingpolicies")}, work: renderAnother, done: oneMore},
	"statuses of Subjects can't be written":        {deaf: &deaf{status: http.StatusInternalServerError, to: statuses("subjects")}, work: withdrawVariant, done: mirrorsNot, says: "True Succeeded"},
	"a quota is used up":                           {begins: useUpQuota, work: renderAnother, done: oneMore, says: "False ApplyFailed, Reconciling"},
	"no worker can be started":                     {begins: denyFiles, work: renderAnother, done: oneMore, says: "False RenderUnavailable, Reconciling"},
	"a route of the policy is being deleted":       {begins: holdDeleted("web", true), work: nothing, done: mirrors, says: "False Terminating, Reconciling"},
	"another's route of the name is being deleted": {begins: holdDeleted("two", false), work: renderAnother, done: oneMore, says: "False Terminating, Reconciling"},
}

// TestAFaultThatPassesStallsNothing has each fault come and go.
func TestAFaultThatPassesStallsNothing(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mirrored(t)
			d := &deaf{}
			if f.deaf != nil {
				d = f.deaf
			}
			d.mended.Store(true)
			operator := s.start(d.hook, alone)
			s.Eventually(s.unstalled(s.arrived("app", mirrors))).Should(Succeed())
			if f.found {
				operator.kill()
			}
			ends := func() { d.mended.Store(true) }
			if f.begins != nil {
				ends = f.begins(s, operator)
			} else {
				d.mended.Store(false)
			}
			if f.found {
				s.start(d.hook, alone)
			}
			f.work(s)
			if f.says != "" {
				s.Eventually(s.says()).Should(Equal(f.says))
			}
			s.Consistently(s.unstalled(func() error { return nil }), "3s").Should(Succeed())
			if f.says != "" {
				s.Expect(s.says()()).To(Equal(f.says))
			}

			ends()
			s.Eventually(s.unstalled(s.arrived("app", f.done)), overWithin).Should(Succeed())
			s.Eventually(s.subjectSays, overWithin).Should(Equal("True Observed"))
		})
	}
}

// says polls what the policy says, and gives up where anything is Stalled.
func (s *scene) says() func() (string, error) {
	return func() (said string, err error) {
		err = s.unstalled(func() error { said, err = s.conditions(); return err })()
		return said, err
	}
}

// unstalled polls something, and gives up where the policy or its Subject is Stalled.
func (s *scene) unstalled(poll func() error) func() error {
	return func() error {
		policy, subject := &iter8v1alpha1.RoutingPolicy{}, &iter8v1alpha1.Subject{}
		if err := k8s.Get(s.Context(), s.key("app"), policy); err != nil {
			return err
		}
		if err := k8s.Get(s.Context(), s.key("app"), subject); err != nil {
			return err
		}
		for what, conditions := range map[string][]metav1.Condition{"the policy": policy.Status.Conditions, "the Subject": subject.Status.Conditions} {
			if c := meta.FindStatusCondition(conditions, iter8v1alpha1.ConditionStalled); c != nil {
				StopTrying(what + " is Stalled: " + c.Reason).Now()
			}
		}
		return poll()
	}
}

// subjectSays polls the condition Ready of the Subject as it is, with what is available as it is.
func (s *scene) subjectSays() (string, error) {
	subject := &iter8v1alpha1.Subject{}
	if err := k8s.Get(s.Context(), s.key("app"), subject); err != nil {
		return "", err
	}
	available := "1/1"
	if err := k8s.Get(s.Context(), s.key("app"), &corev1.Service{}); client.IgnoreNotFound(err) != nil {
		return "", err
	} else if err != nil {
		available = "0/1"
	}
	if subject.Status.Available != available {
		return subject.Status.Available + " in place of " + available, nil
	}
	return readiness(subject.Status.Conditions), nil
}

func withdrawVariant(s *scene) { s.Expect(k8s.Delete(s.Context(), s.service("app"))).To(Succeed()) }

// useUpQuota allows the scene as many routes as it has. No controller counts here what there is.
func useUpQuota(s *scene, _ *replica) func() {
	const routes = corev1.ResourceName("count/httproutes.gateway.networking.k8s.io")
	one := corev1.ResourceList{routes: resource.MustParse("1")}
	quota := &corev1.ResourceQuota{ObjectMeta: s.meta("routes"), Spec: corev1.ResourceQuotaSpec{Hard: one}}
	s.create(quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: one, Used: one}
	s.Expect(k8s.Status().Update(s.Context(), quota)).To(Succeed())
	probe := &gatewayv1.HTTPRoute{ObjectMeta: s.meta("probe")}
	s.Eventually(func() error { return k8s.Create(s.Context(), probe.DeepCopy(), client.DryRunAll) }).Should(MatchError(ContainSubstring("exceeded quota")))
	return func() { s.Expect(k8s.Delete(s.Context(), quota)).To(Succeed()) }
}

// holdDeleted has a route deleted that a finalizer keeps: one that the policy applied, or another's.
func holdDeleted(name string, ours bool) func(*scene, *replica) func() {
	return func(s *scene, _ *replica) func() {
		route := &gatewayv1.HTTPRoute{ObjectMeta: s.meta(name)}
		if !ours {
			s.create(route)
		}
		patch(s, route, func(r *gatewayv1.HTTPRoute) { r.Finalizers = append(r.Finalizers, "example.com/held") })
		s.Expect(k8s.Delete(s.Context(), route)).To(Succeed())
		return func() { patch(s, route, func(r *gatewayv1.HTTPRoute) { r.Finalizers = nil }) }
	}
}

// A Lease that is lost ends the leader, whatever it is doing; what it couldn't do is left to the next one.
func testLostLease(s *scene) {
	d := &deaf{status: http.StatusServiceUnavailable, to: toWrite}
	d.mended.Store(true)
	var lease deaf
	lease.status, lease.to = http.StatusInternalServerError, func(r env.Request) bool { return r.Resource == "leases" }
	lease.mended.Store(true)
	s.create(s.service("app"), s.subject("app", "app"), s.policy("app",
		`{{ if (index .Values.iter8.variants 0).available }}`+"\n"+routeTemplate("web", "app")+`{{ else }}`+"\n"+routeTemplate("web")+`{{ end }}`))
	leader := s.start(func(ctx context.Context, r env.Request) env.Verdict {
		if v := lease.hook(ctx, r); v.Refuse != 0 {
			return v
		}
		return d.hook(ctx, r)
	})
	s.Eventually(s.unstalled(s.arrived("app", mirrors))).Should(Succeed())
	d.mended.Store(false)
	renderAnother(s)
	s.Eventually(s.says()).Should(Equal("False ApplyFailed, Reconciling"))
	leader.ExpectEnd()
	lease.mended.Store(false)
	leader.expectEnd(s)
	s.Expect(s.says()()).To(Equal("False ApplyFailed, Reconciling"))
	s.start(nil)
	s.Eventually(s.unstalled(s.arrived("app", oneMore))).Should(Succeed())
}
