package observe

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

var web = watch.Name{Target: watch.Target{GroupVersionKind: deployments.GroupVersion().WithKind("Deployment")}, Object: types.NamespacedName{Namespace: "test", Name: "web"}}

// exists has the cluster hold a Deployment without the label.
func (w *world) exists(name string) {
	w.Expect(w.metadata.Tracker().Create(deployments, &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: name},
	}, "test")).To(Succeed())
}

// reads gives how many objects were read one by one.
func (w *world) reads() int { return len(w.metadata.Actions()) }

func TestAnObjectWithoutTheLabelIsFound(t *testing.T) {
	w := newWorld(t)
	s := subject("web", deployment("web"))
	w.observed(s)
	state := func() ResourceState { return w.state(s)().State }
	told := w.quiet(s)

	w.unlabelled.look(t.Context(), web)
	w.Expect(state()).To(Equal(Missing))
	w.Expect(w.times(s)()).To(Equal(told), "that nothing is found is no news")
	w.Expect(w.unlabelled.queue.NumRequeues(web)).To(Equal(2), "it is looked for again, later")

	w.exists("web")
	w.unlabelled.look(t.Context(), web)
	w.Expect(state()).To(Equal(Unlabelled))
	w.Expect(w.times(s)()).To(Equal(told + 1))
	w.unlabelled.look(t.Context(), web)
	w.Expect(w.times(s)()).To(Equal(told+1), "nothing has changed")

	w.Expect(w.metadata.Tracker().Delete(deployments, "test", "web")).To(Succeed())
	w.unlabelled.look(t.Context(), web)
	w.Expect(state()).To(Equal(Missing))
	w.Expect(w.times(s)()).To(Equal(told + 2))
}

func TestAnObjectIsNotReadOneByOneWhereThereIsNoNeed(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"no Subject names it": func(*world) {},
		"a watch shows it": func(w *world) {
			w.create(deployments, aDeployment("web", "False"))
			w.observed(subject("web", deployment("web")))
		},
		"a watch that keeps all shows it": func(w *world) {
			w.create(deployments, aDeployment("web", "False"))
			w.observed(subject("web", withCEL(deployment("web"), "true")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			w.exists("web")
			w.unlabelled.queue.AddRateLimited(web)
			w.unlabelled.found[web] = struct{}{}
			w.unlabelled.look(t.Context(), web)
			w.Expect(w.reads()).To(BeZero())
			w.Expect(w.unlabelled.queue.NumRequeues(web)).To(BeZero())
			w.Expect(w.unlabelled.found).To(BeEmpty())
		})
	}
}

func TestAnObjectOfAKindThatCanNotBeListedIsNotRead(t *testing.T) {
	w := newWorld(t)
	thing := watch.Name{Target: watch.Target{GroupVersionKind: models.GroupVersion().WithKind("Thing")}, Object: types.NamespacedName{Namespace: "test", Name: "web"}}
	s := subject("web", iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Thing", Name: "web"})
	w.observed(s)
	w.unlabelled.look(t.Context(), thing)
	w.Expect(w.unlabelled.exists(t.Context(), thing)).To(BeFalse())
	w.Expect(w.reads()).To(BeZero())
}

func TestAMissingResourceIsLookedForOnce(t *testing.T) {
	w := newWorld(t)
	s := subject("web", deployment("web"))
	w.observed(s)
	for range 5 {
		w.Observe(s)
	}
	w.Expect(w.unlabelled.queue.NumRequeues(web)).To(Equal(1), "a look is under way already")
	w.Expect(w.reads()).To(BeZero(), "observing reads nothing")
}

func TestAnObjectIsReadOneByOneWhereItsKindCouldBeListedOnce(t *testing.T) {
	refused := func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(deployments.GroupResource(), "", errors.New("not for you"))
	}
	for name, test := range map[string]struct {
		refuse func(*world)
		state  ResourceState
		reads  int
	}{
		"it may be listed and watched":      {func(*world) {}, Missing, 1},
		"it may not be watched any more":    {func(w *world) { w.client.PrependWatchReactor("deployments", noWatch(refused)) }, Missing, 1},
		"it may not be listed, nor be read": {func(w *world) { w.client.PrependReactor("list", "deployments", refused) }, Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.refuse(w)
			w.exists("web")
			s := subject("web", deployment("web"))
			w.observed(s)
			if name == "it may not be watched any more" {
				w.Eventually(w.state(s)).Should(HaveField("Stale", HaveLen(1)))
			}
			w.Expect(w.state(s)().State).To(Equal(test.state))
			w.unlabelled.look(t.Context(), web)
			w.Expect(w.reads()).To(Equal(test.reads))
		})
	}
}

func noWatch(refuse clienttesting.ReactionFunc) clienttesting.WatchReactionFunc {
	return func(action clienttesting.Action) (bool, apiwatch.Interface, error) {
		_, _, err := refuse(action)
		return true, nil, err
	}
}

func TestLooksEndWithTheContext(t *testing.T) {
	w := newWorld(t)
	w.exists("web")
	s := subject("web", deployment("web"))
	w.observed(s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		w.unlabelled.run(ctx)
		close(ended)
	}()
	w.unlabelled.queue.Add(web)
	w.Eventually(w.state(s)).Should(HaveField("State", Unlabelled))
	w.Expect(w.metadata.Tracker().Delete(deployments, "test", "web")).To(Succeed())
	w.unlabelled.queue.Add(web)
	w.Eventually(w.state(s)).Should(HaveField("State", Missing), "it is looked at again")
	w.Consistently(ended).ShouldNot(BeClosed())

	looking, answer := make(chan struct{}), make(chan struct{})
	w.metadata.PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		close(looking)
		<-answer
		return false, nil, nil
	})
	w.unlabelled.queue.Add(web)
	w.Eventually(looking).Should(BeClosed())
	cancel()
	w.Consistently(ended).ShouldNot(BeClosed(), "a look is under way")
	close(answer)
	w.Eventually(ended).Should(BeClosed())
}
