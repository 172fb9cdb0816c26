package routingpolicy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"

	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/notify"
)

var routeKinds = []schema.GroupKind{
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}, {Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}, {Group: "networking.istio.io", Kind: "VirtualService"},
}

// served is a cluster that serves kinds, by group and version.
func served(kinds map[string][]string) *fake.FakeDiscovery {
	d := &fake.FakeDiscovery{Fake: &clienttesting.Fake{}, FakedServerVersion: &version.Info{GitVersion: "v1.33.4-gke.1036000"}}
	for groupVersion, of := range kinds {
		list := &metav1.APIResourceList{GroupVersion: groupVersion}
		for _, kind := range of {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: kind, Kind: kind}, metav1.APIResource{Name: kind + "/status", Kind: kind})
		}
		d.Resources = append(d.Resources, list)
	}
	return d
}

func gateway() map[string][]string {
	return map[string][]string{
		"v1":                                 {"Service"},
		"apps/v1":                            {"Deployment"},
		"gateway.networking.k8s.io/v1":       {"HTTPRoute", "Gateway"},
		"gateway.networking.k8s.io/v1beta1":  {"HTTPRoute", "ReferenceGrant"},
		"gateway.networking.k8s.io/v1alpha2": {"ReferenceGrant"},
		"example.com/v1":                     {"HTTPRoute"},
	}
}

var gatewayVersions = []string{
	"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1/HTTPRoute", "gateway.networking.k8s.io/v1beta1", "gateway.networking.k8s.io/v1beta1/HTTPRoute",
}

func TestTheVersionsInWhichRoutesAreServed(t *testing.T) {
	g := NewWithT(t)
	d := served(gateway())
	c := NewCapabilities(d, routeKinds, ignore)
	for range 3 {
		g.Expect(c.Cluster()).To(Equal(desired.Cluster{APIVersions: gatewayVersions, KubeVersion: "v1.33.0"}))
	}
	g.Expect(d.Actions()).To(HaveLen(5), "the groups, three versions of one, and the cluster's, asked once")
	g.Expect(NewCapabilities(served(nil), routeKinds, ignore).Cluster()).To(HaveField("APIVersions", BeEmpty()))
	g.Expect(c.NeedLeaderElection()).To(BeFalse(), "a standby knows them too")
}

func TestAClusterThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	for _, what := range []string{"group", "resource", "version"} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			d := served(gateway())
			d.AddReactor("get", what, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, errors.New("unwell")
			})
			c := NewCapabilities(d, routeKinds, ignore)
			_, err := c.Cluster()
			g.Expect(err).To(MatchError(HaveSuffix(": unwell")))
			d.ReactionChain = nil
			g.Eventually(c.Cluster).Should(HaveField("APIVersions", gatewayVersions))
		})
	}
}

func TestPoliciesThatAskAtOnceShareAnAnswer(t *testing.T) {
	other := schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "ReferenceGrant"}
	for name, test := range map[string]struct {
		ask   func(*Capabilities) error
		fails bool
		asked int
	}{
		"what the cluster serves, after a start":   {func(c *Capabilities) error { _, err := c.Cluster(); return err }, false, 1},
		"in which versions a kind is served":       {func(c *Capabilities) error { _, err := c.Ask(routeKinds[0]); return err }, false, 1},
		"of another kind":                          {func(c *Capabilities) error { _, err := c.Ask(other); return err }, false, 1},
		"a cluster that doesn't answer":            {func(c *Capabilities) error { _, err := c.Cluster(); return err }, true, 1},
		"a cluster that doesn't answer, of a kind": {func(c *Capabilities) error { _, err := c.Ask(other); return err }, true, 1},
		"one kind after the other": {func(c *Capabilities) error {
			_, first := c.Ask(routeKinds[0])
			_, second := c.Ask(other)
			return errors.Join(first, second)
		}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			g, d, asked, answer := NewWithT(t), served(gateway()), atomic.Int32{}, make(chan struct{})
			d.PrependReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) {
				asked.Add(1)
				<-answer
				if test.fails {
					return true, nil, errors.New("unwell")
				}
				return false, nil, nil
			})
			c := NewCapabilities(d, routeKinds, ignore)
			var policies sync.WaitGroup
			for range 100 {
				policies.Go(func() { g.Expect(test.ask(c) != nil).To(Equal(test.fails)) })
			}
			g.Eventually(asked.Load).Should(BeEquivalentTo(1))
			g.Consistently(asked.Load).Should(BeEquivalentTo(1))
			close(answer)
			policies.Wait()
			g.Expect(asked.Load()).To(BeNumerically("<=", test.asked))
			g.Eventually(func() int32 { _, _ = c.Ask(routeKinds[0]); return asked.Load() }).Should(BeNumerically(">", test.asked), "an answer counts for a moment")
		})
	}
}

func TestEveryPolicyIsNotifiedOfNewKinds(t *testing.T) {
	g := NewWithT(t)
	d := served(gateway())
	told := 0
	c := NewCapabilities(d, routeKinds, func(name types.NamespacedName) {
		g.Expect(name).To(Equal(notify.All))
		told++
	})
	refresh := func() {
		_, err := c.refresh()
		g.Expect(err).NotTo(HaveOccurred())
	}
	refresh()
	refresh()
	g.Expect(told).To(BeZero(), "the first answer is no change, nor is the same again")
	d.Resources = append(d.Resources, served(map[string][]string{"networking.istio.io/v1": {"VirtualService"}}).Resources...)
	refresh()
	g.Expect(told).To(Equal(1))
	g.Expect(c.Cluster()).To(HaveField("APIVersions", ContainElement("networking.istio.io/v1/VirtualService")))

	d.AddReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("unwell") })
	_, err := c.refresh()
	g.Expect(err).To(HaveOccurred())
	g.Expect(c.Cluster()).To(HaveField("APIVersions", ContainElement("networking.istio.io/v1/VirtualService")), "what was known stays")
	g.Expect(told).To(Equal(1))
}

func TestTheClusterIsAskedInTheBackground(t *testing.T) {
	g := NewWithT(t)
	var mu sync.Mutex
	asked := 0
	d := served(gateway())
	d.PrependReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return false, nil, nil
	})
	c := NewCapabilities(d, routeKinds, ignore)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Start(ctx) }()
	g.Eventually(func() int {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}).Should(Equal(1), "at once")
	cancel()
	g.Eventually(ended).Should(Receive(BeNil()))
}

func TestAPolicyHearsOfAnotherVersionOfKubernetesOnlyWhereChartsChooseByIt(t *testing.T) {
	g := NewWithT(t)
	d := served(gateway())
	told := 0
	c := NewCapabilities(d, routeKinds, func(types.NamespacedName) { told++ })
	refreshed := func(gitVersion string) string {
		d.FakedServerVersion = &version.Info{GitVersion: gitVersion}
		cluster, err := c.refresh()
		g.Expect(err).NotTo(HaveOccurred())
		return cluster.KubeVersion
	}
	g.Expect(refreshed("v1.33.0")).To(Equal("v1.33.0"))
	g.Expect(refreshed("v1.33.9+k3s1")).To(Equal("v1.33.0"))
	g.Expect(told).To(BeZero())
	g.Expect(refreshed("v1.34.1")).To(Equal("v1.34.0"))
	g.Expect(told).To(Equal(1))
}
