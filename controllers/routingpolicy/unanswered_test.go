package routingpolicy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}

// hanging is a cluster that answers no list of a resource.
type hanging struct {
	*dynamicfake.FakeDynamicClient
	resource schema.GroupVersionResource
}

func (h hanging) Resource(resource schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	if resource == h.resource {
		return unlisted{h.FakeDynamicClient.Resource(resource)}
	}
	return h.FakeDynamicClient.Resource(resource)
}

type unlisted struct {
	dynamic.NamespaceableResourceInterface
}

func (u unlisted) Namespace(string) dynamic.ResourceInterface { return u }

func (u unlisted) List(ctx context.Context, _ metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAMirrorGoesWhereTheListOfItsEndpointsIsNotAnsweredAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		subject := threeVariants()
		w := newWorld(t, subject, mirroring())
		w.reconciler.now = time.Now
		v2 := aService("web-v2")
		v2.Object["spec"] = map[string]any{"selector": map[string]any{"app": "web"}}
		for _, service := range []*unstructured.Unstructured{aService("web-v1"), v2, aService("web-v3")} {
			w.Expect(w.cluster.Tracker().Create(services, service, "test")).To(Succeed())
		}
		w.Expect(w.cluster.Tracker().Create(endpointSlices, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": map[string]any{"namespace": "test", "name": "web-v2-1", "labels": map[string]any{
				"kubernetes.io/service-name": "web-v2", iter8v1alpha1.DetectLabel: "true"}},
			"endpoints": []any{map[string]any{"addresses": []any{"10.0.0.1"}}},
		}}, "test")).To(Succeed())
		w.subjects.OnAdd(subject, false)
		w.settled(t, "True Succeeded: 1 object applied for v1 available, v2 available, v3 available")
		w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))

		w.observed = hanging{w.cluster, endpointSlices}
		began := time.Now()
		w.startedAgain(t, subject)
		after := func(seconds int) {
			<-time.After(time.Until(began.Add(time.Duration(seconds) * time.Second)))
			synctest.Wait()
			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
		}
		for _, seconds := range []int{1, 9} {
			after(seconds)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
			w.Expect(w.policy(t).Status.Variants[1].UnknownSince).To(BeNil(), "the list may take a while")
		}
		for _, seconds := range []int{11, 44} {
			after(seconds)
			w.Expect(w.ready(t)).To(HavePrefix("False VariantStateUnknown: variant v2 counts as available, as it was last known: " +
				"Service web-v2 can't be read (discovery.k8s.io/v1 EndpointSlice): the apiserver does not answer"))
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
			w.Expect(w.policy(t).Status.Variants[1].UnknownSince).To(HaveValue(HaveField("Time", BeTemporally("~", began, time.Second))))
		}
		after(61)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 0% Withheld v2 VariantStateUnknown: no mirror to web-v2:80: "), mirroredToV3))
	})
}
