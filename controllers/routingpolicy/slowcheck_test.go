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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/notify"
)

// slow is a cluster in which each dry run takes some time.
type slow struct {
	dynamic.Interface
	takes time.Duration
}

func (c slow) Resource(resource schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return slowly{c.Interface.Resource(resource), nil, c.takes}
}

type slowly struct {
	dynamic.NamespaceableResourceInterface
	namespaced dynamic.ResourceInterface
	takes      time.Duration
}

func (s slowly) Namespace(name string) dynamic.ResourceInterface {
	s.namespaced = s.NamespaceableResourceInterface.Namespace(name)
	return s
}

func (s slowly) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, sub ...string) (*unstructured.Unstructured, error) {
	if len(options.DryRun) > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.namespaced.Patch(ctx, name, kind, data, options, sub...)
}

func (s slowly) Get(ctx context.Context, name string, options metav1.GetOptions, sub ...string) (*unstructured.Unstructured, error) {
	return s.namespaced.Get(ctx, name, options, sub...)
}

// newSlow is a mirrored world in which a dry run takes some time, and a channel that has each notification of its policy. Its
// spec has just changed by mirroredAndMore.
func newSlow(t *testing.T, takes time.Duration) (*world, chan types.NamespacedName) {
	t.Helper()
	w := newMirrored(t)
	w.reconciler.now = time.Now
	w.reconciler.Accounts = apply.NewAccounts(&rest.Config{Host: "::"}, slow{w.cluster, takes}, "")
	notified := make(chan types.NamespacedName, 10)
	w.reconciler.Policies = &notify.Notifier{}
	w.reconciler.Policies.Subscribe(func(name types.NamespacedName) { notified <- name })
	mirroredAndMore(t, w)
	return w, notified
}

// Webhooks may take their time for the objects of a plan, one after the other.
func TestNoWithdrawalWaitsForACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, notified := newSlow(t, 20*time.Second)
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.written()).To(BeEmpty(), "it isn't known yet")

		w.goes(t, "v2")
		began := time.Now()
		_, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(time.Since(began)).To(BeNumerically("<", time.Second))
		w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}))
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		w.Expect(w.policy(t).Status.ObservedGeneration).To(BeNumerically("<", w.policy(t).Generation), "the new spec isn't acted on yet")

		w.Expect(<-notified).To(Equal(nameIn("policy")))
		w.Expect(time.Since(began)).To(BeNumerically("<", time.Minute))
		_, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.written()).To(Equal([]string{"dry-run web", "dry-run more", "status web,more?", "apply web", "apply more", "status web,more"}))
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")), "both of its mirrors are to v2 now")
		w.Expect(notified).To(BeEmpty())
	})
}

func TestACheckHasOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, notified := newSlow(t, 50*time.Second)
		began := time.Now()
		_, _ = w.reconcileOnce(t)
		w.Expect(<-notified).To(Equal(nameIn("policy")))
		w.Expect(time.Since(began)).To(Equal(time.Minute))
		_, err := w.reconcileOnce(t)
		w.Expect(err).To(MatchError(ContainSubstring("nothing is applied, since a dry run of all failed: applying HTTPRoute more: context deadline exceeded")), "it is tried again")
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "what stands stays")
	})
}

// What was asked about an older spec says nothing of a newer one.
func TestACheckOfAnOlderSpecEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, notified := newSlow(t, 20*time.Second)
		_, _ = w.reconcileOnce(t)
		w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, toV2) + `, "others": ["most"]}`)
		})
		began := time.Now()
		_, _ = w.reconcileOnce(t)
		w.Expect(<-notified).To(Equal(nameIn("policy")), "the older one has ended")
		w.Expect(time.Since(began)).To(BeNumerically("<", time.Second))
		_, _ = w.reconcileOnce(t)
		w.Expect(w.written()).To(BeEmpty())
		<-notified
		_, _ = w.reconcileOnce(t)
		w.Expect(w.written()).To(ContainElement("apply most"))
		w.Expect(w.route("more")).To(BeNil())
	})
}

func TestOnlySoManyChecksAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, notified := newSlow(t, time.Second)
		var ends []func()
		for range 32 {
			end, ok := w.reconciler.checks.begin(t.Context())
			w.Expect(ok).To(BeTrue())
			ends = append(ends, end)
		}
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		select {
		case <-notified:
			t.Error("it doesn't wait for the others")
		case <-time.After(5 * time.Minute):
		}
		w.Expect(w.written()).NotTo(ContainElement(HavePrefix("dry-run")))
		ends[0]()
		w.Expect(<-notified).To(Equal(nameIn("policy")))
		w.Expect(w.written()).To(ContainElement(HavePrefix("dry-run")))
	})
}
