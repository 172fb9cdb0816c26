package observe

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var errNoSlices = apierrors.NewForbidden(sliceResource.GroupResource(), "", errors.New("not for you"))

const whyNoSlices = "endpointslices.discovery.k8s.io: endpointslices.discovery.k8s.io is forbidden: not for you"

// listedServices has the cluster's Services read, and waits until they are.
func (w *world) listedServices() {
	exists := true
	ref := service("web")
	ref.ReadyWhen = &iter8v1alpha1.ReadyWhen{Exists: &exists}
	s := subject("watches-services", ref)
	w.follow(s)
	w.Eventually(w.state(s)).Should(HaveField("State", Ready))
}

func TestAServiceWhoseEndpointsAreNotReadIsNotUnavailable(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		want   Variant
	}{
		"the apiserver doesn't answer": {errors.New("connection refused"),
			Variant{Name: "v1", State: Unknown, Problems: []Problem{{Unknown, "Service web can't be read (discovery.k8s.io/v1 EndpointSlice): connection refused"}}}},
		"the apiserver fails": {apierrors.NewInternalError(errors.New("etcd")),
			Variant{Name: "v1", State: Unknown, Problems: []Problem{{Unknown,
				"Service web can't be read (discovery.k8s.io/v1 EndpointSlice): the apiserver answers with status 500: Internal error occurred: etcd"}}}},
		"they may not be read": {errNoSlices,
			Variant{Name: "v1", State: Unknown, Problems: []Problem{{Unknown, "Service web can't be read (discovery.k8s.io/v1 EndpointSlice): may not list " + whyNoSlices}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create(services, aService("web", "app: web"))
			w.create(sliceResource, aSlice("web-1", "web", "true"))
			w.client.PrependReactor("list", "endpointslices", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, test.answer
			})
			s := subject("web", service("web"))
			w.follow(s)
			w.listedServices()
			w.Eventually(w.judged(s)).Should(Equal(test.want))
			w.Consistently(w.judged(s)).Should(Equal(test.want))

			w.client.Lock()
			w.client.ReactionChain = w.client.ReactionChain[1:]
			w.client.Unlock()
			w.Eventually(w.judged(s)).Should(Equal(Variant{Name: "v1", State: Ready}))
		})
	}
}

func TestAServiceWhoseEndpointsCanNotBeWatchedAnyMoreIsJudgedAsLastSeen(t *testing.T) {
	w := newWorld(t)
	w.create(services, aService("web", "app: web"))
	w.create(sliceResource, aSlice("web-1", "web", "true"))
	w.client.PrependWatchReactor("endpointslices", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
		return true, nil, errNoSlices
	})
	s := subject("web", service("web"))
	w.follow(s)
	w.Eventually(w.judged(s)).Should(Equal(Variant{
		Name: "v1", State: Ready, Stale: []string{"Service web is judged as last seen: may not watch " + whyNoSlices},
	}))
}

func TestWhatHasNeverBeenReadOfAVariant(t *testing.T) {
	var (
		ready    = deployment("good")
		notReady = deployment("bad")
		failing  = withCEL(model("good"), "object.status.size > 1")
		unread   = iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Thing", Name: "n"}
		pending  = model("no-subject-follows-this-kind")
	)
	w := newWorld(t)
	cluster(w)
	w.follow(subject("web", ready, failing, unread))
	for _, ref := range []iter8v1alpha1.ResourceReference{ready, failing, unread} {
		w.Eventually(w.state(subject("other", ref))).ShouldNot(HaveField("State", Pending))
	}
	for name, test := range map[string]struct {
		resources    []iter8v1alpha1.ResourceReference
		weightUnread bool
	}{
		"all are read":                            {[]iter8v1alpha1.ResourceReference{ready, notReady}, false},
		"the first isn't":                         {[]iter8v1alpha1.ResourceReference{unread, ready}, true},
		"the second isn't":                        {[]iter8v1alpha1.ResourceReference{ready, unread}, false},
		"neither is":                              {[]iter8v1alpha1.ResourceReference{unread, unread}, true},
		"the first isn't, the second can't be":    {[]iter8v1alpha1.ResourceReference{unread, failing}, true},
		"the first isn't, the second isn't ready": {[]iter8v1alpha1.ResourceReference{unread, notReady}, true},
		"the first can't be judged, but was read": {[]iter8v1alpha1.ResourceReference{failing, ready}, false},
		"the first is being read":                 {[]iter8v1alpha1.ResourceReference{pending, ready}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.Observe(subject("other", test.resources...)).Variants[0]
			NewWithT(t).Expect(got.WeightUnread).To(Equal(test.weightUnread))
		})
	}
}
