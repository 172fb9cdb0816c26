package gateways

import (
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	os.Exit(m.Run())
}

var (
	gatewayResource = gatewayAPI.WithResource("gateways")
	classResource   = gatewayAPI.WithResource("gatewayclasses")
	policy          = types.NamespacedName{Namespace: "test", Name: "policy"}
	edge            = types.NamespacedName{Namespace: "test", Name: "edge"}
)

// world is a Gateways over a cluster that a test writes to.
type world struct {
	*WithT
	cluster  *dynamicfake.FakeDynamicClient
	gateways *Gateways

	mu   sync.Mutex
	told []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t)}
	w.cluster = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		gatewayResource: "GatewayList", classResource: "GatewayClassList",
	})
	mapper := meta.NewDefaultRESTMapper(nil)
	// What a mapper makes up is "gatewaies".
	mapper.AddSpecific(gatewayTarget.GroupVersionKind, gatewayResource, gatewayResource, meta.RESTScopeNamespace)
	mapper.Add(classTarget.GroupVersionKind, meta.RESTScopeRoot)
	w.gateways = New(t.Context(), Options{Client: w.cluster, Mapper: mapper, Notify: func(policy types.NamespacedName) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, policy.Name)
	}})
	return w
}

// follow has a policy follow a Gateway, until that and its class are read, and then again, as a reconcile does.
func (w *world) follow(policy string, gateway types.NamespacedName) {
	name := types.NamespacedName{Namespace: "test", Name: policy}
	w.gateways.Follow(name, []types.NamespacedName{gateway})
	w.Eventually(w.pending).Should(BeFalse())
	w.gateways.Follow(name, []types.NamespacedName{gateway})
}

func (w *world) pending() bool { return w.gateways.Pending([]types.NamespacedName{edge}) }

// toldOf polls which policies were told since forgetTold.
func (w *world) toldOf() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

func (w *world) forgetTold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = nil
}

// expectTold waits until some policies were told, and expects that it stays at these.
func (w *world) expectTold(of string, policies ...string) {
	w.Eventually(w.toldOf).Should(ConsistOf(policies), of)
	w.Consistently(w.toldOf).Should(ConsistOf(policies), of)
	w.forgetTold()
}

// quiet waits until nothing more is told, and forgets what was.
func (w *world) quiet() {
	told := -1
	w.Eventually(func() bool {
		before := told
		told = len(w.toldOf())
		return told == before
	}, "20s", "100ms").Should(BeTrue())
	w.forgetTold()
}

func (w *world) parse(text string) *unstructured.Unstructured {
	data, err := yaml.YAMLToJSON([]byte(text))
	w.Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	w.Expect(utiljson.Unmarshal(data, &u.Object)).To(Succeed())
	return u
}

func (w *world) create(resource schema.GroupVersionResource, text string) {
	u := w.parse(text)
	w.Expect(w.cluster.Tracker().Create(resource, u, u.GetNamespace())).To(Succeed())
}

func (w *world) update(resource schema.GroupVersionResource, text string) {
	u := w.parse(text)
	w.Expect(w.cluster.Tracker().Update(resource, u, u.GetNamespace())).To(Succeed())
}

func aGateway(class, more string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: test}, spec: {gatewayClassName: " + class + "}, status: {" + more + "}}"
}

func aClass(features string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: shiny}, status: {supportedFeatures: [" + features + "]}}"
}

// aRoute that mirrors to two backends, to one of them a part.
func (w *world) aRoute() *unstructured.Unstructured {
	return w.parse("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {parentRefs: [{name: edge}, {group: '', kind: Service, name: web}], " +
		"rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2}}}, {type: RequestMirror, requestMirror: {backendRef: {name: v3}, percent: 5}}]}]}}")
}

func TestWhatAGatewayLacks(t *testing.T) {
	const (
		mirror  = "HTTPRoute web mirrors requests, and GatewayClass shiny, of Gateway test/edge, does not list the feature HTTPRouteRequestMirror"
		several = "HTTPRoute web has several mirrors in a rule, and GatewayClass shiny, of Gateway test/edge, does not list the feature HTTPRouteRequestMultipleMirrors"
		part    = "HTTPRoute web mirrors a part of the requests, and GatewayClass shiny, of Gateway test/edge, does not list the feature HTTPRouteRequestPercentageMirror"
	)
	for name, test := range map[string]struct {
		gateway, class string
		want           []string
	}{
		"nothing":                                 {aGateway("shiny", ""), aClass("{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}, {name: HTTPRouteRequestPercentageMirror}"), nil},
		"nothing, in the old form of the list":    {aGateway("shiny", ""), aClass("HTTPRouteRequestMirror, HTTPRouteRequestMultipleMirrors, HTTPRouteRequestPercentageMirror"), nil},
		"a percentage":                            {aGateway("shiny", ""), aClass("{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}"), []string{part}},
		"all of it":                               {aGateway("shiny", ""), aClass("{name: HTTPRoute}"), []string{mirror, several, part}},
		"that its class publishes nothing":        {aGateway("shiny", ""), aClass(""), nil},
		"a class that is there":                   {aGateway("dull", ""), aClass("{name: HTTPRoute}"), nil},
		"itself":                                  {"", aClass("{name: HTTPRoute}"), nil},
		"a Gateway of that name in its namespace": {"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: other}, spec: {gatewayClassName: shiny}}", aClass("{name: HTTPRoute}"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.gateway != "" {
				w.create(gatewayResource, test.gateway)
			}
			w.create(classResource, test.class)
			w.gateways.Follow(policy, []types.NamespacedName{edge})
			w.Eventually(w.pending).Should(BeFalse())
			route := w.aRoute()
			w.Expect(w.gateways.Lacking(route, "test")).To(Equal(test.want))
			w.Expect(route).To(Equal(w.aRoute()), "the route is changed")
			unstructured.RemoveNestedField(route.Object, "spec", "rules")
			w.Expect(w.gateways.Lacking(route, "test")).To(BeEmpty(), "without mirrors it takes nothing")
		})
	}
}

func TestPoliciesAreToldOfWhatMatters(t *testing.T) {
	w := newWorld(t)
	w.create(gatewayResource, aGateway("dull", ""))
	w.create(classResource, aClass("{name: HTTPRoute}"))
	w.follow("policy", edge)
	w.follow("other", types.NamespacedName{Namespace: "test", Name: "inner"})
	w.Eventually(w.toldOf).Should(ContainElement("policy"), "that all is read")
	w.quiet()

	w.update(classResource, aClass(""))
	w.expectTold("of a class that is another one's")
	w.update(gatewayResource, aGateway("dull", "addresses: []"))
	w.update(gatewayResource, aGateway("shiny", ""))
	w.expectTold("of another class of the Gateway, not of its status", "policy")
	w.follow("policy", edge)

	w.update(classResource, aClass("{name: HTTPRoute}"))
	w.expectTold("of features", "policy")
	w.update(classResource, aClass("{name: HTTPRoute}"))
	w.expectTold("of what is as it was")
	w.update(classResource, aClass("{name: HTTPRoute}, {name: HTTPRouteRequestMirror}"))
	w.expectTold("of other features", "policy")

	w.Expect(w.cluster.Tracker().Delete(gatewayResource, "test", "edge")).To(Succeed())
	w.expectTold("of the end of a Gateway", "policy")
	w.create(gatewayResource, aGateway("shiny", ""))
	w.expectTold("of one that comes", "policy")

	w.gateways.Follow(policy, nil)
	w.update(classResource, aClass(""))
	w.update(gatewayResource, aGateway("dull", ""))
	w.expectTold("of what it doesn't follow any more")
	w.gateways.Follow(types.NamespacedName{Namespace: "test", Name: "other"}, nil)
	w.Expect(w.gateways.objects.Targets()).To(BeEmpty())
}

func TestWhatIsBeingReadIsPending(t *testing.T) {
	for name, resource := range map[string]string{"Gateways": "gateways", "their classes": "gatewayclasses"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(gatewayResource, aGateway("shiny", ""))
			w.create(classResource, aClass("{name: HTTPRoute}"))
			release := make(chan struct{})
			w.cluster.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				<-release
				return false, nil, nil
			})
			w.gateways.Follow(policy, []types.NamespacedName{edge})
			w.Consistently(w.pending).Should(BeTrue())
			close(release)
			w.Eventually(w.pending).Should(BeFalse())
		})
	}
}

func TestWhatCanNotBeReadLacksNothing(t *testing.T) {
	w := newWorld(t)
	w.create(gatewayResource, aGateway("shiny", ""))
	w.cluster.PrependReactor("list", "gatewayclasses", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(classResource.GroupResource(), "", errors.New("not you"))
	})
	w.gateways.Follow(policy, []types.NamespacedName{edge})
	w.Eventually(w.pending).Should(BeFalse())
	w.Expect(w.gateways.Lacking(w.aRoute(), "test")).To(BeEmpty())
}
