package apply

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

var (
	meshRules    = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	meshServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
)

func TestARuleThatLeavesTheRenderStaysWhileOthersNeedIt(t *testing.T) {
	const theirs = `{kind: VirtualService, metadata: {name: theirs}, spec: {http: [{route: [{destination: {host: reviews, subset: v1}}]}]}}`
	for name, test := range map[string]struct {
		beside      []string
		terminating bool
		err         error
		stays       string
	}{
		"nothing names it":                     {},
		"a VirtualService of another names it": {beside: []string{theirs}, stays: "DestinationRule rule is not deleted, since VirtualService theirs names its subset v1"},
		"one that a finalizer holds does":      {beside: []string{theirs}, terminating: true, stays: "DestinationRule rule is not deleted, since VirtualService theirs names its subset v1"},
		"one of another names another subset":  {beside: []string{`{kind: VirtualService, metadata: {name: theirs}, spec: {http: [{route: [{destination: {host: reviews, subset: v3}}]}]}}`}},
		"another rule defines what one names":  {beside: []string{theirs, `{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, subsets: [{name: v1}]}}`}},
		"whether one does can't be known":      {err: errors.New("no answer"), stays: "finding what needs DestinationRule rule: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t, rule(t, "rule", "reviews", "v1"))
			reader := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
				map[schema.GroupVersionResource]string{meshRules: "DestinationRuleList", meshServices: "VirtualServiceList"})
			reader.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return test.err != nil, nil, test.err })
			for _, text := range append(test.beside, `{kind: DestinationRule, metadata: {name: rule}, spec: {host: reviews, subsets: [{name: v1}]}}`) {
				u := &unstructured.Unstructured{}
				m.Expect(yaml.Unmarshal([]byte(text), &u.Object)).To(Succeed())
				u.SetAPIVersion("networking.istio.io/v1")
				u.SetNamespace("test")
				resource := meshServices
				if u.GetKind() == "DestinationRule" {
					resource = meshRules
				} else if now := metav1.Now(); test.terminating {
					u.SetDeletionTimestamp(&now)
				}
				m.Expect(reader.Tracker().Create(resource, u, "test")).To(Succeed())
			}
			result := m.executor.execute(t.Context(), m.client, reader, owner, m.plan(nil, m.inventory, m.cluster))
			if test.stays == "" {
				m.Expect(m.calls()).To(Equal([]string{"delete rule"}))
				m.Expect(result.Failures).To(BeEmpty())
				return
			}
			m.Expect(m.calls()).To(BeEmpty())
			m.Expect(result.Failures).To(ConsistOf(HaveField("Message", test.stays)))
			m.Expect(result.Inventory).To(ConsistOf(HaveField("Name", "rule")))
		})
	}
}
