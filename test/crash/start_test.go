package crash

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// deaf is an apiserver that answers some requests with a status in place of what they ask for, until it is mended.
type deaf struct {
	status int
	// drops: it ends the connection without an answer; hangs: it doesn't answer for as long as it isn't mended.
	drops, hangs bool
	to           func(env.Request) bool
	mended       atomic.Bool
}

func (d *deaf) hook(ctx context.Context, r env.Request) env.Verdict {
	if d.mended.Load() || !d.to(r) {
		return env.Verdict{}
	}
	if d.hangs {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !d.mended.Load() && ctx.Err() == nil {
			<-tick.C
		}
		return env.Verdict{Drop: true}
	}
	return env.Verdict{Refuse: d.status, Drop: d.drops}
}

// mirrored prepares a scene with a Subject app whose variant app is available, and a policy that mirrors to it.
func mirrored(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.create(s.service("app"), s.subject("app", "app"), s.policy("app",
		`{{ if (index .Values.iter8.variants 0).available }}`+"\n"+routeTemplate("web", "app")+`{{ else }}`+"\n"+routeTemplate("web")+`{{ end }}`))
	return s
}

var (
	mirrors    = state{objects: []string{"HTTPRoute/web"}, targets: "app:80", ready: "True Succeeded"}
	mirrorsNot = state{objects: []string{"HTTPRoute/web"}, ready: "True Succeeded"}
)

// conditions polls the policy's condition Ready and whichever of Reconciling and Stalled stands beside it.
func (s *scene) conditions() (string, error) {
	policy, err := s.observed("app")
	if err != nil {
		return "", err
	}
	said := readiness(policy.Status.Conditions)
	for _, other := range []string{iter8v1alpha1.ConditionReconciling, iter8v1alpha1.ConditionStalled} {
		if meta.IsStatusConditionPresentAndEqual(policy.Status.Conditions, other, metav1.ConditionTrue) {
			said += ", " + other
		}
	}
	return said, nil
}

// What the operator can't find out at its start is no reason to touch what stands, nor to say that the policy can't work: it
// waits, tries again, and goes on by itself.
func TestAStartInAClusterThatDoesNotAnswerEverything(t *testing.T) {
	for name, test := range map[string]struct {
		deaf *deaf
		says string
	}{
		"discovery of the routes' kinds fails": {
			&deaf{status: http.StatusServiceUnavailable, to: func(r env.Request) bool {
				return r.Resource == "" && strings.HasPrefix(r.URI, "/apis/gateway.networking.k8s.io/")
			}},
			"False DiscoveryFailed, Reconciling",
		},
		"the variants' kind is forbidden": {
			&deaf{status: http.StatusForbidden, to: func(r env.Request) bool { return r.Resource == "services" }},
			"False VariantStateUnknown, Reconciling",
		},
		"the routes' kind is forbidden": {
			&deaf{status: http.StatusForbidden, to: func(r env.Request) bool { return r.Resource == "httproutes" && !r.IsWrite() }},
			"False WatchFailed, Reconciling",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mirrored(t)
			before := s.start(nil, alone)
			s.Eventually(s.arrived("app", mirrors)).Should(Succeed())
			before.kill()
			route := s.routingObjects()["HTTPRoute/web"]

			operator := s.start(test.deaf.hook, alone)
			s.Eventually(s.conditions).Should(Equal(test.says))
			s.Consistently(s.conditions, "1s").Should(Equal(test.says))
			s.Expect(s.routingObjects()["HTTPRoute/web"]).To(Equal(route), "what stands is not touched")

			test.deaf.mended.Store(true)
			s.Eventually(s.arrived("app", mirrors)).Should(Succeed())
			s.Expect(s.routingObjects()["HTTPRoute/web"]).To(Equal(route))
			for _, write := range operator.writes() {
				s.Expect(write).NotTo(ContainSubstring("httproutes"))
			}
			s.Expect(k8s.Delete(s.Context(), s.service("app"))).To(Succeed())
			s.Eventually(s.arrived("app", mirrorsNot)).Should(Succeed())
		})
	}
}

func TestANamespaceThatCanNotBeReadHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	scenes := []*scene{mirrored(t), mirrored(t)}
	readable, unreadable := scenes[0], scenes[1]
	before := start(t, scenes, nil, alone)
	for _, s := range scenes {
		s.Eventually(s.arrived("app", mirrors)).Should(Succeed())
	}
	before.kill()

	d := &deaf{status: http.StatusForbidden, to: func(r env.Request) bool {
		return r.Resource == "services" && r.Namespace == unreadable.namespace
	}}
	start(t, scenes, d.hook, alone)
	unreadable.Eventually(unreadable.conditions).Should(Equal("False VariantStateUnknown, Reconciling"))
	for _, s := range scenes {
		s.Expect(k8s.Delete(s.Context(), s.service("app"))).To(Succeed())
	}
	readable.Eventually(readable.arrived("app", mirrorsNot)).Should(Succeed(), "its variant's end is seen")
	readable.create(readable.service("app"))
	readable.Eventually(readable.arrived("app", mirrors)).Should(Succeed(), "and its return")
	unreadable.Expect(unreadable.conditions()).To(Equal("False VariantStateUnknown, Reconciling"))
	unreadable.Expect(unreadable.routingObjects()).To(HaveKey("HTTPRoute/web"))

	d.mended.Store(true)
	unreadable.Eventually(unreadable.arrived("app", mirrorsNot)).Should(Succeed())
}
