package routingpolicy

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// sending are values whose route sends clients to backends by its first rule, which mirrors to v2, and to web-v1 by its second.
func sending(backends string) string {
	return `{"rules": [{"backendRefs": [` + backends + `], "filters": [` + toV2 + `]}, {"backendRefs": [{"name": "web-v1", "port": 80}], "filters": [` + toV3 + `]}]}`
}

func (w *world) sends(t *testing.T, backends string) {
	t.Helper()
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(sending(backends)) })
}

func (w *world) create(t *testing.T, service *unstructured.Unstructured) {
	t.Helper()
	w.Expect(w.cluster.Tracker().Create(services, service, service.GetNamespace())).To(Succeed())
}

// withSpec returns a Service of another spec.
func withSpec(service *unstructured.Unstructured, spec map[string]any) *unstructured.Unstructured {
	service.Object["spec"] = spec
	return service
}

const missingV9 = "False BackendNotFound: HTTPRoute web can't send clients of rule 0 to web-v9:80: Service web-v9 does not exist"

func TestClientsAreNotSentToWhatIsNotThere(t *testing.T) {
	const can = "False BackendNotFound: HTTPRoute web can't send clients of rule 0 to "
	for name, test := range map[string]struct {
		backends, ready string
		reads           []string
	}{
		"a Service that doesn't exist":         {`{"name": "web-v9", "port": 80}`, missingV9, []string{"web-v9"}},
		"a port that the Service doesn't have": {`{"name": "web-v2", "port": 8080}`, can + "web-v2:8080: Service web-v2 has no port 8080 (it has 80)", []string{"web-v2"}},
		"a port that it only has a name of":    {`{"name": "named", "port": 443}`, can + "named:443: Service named has no port 443 (it has 80, 8443)", []string{"named"}},
		"a port of a Service without any":      {`{"name": "portless", "port": 80}`, can + "portless:80: Service portless has no port 80 (it has none)", []string{"portless"}},
		"a backend beside the one that stands": {`{"name": "web-v1", "port": 80}, {"name": "web-v9", "port": 80}`, missingV9, []string{"web-v9"}},
		"one that gets no requests yet":        {`{"name": "web-v1", "port": 80}, {"name": "web-v9", "port": 80, "weight": 0}`, missingV9, []string{"web-v9"}},
		"several": {`{"name": "web-v9", "port": 80}, {"name": "web-v2", "port": 80}, {"name": "web-v2", "port": 8080}, {"name": "web-v9", "port": 80}`,
			missingV9 + "; HTTPRoute web can't send clients of rule 0 to web-v2:8080: Service web-v2 has no port 8080 (it has 80)", []string{"web-v9", "web-v2"}},
		"its own namespace, by name": {`{"name": "web-v9", "namespace": "test", "port": 80}`,
			can + "test/web-v9:80: Service test/web-v9 does not exist", []string{"web-v9"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.create(t, withSpec(aService("portless"), map[string]any{}))
			w.create(t, withSpec(aService("named"), map[string]any{"ports": []any{
				map[string]any{"name": "http", "port": int64(80)}, map[string]any{"name": "https", "port": int64(8443), "targetPort": int64(443)}}}))
			w.read()
			w.sends(t, test.backends)
			result, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(result).To(Equal(ctrl.Result{RequeueAfter: 30 * time.Second}))
			w.Expect(w.ready(t)).To(Equal(test.ready))
			w.Expect(w.read()).To(Equal(test.reads))
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "what stands stays")
			w.Expect(w.mirrors(t)).To(ContainElement(mirroredToV2))
			w.Expect(w.written()).To(Equal([]string{"status web"}))
			conditions := w.policy(t).Status.Conditions
			w.Expect(meta.FindStatusCondition(conditions, "Applied")).To(And(HaveField("Status", HaveValue(BeEquivalentTo("False"))), HaveField("Reason", "BackendNotFound")))
			w.Expect(meta.IsStatusConditionTrue(conditions, "Reconciling")).To(BeTrue())
			w.Expect(meta.FindStatusCondition(conditions, "Stalled")).To(BeNil())

			_, err = w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.read()).To(BeEmpty())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
		})
	}
}

func TestWhatCanNotBeReadHoldsNothingUp(t *testing.T) {
	v9 := []string{"web-v9"}
	for name, test := range map[string]struct {
		backends string
		spoil    func(*world)
		reads    []string
	}{
		"the operator may not": {`{"name": "web-v9", "port": 80}`, func(w *world) {
			w.answer("read web-v9", apierrors.NewForbidden(services.GroupResource(), "web-v9", errors.New("no")))
		}, v9},
		"the apiserver is unwell": {`{"name": "web-v9", "port": 80}`, func(w *world) {
			w.answer("read web-v9", apierrors.NewInternalError(errors.New("etcd")))
		}, v9},
		"the apiserver doesn't answer": {`{"name": "web-v9", "port": 80}`, func(w *world) {
			w.answer("read web-v9", context.DeadlineExceeded)
			w.beforeRead = func(ctx context.Context) {
				until, _ := ctx.Deadline()
				w.Expect(time.Until(until)).To(And(BeNumerically(">", 0), BeNumerically("<=", 5*time.Second)))
			}
		}, v9},
		"a backend of another kind":      {`{"group": "example.com", "kind": "Bucket", "name": "web-v9"}`, func(*world) {}, nil},
		"a ServiceImport":                {`{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "web-v9", "port": 80}`, func(*world) {}, nil},
		"a backend without a port":       {`{"name": "web-v9"}`, func(*world) {}, nil},
		"a name that no Service has":     {`{"name": "Web_v9", "port": 80}`, func(*world) {}, nil},
		"a Service of another namespace": {`{"name": "web-v9", "namespace": "other", "port": 80}`, func(*world) {}, nil},
		"a name for a host elsewhere": {`{"name": "web-v9", "port": 80}`, func(w *world) {
			w.Expect(w.cluster.Tracker().Create(services, withSpec(aService("web-v9"),
				map[string]any{"type": string(corev1.ServiceTypeExternalName), "externalName": "example.com"}), "test")).To(Succeed())
		}, v9},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.read()
			test.spoil(w)
			w.sends(t, test.backends)
			w.settled(t, "True Succeeded: 1 object applied")
			w.Expect(w.read()).To(HaveExactElements(test.reads))
			w.Expect(w.rules("web")).To(MatchJSON(jsonOf(w.WithT, []byte(sending(test.backends)), "rules")))
		})
	}
}

func TestWhatIsAppliedAlreadyIsNotLookedFor(t *testing.T) {
	w := newMirrored(t)
	w.Expect(w.read()).To(Equal([]string{"web-v1"}), "once, for both rules")
	flip := func() {
		t.Helper()
		w.goes(t, "v2")
		w.settled(t, "True Succeeded: no mirror to web-v2:80")
		w.comes(t, "v2")
		w.settled(t, "True Succeeded: 1 object applied")
		w.Expect(w.read()).To(BeEmpty())
	}
	flip()
	w.startedAgain(t, threeVariants())
	w.afterAStart(t, threeVariants())
	flip()

	w.goes(t, "v1")
	w.settled(t, "True Succeeded: 1 object applied for v1 not available")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV3, toV2) + `}`)
	})
	w.settled(t, "True Succeeded: 1 object applied for v1 not available")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV3, toV2)), "clients are sent to where they were before")
	w.Expect(w.read()).To(BeEmpty())

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(mirrorTo9, toV3) + `}`)
	})
	w.settled(t, "True Succeeded: no mirror to web-v9:80: Service web-v1 does not exist")
	w.Expect(w.read()).To(BeEmpty(), "a mirror is not what answers clients")
}

const mirrorTo9 = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v9", "port": 80}}}`

func TestAPolicyGoesOnOnceTheServiceIsThere(t *testing.T) {
	w := newMirrored(t)
	w.read()
	w.sends(t, `{"name": "web-v9", "port": 80}`)
	w.settled(t, missingV9)
	at := func(after time.Duration, flips ...func(*testing.T, string)) time.Duration {
		t.Helper()
		w.clockAt(now.Add(after))
		for _, flip := range flips {
			flip(t, "v3")
			_, _ = w.reconcileOnce(t)
		}
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		return result.RequeueAfter
	}
	w.Expect(at(29*time.Second, w.goes, w.comes)).To(Equal(time.Second))
	w.Expect(w.read()).To(Equal([]string{"web-v9"}), "whatever happens meanwhile")
	w.Expect(at(30 * time.Second)).To(Equal(30 * time.Second))
	w.Expect(w.read()).To(Equal([]string{"web-v9"}))

	w.answer("read web-v9", apierrors.NewInternalError(errors.New("etcd")))
	w.create(t, aService("web-v9"))
	w.Expect(at(60 * time.Second)).To(Equal(30 * time.Second))
	w.Expect(w.ready(t)).To(Equal(missingV9), "it was missing, and it isn't known that it is there")

	w.answer("read web-v9", nil)
	w.startedAgain(t, threeVariants())
	w.clockAt(now.Add(61 * time.Second))
	w.settled(t, "True Succeeded: 1 object applied for v1 available, v2 available, v3 available")
	w.Expect(w.rules("web")).To(MatchJSON(jsonOf(w.WithT, []byte(sending(`{"name": "web-v9", "port": 80}`)), "rules")))
	w.Expect(w.reconciler.lookups.byPolicy).To(BeEmpty(), "nothing is looked for any more")
}

// A right that is taken away is not what comes back by itself.
func TestAPolicyGoesOnWhereServicesMayNotBeReadAnyMore(t *testing.T) {
	w := newMirrored(t)
	w.sends(t, `{"name": "web-v9", "port": 80}`)
	w.settled(t, missingV9)
	w.answer("read web-v9", apierrors.NewForbidden(services.GroupResource(), "web-v9", errors.New("no")))
	w.clockAt(now.Add(30 * time.Second))
	w.settled(t, "True Succeeded: 1 object applied")
}

// The Service is one of a variant's, so that it is known at once that it has come.
func TestAPolicyGoesOnWithTheVariantThatListsTheService(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.create(t, aService("other"))
	w.sends(t, `{"name": "web-v1", "port": 80}, {"name": "other", "port": 80}`)
	w.observedAs(t, "v1", true)
	w.goes(t, "v1")
	const missing = "False BackendNotFound: HTTPRoute web can't send clients of rule 0 to "
	w.settled(t, missing+"web-v1:80: Service web-v1 does not exist")
	w.Expect(w.read()).To(Equal([]string{"web-v1", "other"}))
	w.Expect(w.rules("web")).To(Equal("null"))

	w.Expect(w.cluster.Tracker().Delete(services, "test", "other")).To(Succeed())
	w.clockAt(now.Add(time.Second))
	w.comes(t, "v1")
	w.settled(t, missing+"other:80: Service other does not exist")
	w.Expect(w.read()).To(Equal([]string{"web-v1", "other"}), "what was there is looked for again before clients are sent to it")
}

func TestAMirrorGoesWhileABackendIsMissing(t *testing.T) {
	withoutV2 := rulesOf("", toV3)
	t.Run("after it was found missing", func(t *testing.T) {
		w := newMirrored(t)
		w.sends(t, `{"name": "web-v9", "port": 80}`)
		w.settled(t, missingV9)
		w.read()
		w.written()
		w.goes(t, "v2")
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.rules("web")).To(MatchJSON(withoutV2))
		w.Expect(w.mirrors(t)).To(ContainElement(goneV2))
		w.Expect(w.ready(t)).To(Equal(missingV9))
		w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}))
		w.Expect(w.read()).To(BeEmpty())
	})
	t.Run("before the apiserver answers", func(t *testing.T) {
		w := newMirrored(t)
		w.goes(t, "v2")
		w.sends(t, `{"name": "web-v9", "port": 80}`)
		w.beforeRead = func(context.Context) { w.Expect(w.rules("web")).To(MatchJSON(withoutV2)) }
		w.settled(t, missingV9)
		w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}))
	})
}

func TestOtherNamespacesAreLookedIntoOnlyWhereTheOperatorActsAndReferencesAreAllowed(t *testing.T) {
	for name, test := range map[string]struct {
		allowed bool
		account string
		reads   []string
	}{
		"allowed":                      {true, "", []string{"other/web"}},
		"not allowed":                  {false, "", nil},
		"allowed, but for its account": {true, "router", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.read()
			w.reconciler.AllowCrossNamespace = test.allowed
			w.refusing(t)
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.ServiceAccountName = test.account })
			w.sends(t, `{"name": "web", "namespace": "other", "port": 80}`)
			_, _ = w.reconcileOnce(t)
			w.Expect(w.read()).To(HaveExactElements(test.reads))
			const missing = "False BackendNotFound: HTTPRoute web can't send clients of rule 0 to other/web:80: Service other/web does not exist"
			if test.reads != nil {
				w.Expect(w.ready(t)).To(Equal(missing))
			} else {
				w.Expect(w.ready(t)).NotTo(ContainSubstring("does not exist"))
			}
		})
	}
}

func TestNothingIsLookedForBy(t *testing.T) {
	for name, change := range map[string]func(*iter8v1alpha1.RoutingPolicy){
		"a suspended policy": func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true },
		"one that mirrors a ConfigMap of Iter8's": func(p *iter8v1alpha1.RoutingPolicy) {
			p.Annotations = map[string]string{iter8v1alpha1.ConvertedFromAnnotation: "web"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.read()
			w.change(t, change)
			w.sends(t, `{"name": "web-v9", "port": 80}`)
			_, _ = w.reconcileOnce(t)
			w.Expect(w.ready(t)).NotTo(HavePrefix("False BackendNotFound"))
			w.Expect(w.read()).To(BeEmpty())
		})
	}
}

func TestWhichHostsOfIstioAreServices(t *testing.T) {
	type want = types.NamespacedName
	for name, test := range map[string]struct {
		host string
		want want
	}{
		"a short name":                        {"web", want{Namespace: "test", Name: "web"}},
		"a name of the namespace":             {"web.test", want{Namespace: "test", Name: "web"}},
		"in full":                             {"web.test.svc.cluster.local", want{Namespace: "test", Name: "web"}},
		"without a domain":                    {"web.test.svc", want{Namespace: "test", Name: "web"}},
		"another namespace, in full":          {"web.other.svc.cluster.local", want{Namespace: "other", Name: "web"}},
		"what may be a namespace or a domain": {"example.com", want{}},
		"an external host":                    {"www.example.com", want{}},
		"a wildcard":                          {"*.test", want{}},
		"a wildcard of a domain":              {"*.example.com", want{}},
		"every host":                          {"*", want{}},
		"an address":                          {"10.0.0.1", want{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, ok := backendOf(routes.Destination{Host: test.host, Port: 80}, "test")
			if test.want.Name == "" {
				g.Expect(ok).To(BeFalse())
				return
			}
			g.Expect(got).To(Equal(servicePort{test.want, 80}))
			_, ok = backendOf(routes.Destination{Host: test.host}, "test")
			g.Expect(ok).To(BeFalse(), "its port isn't known")
		})
	}
}

func TestServicesThatAreNotLookedForAnyMoreAreForgotten(t *testing.T) {
	w := newMirrored(t)
	at := time.Now()
	for _, name := range []string{"web-v7", "web-v8", "web-v9"} {
		at = at.Add(31 * time.Second)
		w.clockAt(at)
		w.sends(t, `{"name": "`+name+`", "port": 80}`)
		w.settled(t, "False BackendNotFound")
	}
	w.Expect(w.ready(t)).To(Equal(missingV9))
	policy := w.policy(t)
	w.Expect(w.reconciler.lookups.of(types.NamespacedName{Namespace: "test", Name: policy.Name})).To(And(HaveLen(1),
		HaveKey(types.NamespacedName{Namespace: "test", Name: "web-v9"})))
}
