package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const (
	selectsV2 = "ParentSelectsVariant Service/web v2: Service web, whose clients HTTPRoute web routes, selects Pods of variant v2 too: requests that don't go by the route get there, " +
		"and all do once it is gone; have the Service select only what is to answer clients"
	announcedV2 = "Warning ParentSelectsVariant Service web, whose clients HTTPRoute web routes, selects Pods of variant v2 too: requests that don't go by the route get there, " +
		"and all do once it is gone; have the Service select only what is to answer clients"
)

// attached is a policy whose route attaches to the Service web, answers by v1, mirrors to v2 in one rule and to v3 in another.
func attached(triggers ...string) *iter8v1alpha1.RoutingPolicy {
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	if len(triggers) > 0 {
		policy.Spec.Trigger = &iter8v1alpha1.Trigger{Variants: triggers}
	}
	return policy
}

// selecting returns a Service with a selector of the labels app and version; "" leaves the latter out.
func selecting(name, version string) *unstructured.Unstructured {
	selector := map[string]any{"app": "web"}
	if version != "" {
		selector["version"] = version
	}
	return withSpec(aService(name), map[string]any{"selector": selector, "ports": []any{map[string]any{"name": "http", "port": int64(80)}}})
}

// newAttached is a world of Services without endpoints: so that variants are available, these are Deployments with Pods of their version.
func newAttached(t *testing.T, policy *iter8v1alpha1.RoutingPolicy, parent *unstructured.Unstructured) *world {
	t.Helper()
	subject := aSubject()
	for _, name := range []string{"v1", "v2", "v3"} {
		subject.Spec.Variants = append(subject.Spec.Variants, iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{
			{APIVersion: "v1", Kind: "Service", Name: "web-" + name}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "web-" + name}}})
	}
	w := newWorld(t, subject, policy)
	w.clockAt(now.Time)
	for _, name := range []string{"v1", "v2", "v3"} {
		w.create(t, aService("web-"+name))
		w.deploys(t, name)
	}
	if parent != nil {
		w.create(t, parent)
	}
	w.subjects.OnAdd(subject, false)
	return w
}

// deploys has the Deployment of a variant created.
func (w *world) deploys(t *testing.T, name string) {
	t.Helper()
	deployment := aDeployment("True")
	deployment.SetName("web-" + name)
	w.Expect(unstructured.SetNestedStringMap(deployment.Object, map[string]string{"app": "web", "version": name}, "spec", "template", "metadata", "labels")).To(Succeed())
	w.Expect(w.cluster.Tracker().Create(deployments, deployment, "test")).To(Succeed())
}

// warnings returns those of the status, each as "reason object variant: message".
func (w *world) warnings(t *testing.T) []string {
	t.Helper()
	var texts []string
	for _, warning := range w.policy(t).Status.Warnings {
		texts = append(texts, warning.Reason+" "+warning.Object+" "+warning.Variant+": "+warning.Message)
	}
	return texts
}

const allApplied = "True Succeeded: 1 object applied"

func TestItIsWarnedOfAParentThatSelectsAVariantThatIsNotToAnswer(t *testing.T) {
	too := func(variant string) any {
		return HavePrefix("ParentSelectsVariant Service/web " + variant + ": Service web, whose clients HTTPRoute web routes, selects Pods of variant " + variant + " too")
	}
	external := selecting("web", "")
	external.Object["spec"].(map[string]any)["type"] = "ExternalName"
	answeredByBoth := attached("v2", "v3")
	answeredByBoth.Spec.Values = valuesOf(`{"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [{"backendRefs": [{"name": "web-v1", "port": 80}, {"name": "web-v2", "port": 80, "weight": 1}], "filters": [` + toV3 + `]}]}`)
	gateway := attached("v2")
	gateway.Spec.Values = valuesOf(`{"parentRefs": [{"group": "example.com", "kind": "Service", "name": "web"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	elsewhere := attached("v2")
	elsewhere.Spec.Values = valuesOf(`{"parentRefs": [{"group": "", "kind": "Service", "name": "web", "namespace": "other"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	for name, test := range map[string]struct {
		policy *iter8v1alpha1.RoutingPolicy
		parent *unstructured.Unstructured
		want   []any
		reads  int
	}{
		"it selects all": {attached("v2"), selecting("web", ""), []any{Equal(selectsV2)}, 1},
		"it selects all, and two variants trigger":       {attached("v2", "v3"), selecting("web", ""), []any{too("v2"), too("v3")}, 1},
		"it selects all, and every variant triggers":     {attached(), selecting("web", ""), []any{too("v2"), too("v3")}, 1},
		"it selects the one that answers only":           {attached("v2"), selecting("web", "v1"), nil, 1},
		"it selects one that doesn't trigger":            {attached("v2"), selecting("web", "v3"), nil, 1},
		"it selects what is to answer clients, too":      {answeredByBoth, selecting("web", "v2"), nil, 1},
		"it has no selector":                             {attached("v2"), withSpec(aService("web"), map[string]any{}), nil, 1},
		"it is a name for a host elsewhere":              {attached("v2"), external, nil, 1},
		"it doesn't exist":                               {attached("v2"), nil, nil, 1},
		"it isn't a Service":                             {gateway, selecting("web", ""), nil, 0},
		"it is in another namespace, which is another's": {elsewhere, selecting("web", ""), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAttached(t, test.policy, test.parent)
			w.settled(t, allApplied)
			w.Expect(w.warnings(t)).To(HaveExactElements(test.want...))
			w.Expect(w.ready(t)).To(HavePrefix("True"), "the policy is Ready all the same")
			reads := 0
			for _, read := range w.read() {
				if read == "web" {
					reads++
				}
			}
			w.Expect(reads).To(Equal(test.reads))
			w.written()
			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
			w.Expect(w.read()).To(BeEmpty())
		})
	}
}

func TestAFlipReadsNoParentAndKeepsTheWarning(t *testing.T) {
	w := newAttached(t, attached("v2"), selecting("web", ""))
	w.settled(t, allApplied)
	w.Expect(w.events).To(Receive(Equal(announcedV2)))
	w.read()
	flip := func() {
		t.Helper()
		w.Expect(w.cluster.Tracker().Delete(deployments, "test", "web-v2")).To(Succeed())
		w.settled(t, "True Succeeded: no mirror to web-v2:80: Deployment web-v2 does not exist")
		w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2), "it isn't known which labels its Pods would have")
		w.deploys(t, "v2")
		w.settled(t, allApplied)
		w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2))
		w.Expect(w.read()).To(BeEmpty())
	}
	flip()
	w.Expect(w.events).To(Receive(HavePrefix("Normal MirrorsChanged")))
	w.Expect(w.events).To(Receive(HavePrefix("Normal MirrorsChanged")))
	w.Expect(w.events).NotTo(Receive(), "it is announced once")
}

// Which Services are looked at may go by which variants are available.
func TestWhatIsReadForOneStateOfTheVariantsIsKeptForTheNext(t *testing.T) {
	g := NewWithT(t)
	web, v2, v3 := nameIn("web"), nameIn("web-v2"), nameIn("web-v3")
	known := &parentLookup{services: []types.NamespacedName{web, v2}, selectors: map[types.NamespacedName]map[string]string{web: {"app": "web"}, v2: {"version": "v2"}}}
	g.Expect(known.lacking([]types.NamespacedName{web, v3})).To(HaveExactElements(v3))
	known.add(&parentLookup{services: []types.NamespacedName{v3}, selectors: map[types.NamespacedName]map[string]string{}, again: true})
	g.Expect(known.lacking([]types.NamespacedName{web, v2, v3})).To(BeEmpty())
	g.Expect(known.selectors).To(Equal(map[types.NamespacedName]map[string]string{web: {"app": "web"}, v2: {"version": "v2"}}))
	g.Expect(known.again).To(BeTrue(), "one could not be read")
}

func TestAWarningEndsOnceTheServiceSelectsSomethingElse(t *testing.T) {
	w := newAttached(t, attached("v2"), selecting("web", ""))
	w.settled(t, allApplied)
	w.read()
	at := func(after time.Duration) time.Duration {
		t.Helper()
		w.clockAt(now.Add(after))
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		return result.RequeueAfter
	}
	w.Expect(w.cluster.Tracker().Update(services, selecting("web", "v1"), "test")).To(Succeed())
	w.Expect(at(9 * time.Minute)).To(Equal(time.Minute))
	w.Expect(w.read()).To(BeEmpty())

	w.answer("read web", apierrors.NewInternalError(errors.New("etcd")))
	w.Expect(at(10 * time.Minute)).To(Equal(10 * time.Minute))
	w.Expect(w.read()).To(Equal([]string{"web"}))
	w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2), "as it was last known")

	w.answer("read web", nil)
	w.Expect(at(20 * time.Minute)).To(BeZero())
	w.Expect(w.warnings(t)).To(BeEmpty())
	w.Expect(at(40 * time.Minute)).To(BeZero())
	w.Expect(w.read()).To(Equal([]string{"web"}), "once, and not again while nothing is wrong")

	w.Expect(w.cluster.Tracker().Update(services, selecting("web", ""), "test")).To(Succeed())
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Interval = nil })
	w.Expect(at(41 * time.Minute)).To(Equal(10 * time.Minute))
	w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2), "another spec")

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, toV3) + `}`)
	})
	at(42 * time.Minute)
	w.Expect(w.warnings(t)).To(BeEmpty(), "the route attaches to nothing")
	w.Expect(w.reconciler.parents.byPolicy).To(BeEmpty())
}

func TestAParentThatComesLaterIsLookedAtWithTheInterval(t *testing.T) {
	w := newAttached(t, attached("v2"), nil)
	w.settled(t, allApplied)
	w.create(t, selecting("web", ""))
	w.clockAt(now.Add(10 * time.Minute))
	_, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2))
}

// Of a variant without workloads, its Service tells which Pods it has.
func TestAVariantOfServicesOnlyIsJudgedByTheirSelectors(t *testing.T) {
	for name, test := range map[string]struct {
		parent, v2 *unstructured.Unstructured
		want       []any
	}{
		"the parent selects all":                           {selecting("web", ""), selecting("web-v2", "v2"), []any{Equal(selectsV2)}},
		"the parent selects others":                        {selecting("web", "v1"), selecting("web-v2", "v2"), nil},
		"the parent selects fewer, of which it may be any": {selecting("web", "v1"), selecting("web-v2", ""), nil},
		"the variant's Service selects nothing":            {selecting("web", ""), aService("web-v2"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirroredBy(t, attached("v2"))
			w.create(t, test.parent)
			w.Expect(w.cluster.Tracker().Update(services, test.v2, "test")).To(Succeed())
			w.Eventually(func() []string { _, _ = w.reconcileOnce(t); return w.written() }).Should(ContainElement("apply web"))
			w.Expect(w.warnings(t)).To(HaveExactElements(test.want...))
		})
	}
}

func TestWarningsStayWhileNothingIsLookedAt(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *world){
		"the policy is suspended": func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true })
		},
		"it names a variant that the Subject doesn't have": func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Trigger.Variants = []string{"v9"} })
		},
		"the operator was started again": func(_ *testing.T, w *world) {
			w.reconciler.parents = parentLookups{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAttached(t, attached("v2"), selecting("web", ""))
			w.settled(t, allApplied)
			w.read()
			change(t, w)
			_, _ = w.reconcileOnce(t)
			w.Expect(w.warnings(t)).To(HaveExactElements(selectsV2))
			w.Expect(w.read()).To(BeEmpty())
		})
	}
}
