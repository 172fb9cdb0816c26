package observe

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var web = resource{deployments.GroupVersion().WithKind("Deployment"), types.NamespacedName{Namespace: "test", Name: "web"}}

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
	w.Expect(w.unlabelled.queue.NumRequeues(web)).To(BeNumerically(">", 0), "it is looked for again")

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
	thing := resource{models.GroupVersion().WithKind("Thing"), types.NamespacedName{Namespace: "test", Name: "web"}}
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
	cancel()
	w.Eventually(ended).Should(BeClosed())
}
