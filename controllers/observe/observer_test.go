package observe

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// observed follows a Subject until all its kinds are read.
func (w *world) observed(s *iter8v1alpha1.Subject) {
	w.follow(s)
	w.Eventually(func() bool { return w.Observe(s).Pending() }).Should(BeFalse())
}

// quiet gives how often a Subject was told of once nothing more is told.
func (w *world) quiet(s *iter8v1alpha1.Subject) int {
	told := w.times(s)()
	w.Eventually(func() bool {
		before := told
		told = w.times(s)()
		return before == told
	}, "20s", "100ms").Should(BeTrue())
	return told
}

func TestAServiceIsReadyByItsEndpoints(t *testing.T) {
	w := newWorld(t)
	w.create(services, aService("web", "app: web"))
	s := subject("web", service("web"))
	w.observed(s)
	state := func() ResourceState { return w.state(s)().State }
	w.Expect(state()).To(Equal(NotReady))
	for _, step := range []struct {
		what string
		do   func()
		want ResourceState
	}{
		{"an endpoint of another Service", func() { w.create(sliceResource, aSlice("other-1", "other", "true")) }, NotReady},
		{"an endpoint that isn't ready", func() { w.create(sliceResource, aSlice("web-1", "web", "false")) }, NotReady},
		{"one that is, in another slice", func() { w.create(sliceResource, aSlice("web-2", "web", "true")) }, Ready},
		{"both are", func() { w.update(sliceResource, aSlice("web-1", "web", "true")) }, Ready},
		{"the second goes", func() { w.delete(sliceResource, "web-2") }, Ready},
		{"the first isn't any more", func() { w.update(sliceResource, aSlice("web-1", "web", "false")) }, NotReady},
		{"it is again", func() { w.update(sliceResource, aSlice("web-1", "web", "true")) }, Ready},
		{"it goes too", func() { w.delete(sliceResource, "web-1") }, NotReady},
		{"the Service has no selector any more", func() {
			w.update(services, "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {externalName: example.com}}")
		}, Ready},
	} {
		told := w.quiet(s)
		step.do()
		w.Eventually(state).Should(Equal(step.want), step.what)
		w.Consistently(state).Should(Equal(step.want), step.what)
		if step.what != "an endpoint of another Service" {
			w.Eventually(w.times(s)).Should(BeNumerically(">", told), "nobody is told: "+step.what)
		} else {
			w.Expect(w.times(s)()).To(Equal(told), "an endpoint of another Service is no news")
		}
	}
}

func TestAnEndpointSliceMayBeNamedLikeAnyOtherResource(t *testing.T) {
	named := iter8v1alpha1.ResourceReference{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Name: "web-1"}
	for name, ref := range map[string]iter8v1alpha1.ResourceReference{
		"by itself":          named,
		"with an expression": withCEL(named, "object.endpoints.size() > 0"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := subject("web", ref)
			w.observed(s)
			w.Expect(w.state(s)().State).To(Equal(Missing))
			for _, step := range []struct {
				what string
				do   func()
				want ResourceState
			}{
				{"it comes", func() { w.create(sliceResource, aSlice("web-1", "web", "true")) }, Ready},
				{"it is being deleted", func() {
					w.update(sliceResource, "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, "+
						"metadata: {name: web-1, deletionTimestamp: '2026-01-01T00:00:00Z'}, endpoints: []}")
				}, Terminating},
				{"it goes", func() { w.delete(sliceResource, "web-1") }, Missing},
			} {
				told := w.quiet(s)
				step.do()
				w.Eventually(func() ResourceState { return w.state(s)().State }).Should(Equal(step.want), step.what)
				w.Eventually(w.times(s)).Should(BeNumerically(">", told), "the Subject isn't told: "+step.what)
			}
		})
	}
}

func TestEndpointSlicesAreOnlyWatchedForAServiceThatIsJudgedByThem(t *testing.T) {
	w := newWorld(t)
	exists := true
	ref := service("web")
	ref.ReadyWhen = &iter8v1alpha1.ReadyWhen{Exists: &exists}
	knative := service("web")
	knative.APIVersion = "serving.knative.dev/v1"
	w.follow(subject("web", ref, knative, deployment("web")))
	w.Expect(w.Watched()).NotTo(ContainElement(endpointSlices))
	w.follow(subject("web", service("web")))
	w.Expect(w.Watched()).To(ConsistOf(endpointSlices, targetOf(ref)))
}

func TestAResourceThatSeveralSubjectsNameWakesThemAll(t *testing.T) {
	w := newWorld(t)
	one, two, other := subject("one", deployment("web")), subject("two", deployment("web"), service("web")), subject("other", deployment("other"))
	for _, s := range []*iter8v1alpha1.Subject{one, two, other} {
		w.observed(s)
	}
	told := []int{w.quiet(one), w.quiet(two), w.quiet(other)}
	w.create(deployments, aDeployment("web", "False"))
	w.Eventually(w.times(one)).Should(Equal(told[0] + 1))
	w.Eventually(w.times(two)).Should(Equal(told[1] + 1))
	w.Expect(w.times(other)()).To(Equal(told[2]), "what it doesn't name is none of its business")

	w.delete(deployments, "web")
	w.Eventually(w.times(one)).Should(Equal(told[0] + 2))
	w.Eventually(w.times(two)).Should(Equal(told[1] + 2))
	w.Expect(w.times(other)()).To(Equal(told[2]))
}

func TestAnEndpointSliceIsNewsToAllThatItConcerns(t *testing.T) {
	w := newWorld(t)
	w.create(services, aService("one", "app: one"))
	w.create(services, aService("two", "app: two"))
	slice := iter8v1alpha1.ResourceReference{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Name: "one-1"}
	one, two, itself := subject("one", service("one")), subject("two", service("two")), subject("itself", slice)
	for _, s := range []*iter8v1alpha1.Subject{one, two, itself} {
		w.observed(s)
	}
	told := []int{w.quiet(one), w.quiet(two), w.quiet(itself)}
	expect := func(more ...int) {
		for i, s := range []*iter8v1alpha1.Subject{one, two, itself} {
			w.Eventually(w.times(s)).Should(Equal(told[i]+more[i]), s.Name)
		}
	}
	w.create(sliceResource, aSlice("one-1", "one", "true"))
	expect(1, 0, 1)
	w.update(sliceResource, aSlice("one-1", "two", "true"))
	expect(2, 1, 2)
	w.Expect([]ResourceState{w.state(one)().State, w.state(two)().State}).To(Equal([]ResourceState{NotReady, Ready}), "it belongs to another Service now")
	w.update(sliceResource, aSlice("one-1", "two", "false"))
	expect(2, 2, 3)
	w.delete(sliceResource, "one-1")
	expect(2, 3, 4)
}

func TestOnlyAChangeOfAFactWakesASubject(t *testing.T) {
	w := newWorld(t)
	w.create(deployments, aDeployment("web", "True"))
	s := subject("web", deployment("web"))
	w.observed(s)
	told := w.quiet(s)
	w.update(deployments, scaled("web"))
	w.Consistently(w.times(s)).Should(Equal(told), "nothing that availability is made of has changed")
	w.update(deployments, aDeployment("web", "False"))
	w.Eventually(w.times(s)).Should(Equal(told + 1))
}

func TestAnyChangeWakesASubjectWithAnExpression(t *testing.T) {
	w := newWorld(t)
	w.create(deployments, aDeployment("web", "True"))
	s := subject("web", withCEL(deployment("web"), "object.spec.replicas == 3"))
	w.observed(s)
	w.Expect(w.state(s)().State).To(Equal(NotReady))
	told := w.quiet(s)
	w.update(deployments, scaled("web"))
	w.Eventually(w.times(s)).Should(Equal(told + 1))
	w.Expect(w.state(s)().State).To(Equal(Ready))
}

// scaled is what a Deployment becomes that is Available before and after.
func scaled(name string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + ", annotations: {a: b}, generation: 2}, spec: {replicas: 3}, " +
		"status: {replicas: 3, availableReplicas: 1, conditions: [{type: Available, status: 'True', reason: Why, message: because, lastUpdateTime: later}]}}"
}

func TestWatchesComeAndGoWithTheSubjectsThatNeedThem(t *testing.T) {
	w := newWorld(t)
	aModel, aDeployment, full := model("m"), deployment("d"), withCEL(deployment("d"), "true")
	one, two := subject("one", aModel, aDeployment), subject("two", aModel, full)
	w.observed(one)
	w.observed(two)
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aModel), targetOf(aDeployment), targetOf(full)))

	told := w.quiet(one)
	w.forget(nameOf(one))
	w.Expect(w.times(one)()).To(Equal(told+1), "that it is gone is told too")
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aModel), targetOf(full)))
	w.follow(subject("two", full))
	w.Expect(w.Watched()).To(ConsistOf(targetOf(full)), "a Subject that names other kinds than before")
	w.forget(nameOf(two))
	w.Expect(w.Watched()).To(BeEmpty())
}

func TestASubjectIsNotToldOfWhatItNamedBefore(t *testing.T) {
	w := newWorld(t)
	w.observed(subject("web", deployment("before")))
	now := subject("web", deployment("now"))
	w.observed(now)
	told := w.quiet(now)
	w.create(deployments, aDeployment("before", "True"))
	w.Consistently(w.times(now)).Should(Equal(told))
	w.create(deployments, aDeployment("now", "True"))
	w.Eventually(w.times(now)).Should(Equal(told + 1))
}

func TestAReferenceThatCanNotWorkIsNotWatched(t *testing.T) {
	w := newWorld(t)
	cross := deployment("web")
	cross.Namespace = "elsewhere"
	w.follow(subject("web", cross, withCEL(model("m"), "object.")))
	w.Expect(w.Watched()).To(BeEmpty())
}

func TestAKindThatCanNotBeWatchedAnyMoreIsJudgedAsLastSeen(t *testing.T) {
	w := newWorld(t)
	w.create(deployments, aDeployment("web", "True"))
	w.client.PrependWatchReactor("deployments", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
		return true, nil, apierrors.NewForbidden(deployments.GroupResource(), "", errors.New("not for you"))
	})
	s := subject("web", deployment("web"), deployment("none"))
	w.follow(s)
	const refusal = "may not watch deployments.apps: deployments.apps is forbidden: not for you"
	w.Eventually(w.judged(s)).Should(Equal(Variant{
		Name: "v1", State: Missing,
		Problems: []Problem{{Missing, "Deployment none does not exist"}},
		Stale:    []string{"Deployment web is judged as last seen: " + refusal, "Deployment none is judged as last seen: " + refusal},
	}))
}

func TestAKindThatComesLaterWakesTheSubjectsThatNameIt(t *testing.T) {
	w := newWorld(t)
	things := schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "models"}
	s := subject("web", iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Thing", Name: "m"})
	w.follow(s)
	w.Eventually(w.state(s)).Should(HaveField("State", Unknown))
	told := w.quiet(s)
	w.mapper.serve(things, "Thing")
	w.Eventually(w.state(s)).Should(HaveField("State", Missing))
	w.Eventually(w.times(s)).Should(BeNumerically(">", told))
}

// subjects is a cache that hands its handler to the test.
type subjects struct {
	cache.Cache
	cache.Informer
	handler chan toolscache.ResourceEventHandler
	// noInformer and noHandler are the errors of the two methods.
	noInformer, noHandler error
}

func (s *subjects) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return s, s.noInformer
}

func (s *subjects) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	s.handler <- handler
	return nil, s.noHandler
}

func TestTheObserverFollowsTheSubjectsOfTheCache(t *testing.T) {
	w := newWorld(t)
	from := &subjects{handler: make(chan toolscache.ResourceEventHandler, 1)}
	w.Observer.subjects = from
	w.Expect(w.NeedLeaderElection()).To(BeFalse(), "a standby's caches are warm")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Start(ctx) }()
	handler := <-from.handler

	aModel, aDeployment := model("a"), deployment("a")
	first := subject("web", aModel)
	first.Generation, first.UID = 1, "a"
	handler.OnAdd(first, true)
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aModel)))
	w.Expect(w.times(first)()).To(BeNumerically(">", 0))

	second := subject("web", aDeployment)
	second.Generation, second.UID = 1, "a"
	handler.OnUpdate(first, second)
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aModel)), "what has the same generation has the same spec")
	second.Generation = 2
	handler.OnUpdate(first, second)
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aDeployment)))

	again := subject("web", aModel)
	again.Generation, again.UID = 2, "b"
	handler.OnUpdate(second, again)
	w.Expect(w.Watched()).To(ConsistOf(targetOf(aModel)), "another Subject of that name")

	handler.OnDelete(again)
	w.Expect(w.Watched()).To(BeEmpty())
	handler.OnAdd(first, false)
	handler.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "test/web", Obj: first})
	w.Expect(w.Watched()).To(BeEmpty())
	handler.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "test/web"})

	w.Consistently(ended).ShouldNot(Receive())
	cancel()
	w.Eventually(ended).Should(Receive(BeNil()))
}

func TestWithoutACacheTheObserverDoesNotStart(t *testing.T) {
	for name, from := range map[string]*subjects{
		"it has no informer":     {noInformer: errors.New("no cache")},
		"its informer has ended": {noHandler: errors.New("no cache"), handler: make(chan toolscache.ResourceEventHandler, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Observer.subjects = from
			w.Expect(w.Start(t.Context())).To(MatchError("no cache"))
		})
	}
}
