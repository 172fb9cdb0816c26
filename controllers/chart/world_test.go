package chart

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// world is an operator's sources, with a clock that stands still, and what policies were woken.
type world struct {
	*Sources
	clock *clocktesting.FakeClock
	stop  func()

	mu    sync.Mutex
	woken map[types.NamespacedName]int
}

// settings of a world.
type settings struct {
	charts   configv1alpha1.Charts
	resolver *net.Resolver
}

// tolerant lets charts come from 127.0.0.1, and from no other loopback address.
func tolerant(t *testing.T) settings {
	t.Helper()
	charts := configv1alpha1.DefaultCharts()
	charts.AllowedAddresses = []string{"127.0.0.1"}
	charts.CacheDir = t.TempDir()
	return settings{charts: charts}
}

func (w *world) notify(policy types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken[policy]++
}

// begin starts the operator.
func begin(t *testing.T, o settings) *world {
	t.Helper()
	g := NewWithT(t)
	builtIn, err := LoadBuiltIn(files())
	g.Expect(err).NotTo(HaveOccurred())
	w := &world{clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0)), woken: map[types.NamespacedName]int{}}
	w.Sources, err = NewSources(Options{BuiltIn: builtIn, Charts: o.charts, Clock: w.clock, Random: func() float64 { return 0 }, Resolver: o.resolver, Notify: w.notify})
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		g.Eventually(ended).Should(Receive(BeNil()))
	})
	t.Cleanup(w.stop)
	return w
}

// wakes is how often a policy was woken.
func (w *world) wakes(policy types.NamespacedName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.woken[policy]
}

// pass has time go by, once nothing is being fetched any more.
func (w *world) pass(t *testing.T, d time.Duration) {
	t.Helper()
	w.settle(t)
	w.clock.Step(d)
	w.wake() // a timer that is made just now doesn't know of the step
	w.settle(t)
}

// settle waits until everything is done that is due.
func (w *world) settle(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func() string {
		w.Sources.mu.Lock()
		defer w.Sources.mu.Unlock()
		for _, src := range w.sources {
			if src.running || !src.due.After(w.clock.Now()) {
				return "still busy with " + src.target.address + " " + src.target.name
			}
		}
		return ""
	}).WithTimeout(20 * time.Second).Should(BeEmpty())
}

var policy = types.NamespacedName{Namespace: "team", Name: "policy"}

// request is what a policy asks for, of a server that has this certificate.
func request(repository, name, version string, ca []byte) Request {
	r := Request{Policy: policy, Chart: iter8v1alpha1.ChartReference{Repository: repository, Name: name, Version: version}, Interval: 10 * time.Minute}
	if ca != nil {
		r.Chart.CASecretRef = &iter8v1alpha1.SecretReference{Name: "ca"}
	}
	return r.with(map[string]map[string][]byte{"ca": {"ca.crt": ca}})
}

// with gives a request the Secrets that there are.
func (r Request) with(secrets map[string]map[string][]byte) Request {
	r.Secrets = func(context.Context) (Credentials, error) {
		return ReadSecrets(r.Chart, func(name string) (map[string][]byte, error) {
			if s, ok := secrets[name]; ok {
				return s, nil
			}
			return nil, fmt.Errorf("secrets %q not found", name)
		})
	}
	return r
}

// known waits until a request is resolved, or can't be.
func (w *world) known(t *testing.T, r Request) Resolution {
	t.Helper()
	g := NewWithT(t)
	var got Resolution
	g.Eventually(func() bool {
		got = w.Resolve(r)
		return got.Pending
	}).WithTimeout(20 * time.Second).Should(BeFalse())
	w.settle(t)
	return w.Resolve(r)
}

// mirror packs the chart mirror, of which every version has another template.
func mirror(t testing.TB, version string) []byte {
	return repository.Chart(t, "mirror", version, map[string]string{"templates/route.yaml": "kind: A # " + version + "\n"})
}

// messages that stand for an address that differs with each run.
func anonymous(err error, addresses ...string) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, a := range addresses {
		text = strings.ReplaceAll(text, a, "HOST")
	}
	return text
}
