package routes

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	rulePrefix    = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: rule, namespace: test}, spec: "
	servicePrefix = "{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {name: web, namespace: test}, spec: "
	v1Destination = "destination: {host: app, subset: v1}"
)

func TestWhichObjectDependsOnASubset(t *testing.T) {
	for name, test := range map[string]struct {
		rule, service string
		want          bool
	}{
		"clients over HTTP":             {"{host: app, subsets: [{name: v1}]}", "{http: [{route: [{" + v1Destination + "}]}]}", true},
		"clients over TLS":              {"{host: app, subsets: [{name: v1}]}", "{tls: [{route: [{" + v1Destination + "}]}]}", true},
		"clients over TCP":              {"{host: app, subsets: [{name: v1}]}", "{tcp: [{route: [{destination: {host: app}}, {" + v1Destination + "}]}]}", true},
		"a mirror":                      {"{host: app, subsets: [{name: v1}]}", "{http: [{mirror: {host: app, subset: v1}}]}", true},
		"one of several mirrors":        {"{host: app, subsets: [{name: v1}]}", "{http: [{mirrors: [{" + v1Destination + "}]}]}", true},
		"its host in full":              {"{host: app.test.svc.cluster.local, subsets: [{name: v1}]}", "{http: [{mirror: {host: app, subset: v1}}]}", true},
		"another subset":                {"{host: app, subsets: [{name: v2}]}", "{http: [{mirror: {host: app, subset: v1}}]}", false},
		"no subset":                     {"{host: app, subsets: [{name: v1}]}", "{http: [{mirror: {host: app}}]}", false},
		"another host":                  {"{host: app, subsets: [{name: v1}]}", "{http: [{mirror: {host: other, subset: v1}}]}", false},
		"another namespace's":           {"{host: app.other, subsets: [{name: v1}]}", "{http: [{mirror: {host: app, subset: v1}}]}", false},
		"a pattern of hosts":            {"{host: \"*.example.com\", subsets: [{name: v1}]}", "{http: [{mirror: {host: a.example.com, subset: v1}}]}", true},
		"a rule without subsets":        {"{host: app}", "{http: [{mirror: {host: app, subset: v1}}]}", false},
		"what is no list and no object": {"{host: app, subsets: {name: v1}}", "{http: {mirror: 1}, tls: [1], tcp: [{route: [1]}]}", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rule, service := manifest(t, rulePrefix+test.rule+"}"), manifest(t, servicePrefix+test.service+"}")
			g.Expect(DependsOn(service, rule)).To(Equal(test.want))
			g.Expect(DependsOn(rule, service)).To(BeFalse())
		})
	}
}

func TestNoGatewayAPIRouteDependsOnASubset(t *testing.T) {
	rule := manifest(t, rulePrefix+"{host: app, subsets: [{name: v1}]}}")
	NewWithT(t).Expect(DependsOn(manifest(t, aRoute("web", "{filters: ["+mirrorTo("name: app, port: 80", "")+"]}")), rule)).To(BeFalse())
}

func TestAnInterimRuleIsTheWantedOneWithWhatIsNamed(t *testing.T) {
	g := NewWithT(t)
	from := manifest(t, rulePrefix+"{host: app, trafficPolicy: {a: 1}, subsets: [{name: v1, labels: {v: a}, trafficPolicy: {b: 2}}, {name: unnamed, labels: {v: b}}]}}")
	to := manifest(t, rulePrefix+"{host: app, trafficPolicy: {a: 3}, subsets: [{name: v2, labels: {v: c}}]}}")
	service := manifest(t, servicePrefix+"{http: [{route: [{"+v1Destination+"}]}]}}")
	interim, takes := Transition{From: from, To: to}.Interim([]*unstructured.Unstructured{service})
	g.Expect(takes).To(BeTrue())
	g.Expect(interim).To(Equal(manifest(t, rulePrefix+"{host: app, trafficPolicy: {a: 3}, subsets: [{name: v2, labels: {v: c}}, {name: v1, labels: {v: a}, trafficPolicy: {b: 2}}]}}")))
	g.Expect(to).To(Equal(manifest(t, rulePrefix+"{host: app, trafficPolicy: {a: 3}, subsets: [{name: v2, labels: {v: c}}]}}")), "it is changed")
}
