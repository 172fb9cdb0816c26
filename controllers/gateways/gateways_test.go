package gateways

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/routes"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	os.Exit(m.Run())
}

var (
	setResource     = gatewayAPI.WithResource("listenersets")
	gatewayResource = gatewayAPI.WithResource("gateways")
	classResource   = gatewayAPI.WithResource("gatewayclasses")
	policy          = types.NamespacedName{Namespace: "test", Name: "policy"}
	edge            = attachedTo("Gateway", "edge")
	more            = attachedTo("ListenerSet", "more")
)

func attachedTo(kind, name string) routes.Attachment {
	return routes.Attachment{Kind: kind, NamespacedName: types.NamespacedName{Namespace: "test", Name: name}}
}

// world is a Gateways over a cluster that a test writes to.
type world struct {
	*WithT
	cluster  *dynamicfake.FakeDynamicClient
	mapper   *meta.DefaultRESTMapper
	gateways *Gateways

	mu   sync.Mutex
	told []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t)}
	w.cluster = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		setResource: "ListenerSetList", gatewayResource: "GatewayList", classResource: "GatewayClassList",
	})
	w.mapper = meta.NewDefaultRESTMapper(nil)
	// What a mapper makes up is "gatewaies".
	w.mapper.AddSpecific(gatewayTarget.GroupVersionKind, gatewayResource, gatewayResource, meta.RESTScopeNamespace)
	w.mapper.Add(classTarget.GroupVersionKind, meta.RESTScopeRoot)
	w.mapper.Add(setTarget.GroupVersionKind, meta.RESTScopeNamespace)
	w.gateways = New(t.Context(), Options{Client: w.cluster, Mapper: w.mapper, Notify: func(policy types.NamespacedName) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, policy.Name)
	}})
	return w
}

// follow has a policy follow what it attaches to, until that and what it leads to are read, and then again, as a reconcile does.
func (w *world) follow(policy string, attachments ...routes.Attachment) {
	name := types.NamespacedName{Namespace: "test", Name: policy}
	w.gateways.Follow(name, attachments)
	w.Eventually(w.pending(attachments...)).Should(BeFalse())
	w.gateways.Follow(name, attachments)
}

func (w *world) pending(attachments ...routes.Attachment) func() bool {
	return func() bool { return w.gateways.Pending(attachments) }
}

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

func aClass(features string) string { return aClassOf("example.com/gateway", features) }

func aClassOf(controller, features string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: shiny}, spec: {controllerName: " + controller + "}, status: {supportedFeatures: [" + features + "]}}"
}

// aSet of listeners, with a parent.
func aSet(parent string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet, metadata: {name: more, namespace: test}, spec: {parentRef: {" + parent + "}}}"
}

func TestPoliciesAreToldOfWhatMatters(t *testing.T) {
	w := newWorld(t)
	w.create(gatewayResource, aGateway("dull", ""))
	w.create(classResource, aClass("{name: HTTPRoute}"))
	w.follow("policy", edge)
	w.follow("other", attachedTo("Gateway", "inner"))
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
	w.update(classResource, aClassOf("example.com/other", "{name: HTTPRoute}, {name: HTTPRouteRequestMirror}"))
	w.expectTold("of another controller", "policy")

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

func TestPoliciesAreToldOfWhatListenerSetsLeadTo(t *testing.T) {
	w := newWorld(t)
	w.create(setResource, aSet("name: inner"))
	w.create(gatewayResource, aGateway("dull", ""))
	w.create(classResource, aClass("{name: HTTPRoute}"))
	w.follow("other", attachedTo("Gateway", "inner"))
	w.Expect(w.gateways.objects.Targets()).NotTo(ContainElement(setTarget), "no route has such a parent")
	w.follow("policy", more)
	w.Eventually(w.toldOf).Should(ContainElement("policy"), "that all is read")
	w.quiet()

	w.update(gatewayResource, aGateway("shiny", ""))
	w.expectTold("of a Gateway that the set doesn't lead to")
	w.update(setResource, aSet("name: edge"))
	w.expectTold("of another parent of the set", "policy")
	w.follow("policy", more)
	w.update(classResource, aClass(""))
	w.expectTold("of the class", "policy")
	w.update(gatewayResource, aGateway("dull", ""))
	w.expectTold("of another class of the Gateway", "policy")
	w.Expect(w.cluster.Tracker().Delete(setResource, "test", "more")).To(Succeed())
	w.expectTold("of the end of the set", "policy")

	w.follow("policy", edge)
	w.Expect(w.gateways.objects.Targets()).To(ConsistOf(gatewayTarget, classTarget), "no route has such a parent any more")
}
