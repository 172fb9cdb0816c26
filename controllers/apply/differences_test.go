package apply

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func TestTheFieldsThatAnotherChangedAreNamed(t *testing.T) {
	const spec = `{"hostnames": [], "parentRefs": [{"name": "web"}], "rules": [{"name": "a", "backendRefs": [{"name": "v1", "port": 80}]}, {"name": "b"}]}`
	for name, test := range map[string]struct{ live, want string }{
		"nothing is changed": {spec, ""},
		"what is filled in is no change": {`{"hostnames": [], "parentRefs": [{"name": "web", "kind": "Gateway"}], "useDefaultGateways": "None",
			"rules": [{"name": "a", "matches": [{}], "backendRefs": [{"name": "v1", "port": 80, "weight": 1}]}, {"name": "b"}]}`, ""},
		"a value":                 {`{"hostnames": [], "parentRefs": [{"name": "web"}], "rules": [{"name": "a", "backendRefs": [{"name": "v2", "port": 81}]}, {"name": "b"}]}`, "spec.rules[0].backendRefs[0].name, spec.rules[0].backendRefs[0].port"},
		"a list that is longer":   {`{"hostnames": ["x"], "parentRefs": [{"name": "web"}], "rules": [{"name": "a", "backendRefs": [{"name": "v1", "port": 80}]}, {"name": "b"}]}`, "spec.hostnames"},
		"a field that is gone":    {`{"hostnames": [], "rules": [{"name": "a", "backendRefs": [{"name": "v1", "port": 80}]}, {"name": "b"}]}`, "spec.parentRefs"},
		"a field of another type": {`{"hostnames": [], "parentRefs": {"name": "web"}, "rules": [{"name": "a", "backendRefs": [{"name": "v1", "port": 80}]}, "b"]}`, "spec.parentRefs, spec.rules[1]"},
		"more than a message takes": {`{"rules": [{"backendRefs": [{}]}, {}]}`,
			"spec.hostnames, spec.parentRefs, spec.rules[0].backendRefs[0].name, spec.rules[0].backendRefs[0].port, spec.rules[0].name, 1 more"},
		"a spec that can't be read": {"{", ""},
		"no spec":                   {"null", "spec"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifest := &unstructured.Unstructured{}
			g.Expect(utiljson.Unmarshal([]byte(`{"spec": `+spec+`}`), &manifest.Object)).To(Succeed())
			g.Expect(differences(manifest, &Existing{Spec: []byte(test.live)})).To(Equal(test.want))
		})
	}
}
