package observe

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var errBroken = apierrors.NewInternalError(errors.New("etcd"))

const whyBroken = "the apiserver answers with status 500: Internal error occurred: etcd"

// unreadable has each try to list or watch a resource fail for as long as broken says so, which may be nil.
func (w *world) unreadable(verb string, resource schema.GroupVersionResource, namespace string, err error, broken func() bool) {
	fails := func(action clienttesting.Action) bool {
		return (namespace == "" || action.GetNamespace() == namespace) && (broken == nil || broken())
	}
	if verb == "list" {
		w.client.PrependReactor("list", resource.Resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
			return fails(action), nil, err
		})
		return
	}
	w.client.PrependWatchReactor(resource.Resource, func(action clienttesting.Action) (bool, apiwatch.Interface, error) {
		return fails(action), nil, err
	})
}

// refs lists references.
func refs(refs ...iter8v1alpha1.ResourceReference) []iter8v1alpha1.ResourceReference { return refs }

// TestSinceWhenAVariantCanNotBeRead has a cluster where Models have never been read, and Deployments and the EndpointSlices of
// namespace test were listed once and can't be watched; Services can be read.
func TestSinceWhenAVariantCanNotBeRead(t *testing.T) {
	exists := true
	servedExists := service("served")
	servedExists.ReadyWhen = &iter8v1alpha1.ReadyWhen{Exists: &exists}
	in := func(namespace string, ref iter8v1alpha1.ResourceReference) iter8v1alpha1.ResourceReference {
		ref.Namespace = namespace
		return ref
	}
	const stale = " is judged as last seen: " + whyBroken
	for name, test := range map[string]struct {
		resources []iter8v1alpha1.ResourceReference
		state     ResourceState
		stale     []string
		unread    bool
	}{
		"all can be read":                        {refs(servedExists), Ready, nil, false},
		"there is nothing to read":               {nil, Ready, nil, false},
		"its kind has never been read":           {refs(model("good")), Unknown, nil, true},
		"its kind can't be read any more":        {refs(deployment("good")), Ready, []string{"Deployment good" + stale}, true},
		"so it isn't ready only as last seen":    {refs(deployment("bad")), NotReady, []string{"Deployment bad" + stale}, true},
		"its EndpointSlices can't be any more":   {refs(service("served")), Ready, []string{"Service served" + stale}, true},
		"only some other can't, before":          {refs(deployment("good"), servedExists), Ready, []string{"Deployment good" + stale}, true},
		"only some other can't, behind":          {refs(servedExists, model("good")), Unknown, nil, true},
		"what can be read isn't there":           {refs(model("good"), service("none"), deployment("bad")), Missing, []string{"Deployment bad" + stale}, false},
		"a Service that isn't there has no need": {refs(service("none")), Missing, nil, false},
		"a reference can't work":                 {refs(in("beyond", servedExists)), Invalid, nil, false},
		"nor can another be read":                {refs(in("beyond", servedExists), model("good")), Invalid, nil, true},
		"a kind is cluster-scoped":               {refs(iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Node", Name: "n"}), Invalid, nil, false},
		"another namespace has its own state":    {refs(in("elsewhere", service("served"))), Ready, nil, false},
		"one namespace of two can't be read":     {refs(in("elsewhere", service("served")), service("served")), Ready, []string{"Service served" + stale}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := newWorld(t, func(c *configv1alpha1.OperatorConfiguration) {
					c.AllowCrossNamespaceReferences = true
					c.WatchNamespaces = []string{"test", "elsewhere"}
				})
				w.mapper.AddSpecific(deployments.GroupVersion().WithKind("Node"), deployments, deployments, meta.RESTScopeRoot)
				cluster(w)
				w.create(services, "{apiVersion: v1, kind: Service, metadata: {name: served, namespace: elsewhere}, spec: {selector: {app: a}}}")
				w.create(sliceResource, "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: served-1, namespace: elsewhere, "+
					"labels: {kubernetes.io/service-name: served}}, endpoints: [{addresses: [10.0.0.1]}]}")
				w.unreadable("list", models, "", errBroken, nil)
				w.unreadable("watch", deployments, "", errBroken, nil)
				w.unreadable("watch", sliceResource, "test", errBroken, nil)
				s := subject("web", test.resources...)
				w.follow(s)
				w.Eventually(func() time.Duration { return time.Since(began) }).Should(BeNumerically(">", 5*time.Second), "a fault that lasts is told by then")
				got := w.state(s)()
				w.Expect(got.State).To(Equal(test.state))
				w.Expect(got.Stale).To(Equal(test.stale))
				want := time.Time{}
				if test.unread {
					want = began
				}
				w.Expect(got.UnreadableSince).To(Equal(want))
			})
		})
	}
}

func TestOfSeveralThatCanNotBeReadTheFirstCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cluster(w)
		w.unreadable("list", models, "", errBroken, nil)
		w.unreadable("list", deployments, "", errBroken, nil)
		w.follow(subject("later", deployment("good")))
		began := time.Now()
		w.Eventually(func() time.Duration { return time.Since(began) }).Should(BeNumerically(">", 10*time.Second))
		s := subject("web", model("good"), deployment("good"))
		w.follow(s)
		w.Eventually(func() ResourceState { return w.state(subject("other", model("good")))().State }).Should(Equal(Unknown))
		w.Expect(w.state(s)()).To(HaveField("UnreadableSince", began))
	})
}

func TestAKindThatCanBeReadAgainIsNotUnreadableAnyMore(t *testing.T) {
	for name, verb := range map[string]string{"it couldn't be from the start": "list", "it couldn't be any more": "watch"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mended atomic.Bool
				w := newWorld(t)
				cluster(w)
				w.unreadable(verb, deployments, "", errBroken, func() bool { return !mended.Load() })
				s := subject("web", deployment("good"))
				w.follow(s)
				w.Eventually(w.state(s)).ShouldNot(HaveField("UnreadableSince", BeZero()))
				told := w.quiet(s)
				mended.Store(true)
				w.Eventually(w.state(s)).Should(Equal(Variant{Name: "v1", State: Ready}))
				w.Eventually(w.times(s)).Should(BeNumerically(">", told))
			})
		})
	}
}
