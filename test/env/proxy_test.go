package env_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
)

// proxied is a client of the apiserver behind a proxy, and the namespace in which it may do everything.
type proxied struct {
	*WithT
	client    client.WithWatch
	proxy     *env.Proxy
	namespace string
}

// newProxied starts a proxy that asks the hook about ConfigMaps only.
func newProxied(t *testing.T, hook env.Hook) *proxied {
	t.Helper()
	g, namespace := NewWithT(t), newNamespace(t)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "proxied"}
	g.Expect(plane.Client().Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta})).To(Succeed())
	g.Expect(plane.Client().Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
	})).To(Succeed())
	config, err := plane.ServiceAccountConfig(t.Context(), namespace, meta.Name)
	g.Expect(err).NotTo(HaveOccurred())
	direct, err := client.New(config, client.Options{Scheme: env.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	p := &proxied{WithT: g, namespace: namespace}
	g.Eventually(func() error { return direct.Create(t.Context(), p.configMap("probe"), client.DryRunAll) }).
		Should(Succeed(), "the apiserver takes a moment to see a RoleBinding")
	p.proxy, err = plane.StartProxy(func(ctx context.Context, r env.Request) env.Verdict {
		if hook == nil || r.Resource != "configmaps" {
			return env.Verdict{}
		}
		return hook(ctx, r)
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(p.proxy.Stop)
	p.client, err = client.NewWithWatch(p.proxy.Through(config), client.Options{Scheme: env.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	return p
}

func (p *proxied) configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}}
}

// stored reports whether the apiserver has the ConfigMap.
func (p *proxied) stored(name string) bool {
	o := p.configMap(name)
	err := plane.Client().Get(context.Background(), client.ObjectKeyFromObject(o), o)
	p.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return err == nil
}

// recorded returns what the proxy passed on about ConfigMaps.
func (p *proxied) recorded() []string {
	lines := []string{}
	for _, r := range p.proxy.Requests(func(r env.Request) bool { return r.Resource == "configmaps" }) {
		lines = append(lines, r.String())
	}
	return lines
}

func TestAProxyDoesToARequestWhatItsHookSays(t *testing.T) {
	pass := func(context.Context, env.Request) env.Verdict { return env.Verdict{} }
	refuse := func(context.Context, env.Request) env.Verdict {
		return env.Verdict{Refuse: http.StatusInternalServerError}
	}
	drop := func(context.Context, env.Request) env.Verdict { return env.Verdict{Drop: true} }
	for name, test := range map[string]struct {
		hook   env.Hook
		answer gomegatypes.GomegaMatcher
		passes bool
	}{
		"it passes it":                          {pass, Succeed(), true},
		"it answers in the apiserver's place":   {refuse, Satisfy(apierrors.IsInternalError), false},
		"it drops the connection":               {drop, MatchError(io.EOF), false},
		"it passes it where the hook is absent": {nil, Succeed(), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxied(t, test.hook)
			p.Expect(p.client.Create(t.Context(), p.configMap("one"))).To(test.answer)
			p.Expect(p.stored("one")).To(Equal(test.passes))
			if test.passes {
				p.Expect(p.recorded()).To(Equal([]string{"create configmaps " + p.namespace + "/"}))
			} else {
				p.Expect(p.recorded()).To(BeEmpty())
			}
		})
	}
}

func TestAHookSeesWhatARequestIsAbout(t *testing.T) {
	seen := make(chan env.Request, 8)
	p := newProxied(t, func(_ context.Context, r env.Request) env.Verdict {
		seen <- r
		return env.Verdict{}
	})
	one := p.configMap("one")
	p.Expect(p.client.Create(t.Context(), one, client.DryRunAll)).To(Succeed())
	p.Expect(p.client.Create(t.Context(), p.configMap("one"))).To(Succeed())
	p.Expect(p.client.Get(t.Context(), client.ObjectKeyFromObject(one), one)).To(Succeed())
	p.Expect(p.client.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(p.namespace))).To(Succeed())
	p.Expect(p.client.Delete(t.Context(), one)).To(Succeed())
	for _, want := range []struct {
		verb, name string
		write      bool
	}{{"create", "", false}, {"create", "", true}, {"get", "one", false}, {"list", "", false}, {"delete", "one", true}} {
		r := <-seen
		p.Expect(r).To(SatisfyAll(HaveField("Verb", want.verb), HaveField("Name", want.name), HaveField("Namespace", p.namespace),
			HaveField("Group", ""), HaveField("Version", "v1"), HaveField("Resource", "configmaps")))
		p.Expect(r.IsWrite()).To(Equal(want.write), "%s", r)
	}
}

func TestAProxyTellsBeforeAndAfterTheClientHasItsAnswer(t *testing.T) {
	var p *proxied
	returned := make(chan error, 1)
	answered, delivered := make(chan struct{}), make(chan struct{})
	p = newProxied(t, func(context.Context, env.Request) env.Verdict {
		return env.Verdict{
			Answered: func() {
				defer close(answered)
				p.Expect(p.stored("one")).To(BeTrue())
				p.Consistently(returned, "100ms").ShouldNot(Receive(), "before the client has the answer")
			},
			Delivered: func() {
				defer close(delivered)
				p.Eventually(returned).Should(Receive(BeNil()), "while the proxy still handles the request")
			},
		}
	})
	large := p.configMap("one") // so large that the apiserver doesn't say how long its answer is
	large.Data = map[string]string{"data": strings.Repeat("x", 64<<10)}
	go func() { returned <- p.client.Create(context.WithoutCancel(t.Context()), large) }()
	p.Eventually(answered).Should(BeClosed())
	p.Eventually(delivered).Should(BeClosed())
}

func TestAWriteThatIsOnItsWayOutlivesItsClient(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	p := newProxied(t, func(ctx context.Context, _ env.Request) env.Verdict {
		close(arrived)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return env.Verdict{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- p.client.Create(ctx, p.configMap("late")) }()
	<-arrived
	cancel()
	p.Eventually(returned).Should(Receive(MatchError(context.Canceled)))
	p.Consistently(func() bool { return p.stored("late") }, "200ms").Should(BeFalse(), "while it is held up")
	close(release)
	p.Eventually(func() bool { return p.stored("late") }).Should(BeTrue())
}

func TestAProxyPassesAWatchAndEndsItWhenItStops(t *testing.T) {
	p := newProxied(t, nil)
	events, err := p.client.Watch(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(p.namespace))
	p.Expect(err).NotTo(HaveOccurred())
	defer events.Stop()
	p.Expect(plane.Client().Create(t.Context(), p.configMap("one"))).To(Succeed())
	p.Eventually(events.ResultChan()).Should(Receive(HaveField("Object.Name", "one")))
	p.Expect(p.recorded()).To(Equal([]string{"watch configmaps " + p.namespace + "/"}))

	p.proxy.Stop()
	p.Eventually(func() bool {
		_, open := <-events.ResultChan()
		return open
	}).Should(BeFalse())
	p.Expect(p.client.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "one"}, &corev1.ConfigMap{})).To(MatchError(ContainSubstring("refused")))
	p.proxy.Stop() // a second time changes nothing
}
