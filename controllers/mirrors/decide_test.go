package mirrors

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// backend is a target of the Gateway API: KIND.GROUP [NAMESPACE/]NAME.
func backend(text string) routes.Destination {
	r := resource(text)
	to := routes.Destination{Group: r.Group, Kind: r.Kind, Name: r.Name}
	if strings.Contains(text, "/") {
		to.Namespace = r.Namespace
	}
	return to
}

func variant(name string, state State, resources ...string) Variant {
	v := Variant{Name: name, State: state, Triggers: true}
	for _, text := range resources {
		v.Resources = append(v.Resources, resource(text))
	}
	return v
}

// withPods has the variant's first resource be a workload whose Pods have labels: KEY=VALUE.
func withPods(v Variant, pairs ...string) Variant {
	v.Resources[0].PodLabels = map[string]string{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		v.Resources[0].PodLabels[key] = value
	}
	return v
}

func TestATargetBelongsToTheVariantsThatListIt(t *testing.T) {
	variants := []Variant{
		variant("a", Available, "Service a", "Deployment.apps a"),
		variant("b", Available, "Service far/b", "ServiceImport.multicluster.x-k8s.io c"),
		variant("c", Available, "Service a", "Service.serving.knative.dev d"),
		variant("empty", Available),
	}
	for name, test := range map[string]struct {
		target routes.Destination
		from   string
		want   []string
	}{
		"a Service":                         {backend("Service a"), "", []string{"a", "c"}},
		"a Service of that namespace":       {backend("Service default/a"), "far", []string{"a", "c"}},
		"from a route of another namespace": {backend("Service a"), "far", nil},
		"a Service of another namespace":    {backend("Service far/b"), "", []string{"b"}},
		"a Service beside it":               {backend("Service b"), "far", []string{"b"}},
		"its name in another namespace":     {backend("Service b"), "", nil},
		"a backend of another group":        {backend("ServiceImport.multicluster.x-k8s.io c"), "", []string{"b"}},
		"its name as a Service":             {backend("Service c"), "", nil},
		"a Service of another group":        {backend("Service.serving.knative.dev d"), "", []string{"c"}},
		"its name as a core Service":        {backend("Service d"), "", nil},
		"a workload's name":                 {backend("Service deployment"), "", nil},
		"nothing":                           {routes.Destination{}, "", nil},
		"a short host":                      {routes.Destination{Host: "a"}, "", []string{"a", "c"}},
		"a short host, from elsewhere":      {routes.Destination{Host: "a"}, "far", nil},
		"a short host, beside it":           {routes.Destination{Host: "b"}, "far", []string{"b"}},
		"a host with its namespace":         {routes.Destination{Host: "b.far"}, "", []string{"b"}},
		"a host in full":                    {routes.Destination{Host: "b.far.svc.cluster.local"}, "", []string{"b"}},
		"a host with svc":                   {routes.Destination{Host: "b.far.svc"}, "", []string{"b"}},
		"a host of another group":           {routes.Destination{Host: "d"}, "", nil},
		"a host elsewhere":                  {routes.Destination{Host: "a.example.org"}, "", nil},
		"a host with a wildcard":            {routes.Destination{Host: "*.default.svc.cluster.local"}, "", nil},
	} {
		for _, builtIn := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				d := Decide(Input{BuiltIn: builtIn, Namespace: namespace, Variants: variants})
				want := test.want
				if want == nil && builtIn {
					want = []string{"a", "b", "c", "empty"} // all trigger
				}
				NewWithT(t).Expect(d.Of(test.target, test.from)).To(Equal(Decision{Share: 100, Variants: want}))
			})
		}
	}
}

func TestASubsetBelongsToTheVariantsWhosePodsAreInIt(t *testing.T) {
	const (
		inV2   = "subsets: [{name: v2, labels: {version: v2}}]"
		inV9   = "subsets: [{name: v2, labels: {version: v9}}]"
		inBoth = "subsets: [{name: v2, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"
		inHost = "host: reviews, "
	)
	shared := func(states ...State) []Variant {
		return []Variant{
			withPods(variant("v1", Available, "Deployment.apps v1", "Service reviews"), "version=v1"),
			withPods(variant("v2", states[0], "Deployment.apps v2", "Service reviews"), "app=reviews", "version=v2"),
			withPods(variant("other", Available, "Deployment.apps other", "Service other"), "version=v2"),
		}
	}
	gone := shared(NotAvailable)
	gone[1].Resources[0].PodLabels = nil
	alone := shared(Available)
	alone[1].Resources = alone[1].Resources[:1]
	aloneGone := []Variant{alone[0], variant("v2", NotAvailable, "Deployment.apps v2"), alone[2]}
	two := withPods(variant("v2", NotAvailable, "Deployment.apps a", "StatefulSet.apps b"), "version=v1")
	oneOfTwoGone := []Variant{alone[0], two, alone[2]}
	twoThere := []Variant{alone[0], withPods(variant("v2", Available, "Deployment.apps a", "StatefulSet.apps b"), "version=v1"), alone[2]}
	configured := []Variant{alone[0], variant("v2", NotAvailable, "ConfigMap v2", "Secret v2"), alone[2]}
	replicated := []Variant{alone[0], variant("v2", NotAvailable, "ReplicationController v2"), alone[2]}
	labeledLater := []Variant{alone[0], withPods(variant("v2", NotAvailable, "Deployment.apps v2", "Service reviews"), "app=reviews"), alone[2]}
	for name, test := range map[string]struct {
		variants           []Variant
		rule               string
		host               string
		builtIn, elsewhere []string
	}{
		"one that lists the host":             {shared(Available), inHost + inV2, "reviews", []string{"v2"}, []string{"v2"}},
		"by the host in full":                 {shared(Available), inHost + inV2, "reviews.default.svc.cluster.local", []string{"v2"}, []string{"v2"}},
		"a rule by the host in full":          {shared(Available), "host: reviews.default.svc.cluster.local, " + inV2, "reviews", []string{"v2"}, []string{"v2"}},
		"no workload, which may have been it": {gone, inHost + inV2, "reviews", []string{"v2"}, []string{"v2"}},
		"one that lists no Service":           {alone, inHost + inV2, "reviews", []string{"v2"}, []string{"v2"}},
		"such a one whose workload is gone":   {aloneGone, inHost + inV2, "reviews", []string{"v2"}, []string{"v2"}},
		"a host that none lists":              {shared(Available), "host: all, " + inV2, "all", []string{"v2", "other"}, []string{"v2", "other"}},
		"one of two workloads, which is gone": {oneOfTwoGone, inHost + inV9, "reviews", []string{"v2"}, []string{"v2"}},
		"a workload of the core group":        {replicated, inHost + inV9, "reviews", []string{"v2"}, []string{"v2"}},
		"no Pods in it, with all there":       {shared(Available), inHost + inV9, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"none, and one that is down":          {shared(NotAvailable), inHost + inV9, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"none, and one without a Service":     {alone, inHost + inV9, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"none, with one that isn't known":     {twoThere, inHost + inV9, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"none, and one without workloads":     {configured, inHost + inV9, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"none of a host that none lists":      {alone, "host: all, " + inV9, "all", []string{"v1", "v2", "other"}, nil},
		"labels that its Pods get later":      {labeledLater, inHost + inV2, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"all of the host":                     {shared(Available), inHost + "subsets: [{name: v2}]", "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"defined twice, for two variants":     {shared(Available), inHost + inBoth, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"twice, and one's workload is gone":   {gone, inHost + inBoth, "reviews", []string{"v1", "v2"}, []string{"v1", "v2"}},
		"another subset":                      {shared(Available), inHost + "subsets: [{name: v3, labels: {version: v2}}]", "reviews", []string{"v1", "v2", "other"}, []string{"v1", "v2"}},
		"another host":                        {shared(Available), "host: ratings, " + inV2, "reviews", []string{"v1", "v2", "other"}, []string{"v1", "v2"}},
		"no rules that can be read":           {shared(Available), inHost + "subsets: v2", "reviews", []string{"v1", "v2", "other"}, []string{"v1", "v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rule := "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, spec: {" + test.rule + "}}"
			input := Input{Namespace: namespace, Variants: test.variants, Manifests: []*unstructured.Unstructured{{Object: objectOf(t, []byte(rule))}}}
			target := routes.Destination{Host: test.host, Subset: "v2"}
			g.Expect(Decide(input).Of(target, "").Variants).To(Equal(test.elsewhere))
			input.BuiltIn = true
			g.Expect(Decide(input).Of(target, "").Variants).To(Equal(test.builtIn))
		})
	}
}

func TestAMirrorTakesItsVariantToBeAvailable(t *testing.T) {
	why := func(v Variant, message string) Variant { v.Message = message; return v }
	v1 := variant("v1", Available, "Service a")
	for name, test := range map[string]struct {
		variants []Variant
		want     Decision
	}{
		"available": {[]Variant{v1}, Decision{Share: 100}},
		"not available": {[]Variant{v1, why(variant("v2", NotAvailable, "Service a"), "Service a has no ready endpoint")},
			Decision{Reason: "VariantNotAvailable", Message: "Service a has no ready endpoint"}},
		"not available, without a message": {[]Variant{variant("v2", NotAvailable, "Service a")},
			Decision{Reason: "VariantNotAvailable", Message: "variant v2 is not available"}},
		"two that aren't available": {[]Variant{why(variant("v2", NotAvailable, "Service a"), "one"), why(variant("v3", NotAvailable, "Service a"), "two")},
			Decision{Reason: "VariantNotAvailable", Message: "one; two"}},
		"two for the same cause": {[]Variant{why(variant("v2", NotAvailable, "Service a"), "one"), why(variant("v3", NotAvailable, "Service a"), "one")},
			Decision{Reason: "VariantNotAvailable", Message: "one"}},
		"unknown, and available before": {[]Variant{why(variant("v2", UnknownAvailable, "Service a"), "Service a can't be read")},
			Decision{Share: 100, Unknown: "Service a can't be read"}},
		"unknown for too long": {[]Variant{why(variant("v2", Unknown, "Service a"), "Service a can't be read")},
			Decision{Reason: "VariantStateUnknown", Message: "Service a can't be read"}},
		"one unknown, another not available": {[]Variant{variant("v2", UnknownAvailable, "Service a"), variant("v3", NotAvailable, "Service a")},
			Decision{Reason: "VariantNotAvailable", Message: "variant v3 is not available"}},
		"one available before, another unknown for too long": {[]Variant{variant("v2", UnknownAvailable, "Service a"), variant("v3", Unknown, "Service a")},
			Decision{Reason: "VariantStateUnknown", Message: "variant v3 can't be judged"}},
	} {
		for _, builtIn := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				decision := Decide(Input{BuiltIn: builtIn, Namespace: namespace, Variants: test.variants}).Of(backend("Service a"), "")
				decision.Variants = nil
				NewWithT(t).Expect(decision).To(Equal(test.want))
			})
		}
	}
}

func TestATargetThatNoVariantListsTakesEveryTriggeringOneInBuiltInCharts(t *testing.T) {
	g := NewWithT(t)
	silent := variant("v1", NotAvailable, "Service v1")
	silent.Triggers = false
	weighted := variant("v2", Available, "Service v2")
	weighted.Weight = &Weight{"5", "here"}
	input := Input{BuiltIn: true, Namespace: namespace, Variants: []Variant{silent, weighted}}
	g.Expect(Decide(input).Of(backend("Service recorder"), "")).To(Equal(Decision{Share: 100, Variants: []string{"v2"}}))
	input.Variants = []Variant{silent, variant("v2", NotAvailable, "Service v2")}
	g.Expect(Decide(input).Of(backend("Service recorder"), "")).To(Equal(Decision{Variants: []string{"v2"}, Reason: "VariantNotAvailable", Message: "variant v2 is not available"}))
	input.BuiltIn = false
	g.Expect(Decide(input).Of(backend("Service recorder"), "")).To(Equal(Decision{Share: 100}))
}

func TestWeightsBoundTheShare(t *testing.T) {
	invalid := func(text string) Decision {
		return Decision{Variants: []string{"v2"}, Reason: "InvalidWeight",
			Message: "the weight of variant v2 must be a whole number from 0 to 100, and is " + text + " (annotation iter8.tools/weight of Service a)"}
	}
	limited := func(share float64, text string) Decision {
		return Decision{Share: share, Variants: []string{"v2"}, Reason: "LimitedByWeight",
			Message: "the weight of variant v2 is " + text + " (annotation iter8.tools/weight of Service a)"}
	}
	for text, want := range map[string]Decision{
		"0": limited(0, "0"), "1": limited(1, "1"), "99": limited(99, "99"), "05": limited(5, "05"),
		"100": {Share: 100, Variants: []string{"v2"}},
		"101": invalid(`"101"`), "200": invalid(`"200"`), "1000000": invalid(`"1000000"`), "99999999999999999999": invalid(`"99999999999999999999"`),
		"-1": invalid(`"-1"`), "+5": invalid(`"+5"`), "5%": invalid(`"5%"`), "0%": invalid(`"0%"`), "2.5": invalid(`"2.5"`), "5.0": invalid(`"5.0"`),
		"5 5": invalid(`"5 5"`), "\u00205": invalid(`" 5"`), "\u00205\u0020": invalid(`" 5 "`), "": invalid(`""`), "1e1": invalid(`"1e1"`), "0x5": invalid(`"0x5"`), "five": invalid(`"five"`), "٥": invalid(`"٥"`),
		strings.Repeat("9", 40): invalid(`"` + strings.Repeat("9", 32) + `..."`),
	} {
		t.Run(text, func(t *testing.T) {
			g := NewWithT(t)
			v2 := variant("v2", Available, "Service a")
			v2.Weight = &Weight{text, "annotation iter8.tools/weight of Service a"}
			input := Input{BuiltIn: true, Namespace: namespace, Variants: []Variant{v2}}
			g.Expect(Decide(input).Of(backend("Service a"), "")).To(Equal(want))
			input.BuiltIn = false
			g.Expect(Decide(input).Of(backend("Service a"), "")).To(Equal(Decision{Share: 100, Variants: []string{"v2"}}), "weights mean nothing elsewhere")
		})
	}
}

func TestTheLeastOfSeveralWeightsCountsAndAnInvalidOneWithholds(t *testing.T) {
	g := NewWithT(t)
	share := func(weights ...string) float64 {
		var variants []Variant
		for i, text := range weights {
			v := variant(string(rune('a'+i)), Available, "Service a")
			if text != "none" {
				v.Weight = &Weight{Text: text}
			}
			variants = append(variants, v)
		}
		return Decide(Input{BuiltIn: true, Namespace: namespace, Variants: variants}).Of(backend("Service a"), "").Share
	}
	g.Expect(share("50", "20", "none", "100")).To(BeEquivalentTo(20))
	g.Expect(share("20", "50")).To(BeEquivalentTo(20))
	g.Expect(share("50", "x", "20")).To(BeZero())
	g.Expect(share("0", "20")).To(BeZero())
	g.Expect(share("none")).To(BeEquivalentTo(100))
}

func TestAnInvalidWeightWithholdsWhateverIsUnknown(t *testing.T) {
	v2 := variant("v2", UnknownAvailable, "Service a")
	v2.Weight = &Weight{"5%", "here"}
	standing := []iter8v1alpha1.Mirror{{Route: "HTTPRoute/web", To: "a:80", Percent: "100"}}
	d := Decide(Input{BuiltIn: true, Namespace: namespace, Variants: []Variant{v2}, Standing: standing})
	NewWithT(t).Expect(d.Of(backend("Service a"), "")).To(And(HaveField("Share", BeZero()), HaveField("Reason", iter8v1alpha1.ReasonInvalidWeight), HaveField("Unknown", "")))
}

func TestOfAGatewayThatCanNotBeReadAMirrorHasNoMoreThanItHas(t *testing.T) {
	route := func(share string) *unstructured.Unstructured {
		return liveRoute(t, "HTTPRoute", "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}"+share+"}}]}]")
	}
	for name, test := range map[string]struct {
		stands, asks, want string
	}{
		"nothing stands":            {"", ", percent: 50", "0"},
		"as much as is asked for":   {"50", ", percent: 50", "50"},
		"less than is asked for":    {"10", ", percent: 50", "10"},
		"more than is asked for":    {"100", ", percent: 50", "50"},
		"all, and all is asked for": {"100", "", "100"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			input := Input{Namespace: namespace, Lacks: []Lack{{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestMirror", Unknown: true, Message: "it can't be read"}}}
			if test.stands != "" {
				input.Standing = []iter8v1alpha1.Mirror{{Route: "HTTPRoute/web", To: "a:80", Percent: test.stands}}
			}
			gated, err := Gate([]*unstructured.Unstructured{route(test.asks)}, Decide(input))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("Percent", test.want)))
			patch, _ := Edit(route(test.asks), Decide(input))
			g.Expect(patch).To(BeEmpty(), "what stands may stand")
		})
	}
}

func TestWhatImplementationsLack(t *testing.T) {
	g := NewWithT(t)
	g.Expect(LacksOf("projectcontour.io/gateway-controller", "HTTPRoute/web", "Gateway default/edge")).To(Equal([]Lack{{
		Route: "HTTPRoute/web", Feature: "HTTPRouteRequestPercentageMirror", Message: "Contour, of Gateway default/edge, mirrors every request, whatever share a mirror asks for"}}))
	for _, never := range []string{"traefik.io/gateway-controller", "linkerd.io/policy-controller"} {
		g.Expect(LacksOf(never, "HTTPRoute/web", "")).To(HaveExactElements(HaveField("Feature", BeEquivalentTo("HTTPRouteRequestMirror"))), never)
	}
	g.Expect(LacksOf("istio.io/gateway-controller", "HTTPRoute/web", "")).To(BeEmpty())
	for _, known := range Implementations {
		g.Expect(known.Source).NotTo(BeEmpty(), known.Name)
	}
}
