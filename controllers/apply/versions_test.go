package apply

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// servesBeta has the cluster serve routes in v1beta1 too.
func (w *world) servesBeta() {
	w.executor.Mapper.(*meta.DefaultRESTMapper).Add(betaKind, meta.RESTScopeNamespace)
}

// in returns a route's manifest in a version.
func in(version string, m *unstructured.Unstructured) *unstructured.Unstructured {
	m.SetAPIVersion("gateway.networking.k8s.io/" + version)
	return m
}

// entryIn returns the line of a route that was applied in a version.
func entryIn(version, name string) iter8v1alpha1.AppliedObject {
	entry := entryOf(name)
	entry.APIVersion = "gateway.networking.k8s.io/" + version
	return entry
}

func TestInterestsAreInTheRecordedVersionsAndThoseThatAreRendered(t *testing.T) {
	g := NewWithT(t)
	grpc := entryOf("calls")
	grpc.Kind = "GRPCRoute"
	kinds, keys := Interests(routesNamed("b", "a"), []iter8v1alpha1.AppliedObject{entryIn("v1beta1", "a"), grpc})
	grpcKind := routeKind.GroupVersion().WithKind("GRPCRoute")
	g.Expect(kinds).To(Equal([]schema.GroupVersionKind{betaKind, grpcKind, routeKind}))
	g.Expect(keys).To(Equal([]Key{keyOf("a"), {GroupKind: grpcKind.GroupKind(), Name: "calls"}, keyOf("b")}))
}

// The cluster serves routes in v1, in which the route stands.
func TestAnObjectIsLookedUpInAVersionThatIsServed(t *testing.T) {
	for name, test := range map[string]struct {
		recorded, rendered string
		// served are the versions that are known beside those.
		served []string
		action Action
	}{
		"the recorded one, where that is rendered too":                         {"v1", "v1", nil, Update},
		"the recorded one, whatever is rendered":                               {"v1", "v1beta9", nil, Update},
		"the one that is rendered, where the recorded one was dropped":         {"v1alpha1", "v1", nil, Update},
		"another, where the recorded and the rendered ones were dropped":       {"v1alpha1", "v1beta9", []string{"v1"}, Update},
		"the first other one that is served":                                   {"v1alpha1", "v1alpha1", []string{"v2", "v1"}, Update},
		"the recorded one, of what leaves":                                     {"v1", "", []string{"v2"}, Delete},
		"another, of what leaves in a version that was dropped":                {"v1alpha1", "", []string{"v1alpha1", "v1"}, Delete},
		"not at all, where the kind is served in no version that can be known": {"v1alpha1", "", []string{"v2"}, Release},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.served = test.served
			w.create(seen("old-uid-of-web", "7", 3))
			var manifests []*unstructured.Unstructured
			if test.rendered != "" {
				manifests = append(manifests, in(test.rendered, route()))
			}
			result := w.apply(t, w.request(manifests, []iter8v1alpha1.AppliedObject{entryIn(test.recorded, "web")}), &log{})
			w.Expect(result.Steps).To(HaveExactElements(HaveField("Action", test.action)))
			if test.action == Release {
				w.Expect(w.calls()).To(BeEmpty())
				return
			}
			w.Expect(result.Steps[0].Existing.UID).To(Equal(types.UID("old-uid-of-web")))
			w.Expect(result.Steps[0].Watched).To(Equal(routeKind))
		})
	}
}

func TestAnObjectIsDeletedInAVersionThatIsServed(t *testing.T) {
	w := newWorld(t)
	w.served = []string{"v1"}
	w.create(seen("old-uid-of-web", "7", 3))
	result := w.apply(t, w.request(nil, []iter8v1alpha1.AppliedObject{entryIn("v1alpha1", "web")}), &log{})
	w.Expect(result.Failures).To(BeEmpty())
	w.Expect(result.Inventory).To(BeEmpty())
	w.Expect(w.client.Actions()).To(ContainElement(And(HaveField("Name", "web"),
		BeAssignableToTypeOf(clienttesting.DeleteActionImpl{}), HaveField("Resource", httpRoutes))))
}

func TestAManifestInAVersionThatIsNotServedIsNotWritten(t *testing.T) {
	w := newWorld(t)
	w.create(seen("old-uid-of-web", "7", 3))
	inventory := []iter8v1alpha1.AppliedObject{entryIn("v1", "web")}
	request := w.request([]*unstructured.Unstructured{in("v1beta9", route())}, inventory)
	result := w.apply(t, request, &log{})
	w.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", iter8v1alpha1.ReasonKindNotServed),
		HaveField("Message", "the cluster does not serve gateway.networking.k8s.io/v1beta9 HTTPRoute; install its CustomResourceDefinition"))))
	later := request.Manifests
	request.Manifests = nil
	check, refused := w.executor.Check(request, later)
	w.Expect(refused).To(BeNil())
	answered, refused := check.Run(t.Context())
	w.Expect(answered).To(BeFalse())
	w.Expect(refused).To(BeNil())
	w.Expect(w.calls()).To(BeEmpty())
}

func TestWhatIsWrittenInAnotherVersionThanTheWatchedOneIsKnown(t *testing.T) {
	w := newWorld(t)
	w.servesBeta()
	manifests := []*unstructured.Unstructured{routeNamed("a"), in("v1beta1", routeNamed("b"))}
	result := w.apply(t, w.request(manifests, nil), &log{})
	w.Expect(result.Failures).To(BeEmpty())
	w.Expect(w.calls()).To(Equal([]string{"patch a", "patch b"}))

	result = w.apply(t, w.request(manifests, result.Inventory), &log{})
	w.Expect(result.Failures).To(BeEmpty())
	w.Expect(w.calls()).To(Equal([]string{"patch a", "patch b"}), "what was written isn't written again before the watch shows it")
	w.cache.Follow(policy, nil, nil)
	w.Expect(w.unshown()).To(BeEmpty())
}

// Two versions are watched while one takes the place of the other.
func TestNoWatchOfAnyVersionTellsAPolicyOfItsOwnWrites(t *testing.T) {
	w := newWorld(t)
	w.servesBeta()
	w.create(seen("old-uid-of-web", "7", 3))
	w.Expect(w.client.Tracker().Create(betaRoutes, in("v1beta1", seen("old-uid-of-web", "7", 3)), "test")).To(Succeed())
	result := w.apply(t, w.request([]*unstructured.Unstructured{in("v1beta1", route())}, []iter8v1alpha1.AppliedObject{entryIn("v1", "web")}), &log{})
	w.Expect(result.Failures).To(BeEmpty())
	w.Expect(w.calls()).To(Equal([]string{"patch web"}))
	w.forgetTold()

	w.update(seen("old-uid-of-web", "101", 7))
	w.Expect(w.client.Tracker().Update(betaRoutes, in("v1beta1", seen("old-uid-of-web", "101", 7)), "test")).To(Succeed())
	w.Eventually(w.unshown).Should(BeEmpty())
	w.Consistently(w.toldOf).Should(BeEmpty())
}

// The recorded version is found not to be served after a reconcile has looked at what is watched.
func TestAnObjectIsNotForgottenBeforeItsOtherVersionIsWatched(t *testing.T) {
	w := newWorld(t)
	w.create(seen("old-uid-of-web", "7", 3))
	inventory := []iter8v1alpha1.AppliedObject{entryIn("v1alpha1", "web")}
	w.cache.Follow(policy, []schema.GroupVersionKind{routeKind.GroupKind().WithVersion("v1alpha1")}, []Key{keyOf("web")})
	w.Eventually(func() error { return w.cache.State(routeKind.GroupKind().WithVersion("v1alpha1"), "test").Err }).Should(HaveOccurred())
	w.served = []string{"v1"}
	record := func(context.Context, []iter8v1alpha1.AppliedObject) error { return nil }
	result := w.executor.Apply(t.Context(), w.request(nil, inventory), record)
	w.Expect(result.Aborted).To(HaveValue(HaveField("Message", "it is not known yet whether HTTPRoute web stands")))
	w.Expect(result.Inventory).To(Equal(inventory))
}
