package mirrors

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// ways are those in which a VirtualService of the namespace default may write one Service of it.
var ways = []string{"a", "a.default", "a.default.svc", "a.default.svc.cluster.local", "a.default.svc.example.org"}

// mirroredTo is a VirtualService that mirrors to a host.
func mirroredTo(t *testing.T, host string) *unstructured.Unstructured {
	t.Helper()
	return liveRoute(t, "VirtualService", fmt.Sprintf("http: [{mirror: {host: %s, port: {number: 80}}, route: [{destination: {host: v1}}]}]", host))
}

// What withholds a mirror holds for it however others write its host meanwhile, and so does what stands.
func TestAHostIsTheSameHoweverItIsWritten(t *testing.T) {
	for _, live := range ways {
		for _, known := range ways {
			t.Run(live+", known as "+known, func(t *testing.T) {
				g := NewWithT(t)
				input := Input{Namespace: namespace, Variants: []Variant{variant("v2", Available, "Service a")},
					Withheld: []Withholding{{Route: "VirtualService/web", To: known + ":80", Reason: "Altered", Message: "it was changed"}}}
				_, report := Edit(mirroredTo(t, live), Decide(input))
				g.Expect(report).To(HaveExactElements(And(HaveField("Percent", "0"), HaveField("Reason", "Altered"))))

				input.Withheld, input.Variants[0].State = nil, UnknownAvailable
				input.Standing = []iter8v1alpha1.Mirror{{Route: "VirtualService/web", To: known + ":80", Percent: "100"}}
				gated, err := Gate([]*unstructured.Unstructured{mirroredTo(t, live)}, Decide(input))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("Percent", "100")))
			})
		}
	}
}

func TestAnotherTargetIsNotWithheld(t *testing.T) {
	http := liveRoute(t, "HTTPRoute", "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}}}], backendRefs: [{name: v1, port: 80}]}]")
	for name, test := range map[string]struct {
		live  *unstructured.Unstructured
		other string
	}{
		"a Service of another namespace": {mirroredTo(t, "a"), "a.far:80"},
		"another Service":                {mirroredTo(t, "a.default"), "b.default:80"},
		"another port":                   {mirroredTo(t, "a"), "a.default:81"},
		"another subset":                 {mirroredTo(t, "a"), "a:80 subset v2"},
		"a host elsewhere":               {mirroredTo(t, "a.default.org"), "a.default:80"},
		"a backend of the Gateway API":   {http, "a.default:80"},
		"its name with its namespace":    {http, "default/a:80"},
	} {
		t.Run(name, func(t *testing.T) {
			input := Input{Namespace: namespace, Variants: []Variant{variant("v2", Available, "Service a")}, Withheld: []Withholding{{To: test.other, Reason: "Altered"}}}
			_, report := Edit(test.live, Decide(input))
			NewWithT(t).Expect(report).To(HaveExactElements(HaveField("Percent", "100")))
		})
	}
}

// Istio finds NAME by the namespace of the route and the domain of its own cluster, and NAME.NAMESPACE in no cluster.
func TestAHostIsWrittenSoThatIstioFindsItInAnyCluster(t *testing.T) {
	variants := []Variant{variant("v2", Available, "Service a"), variant("v3", Available, "Service far/b")}
	for name, test := range map[string]struct{ host, namespace, want string }{
		"a short one":                            {"a", "default", "a"},
		"with its namespace":                     {"a.default", "default", "a"},
		"with svc":                               {"a.default.svc", "default", "a.default.svc"},
		"in full":                                {"a.default.svc.cluster.local", "default", "a.default.svc.cluster.local"},
		"in full, in another domain":             {"a.default.svc.example.org", "default", "a.default.svc.example.org"},
		"of a Service that no variant lists":     {"b.default", "default", "b.default"},
		"of another namespace":                   {"b.far", "default", "b.far"},
		"of another namespace, beside the route": {"b.far", "far", "b"},
		"of the policy's, from another":          {"a.default", "far", "a.default"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			gated, err := Gate([]*unstructured.Unstructured{mirroredTo(t, test.host)}, Decide(Input{Namespace: test.namespace, Variants: variants}))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(routes.Rules(gated.Manifests[0])[0].Fields["mirror"]).To(HaveKeyWithValue("host", test.want))
			g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("To", test.want+":80")))
		})
	}
}
