package v1alpha1

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
)

const header = "apiVersion: config.iter8.tools/v1alpha1\nkind: OperatorConfiguration\n"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want func(*OperatorConfiguration)
	}{
		"an empty file":  {"", func(*OperatorConfiguration) {}},
		"only a header":  {header, func(*OperatorConfiguration) {}},
		"only a comment": {"# to be filled\n", func(*OperatorConfiguration) {}},
		"namespaces": {header + "watchNamespaces: [a, b]\n", func(c *OperatorConfiguration) {
			c.WatchNamespaces = []string{"a", "b"}
		}},
		"references to other namespaces": {header + "allowCrossNamespaceReferences: true\n", func(c *OperatorConfiguration) {
			c.AllowCrossNamespaceReferences = true
		}},
		"how long a mirror stands for a variant that can't be judged": {header + "mirrors: {unknownGrace: 90s}\n", func(c *OperatorConfiguration) {
			c.Mirrors.UnknownGrace.Duration = 90 * time.Second
		}},
		"readiness of kinds, the core group among them": {
			header + "readiness:\n- {group: example.com, kind: Model, conditions: [Loaded, Warm]}\n- {group: '', kind: Pod, conditions: [Ready]}\n",
			func(c *OperatorConfiguration) {
				c.Readiness = []KindReadiness{
					{GroupKind: GroupKind{Group: "example.com", Kind: "Model"}, Conditions: []string{"Loaded", "Warm"}},
					{GroupKind: GroupKind{Kind: "Pod"}, Conditions: []string{"Ready"}},
				}
			},
		},
		"kinds of routes, which go in place of the default ones": {
			header + "routeKinds: [{group: gateway.networking.k8s.io, kind: TCPRoute}]\n",
			func(c *OperatorConfiguration) {
				c.RouteKinds = []GroupKind{{Group: "gateway.networking.k8s.io", Kind: "TCPRoute"}}
			},
		},
		"more kinds of routes than there are by default": {
			header + "routeKinds: [{group: a.io, kind: A}, {group: b.io, kind: B}, {group: c.io, kind: C}, {group: d.io, kind: D}, {group: e.io, kind: E}]\n",
			func(c *OperatorConfiguration) {
				c.RouteKinds = []GroupKind{{"a.io", "A"}, {"b.io", "B"}, {"c.io", "C"}, {"d.io", "D"}, {"e.io", "E"}}
			},
		},
		"no kinds of routes at all": {header + "routeKinds: []\n", func(c *OperatorConfiguration) { c.RouteKinds = []GroupKind{} }},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			want := Default()
			test.want(&want)
			g.Expect(Parse([]byte(test.file))).To(gomega.Equal(want))
		})
	}
}

func TestParseTellsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ file, message string }{
		"a field that nobody knows":        {header + "watchNamespace: [a]\n", `unknown field "watchNamespace"`},
		"a field that nobody knows, below": {header + "routeKinds: [{group: a.io, kind: A, version: v1}]\n", `unknown field "version"`},
		"a key that stands twice":          {header + "readiness: []\nreadiness: []\n", `key "readiness" already set in map`},
		"a value of the wrong type":        {header + "watchNamespaces: a\n", "cannot unmarshal string"},
		"broken YAML":                      {header + "}", "reading the operator's configuration: "},
		"another kind":                     {"apiVersion: config.iter8.tools/v1alpha1\nkind: Configuration\n", "the operator's configuration is a config.iter8.tools/v1alpha1 Configuration, and must be a config.iter8.tools/v1alpha1 OperatorConfiguration"},
		"another version":                  {"apiVersion: config.iter8.tools/v1\nkind: OperatorConfiguration\n", "is a config.iter8.tools/v1 OperatorConfiguration, and must be"},
		"a grace below nothing":            {header + "mirrors: {unknownGrace: -1s}\n", "mirrors.unknownGrace of the operator's configuration is -1s, and must not be negative"},
		"readiness without a kind":         {header + "readiness: [{group: a.io, kind: A, conditions: [B]}, {group: a.io, conditions: [B]}]\n", "readiness[1] of the operator's configuration takes a kind and at least one condition"},
		"readiness without conditions":     {header + "readiness: [{group: a.io, kind: A}]\n", "readiness[0] of the operator's configuration takes a kind and at least one condition"},
		"readiness with no conditions":     {header + "readiness: [{group: a.io, kind: A, conditions: []}]\n", "readiness[0] of the operator's configuration takes a kind and at least one condition"},
		"a kind of routes without a kind": {
			header + "routeKinds: [{group: a.io, kind: A}, {group: a.io, kind: B}, {group: a.io, kind: C}, {group: a.io, kind: D}, {group: a.io}]\n",
			"routeKinds[4] of the operator's configuration takes a group and a kind"},
		"a kind of routes in the core group": {header + "routeKinds: [{group: '', kind: Secret}]\n", "routeKinds[0] of the operator's configuration takes a group and a kind"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c, err := Parse([]byte(test.file))
			g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(test.message)))
			g.Expect(c).To(gomega.Equal(OperatorConfiguration{}))
		})
	}
}

func TestDefaultsAreNobodysToChange(t *testing.T) {
	g := gomega.NewWithT(t)
	c := Default()
	c.RouteKinds[0] = GroupKind{}
	g.Expect(Default().RouteKinds).To(gomega.Equal([]GroupKind{
		{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"},
		{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"},
		{Group: "networking.istio.io", Kind: "VirtualService"},
		{Group: "networking.istio.io", Kind: "DestinationRule"},
	}))
}
