package chart

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"iter8.tools/operator/test/repository"
)

func TestManyPoliciesShareWhatIsFetched(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	for i := range 10 {
		name := fmt.Sprint("chart", i)
		server.Add(name, "1.0.0", repository.Chart(t, name, "1.0.0", nil))
	}
	o := tolerant(t)
	o.charts.AllowInsecure = true
	w := begin(t, o)
	ask := func(i int, reconcile string) Request {
		r := request(server.URL, fmt.Sprint("chart", i%10), "", nil)
		r.Policy = types.NamespacedName{Namespace: fmt.Sprint("team", i%7), Name: fmt.Sprint(i)}
		r.Reconcile, r.Chart.Insecure = reconcile, true
		return r
	}
	var waiting []types.NamespacedName
	for i := range 100 {
		if r := ask(i, ""); w.Resolve(r).Pending {
			waiting = append(waiting, r.Policy)
		}
	}
	w.settle(t)
	g.Expect(waiting).NotTo(BeEmpty())
	for _, p := range waiting {
		g.Eventually(w.wakes).WithArguments(p).Should(Equal(1))
	}
	for i := range 100 {
		got := w.Resolve(ask(i, ""))
		g.Expect(got.Err).NotTo(HaveOccurred())
		g.Expect(got.Chart.Resolved.Name).To(Equal(fmt.Sprint("chart", i%10)))
	}
	g.Expect(server.Hits("/index.yaml")).To(Equal(1))
	g.Expect(server.Hits("/charts/chart3-1.0.0.tgz")).To(Equal(1))
	g.Expect(w.sources).To(HaveLen(10))

	w.pass(t, 10*time.Minute)
	g.Expect(server.Hits("/index.yaml")).To(Equal(2), "one fetch an interval")
	g.Expect(server.Hits("/charts/chart3-1.0.0.tgz")).To(Equal(1), "an archive that the index names by its digest is there")

	server.Answer(repository.Status(500))
	w.pass(t, 10*time.Minute)
	g.Expect(server.Hits("/index.yaml")).To(Equal(3), "one that fails, too")
	w.pass(t, firstRetry)
	g.Expect(server.Hits("/index.yaml")).To(Equal(4))
	server.Answer(nil)
	w.pass(t, 2*firstRetry)
	for i := range 100 {
		g.Expect(w.Resolve(ask(i, "")).Err).NotTo(HaveOccurred())
	}
	g.Expect(server.Hits("/index.yaml")).To(Equal(5))

	w.Resolve(ask(0, "now"))
	w.settle(t)
	g.Expect(server.Hits("/index.yaml")).To(Equal(6), "somebody asked")
}

func TestPoliciesOfAnotherIntervalShareTheIndexToo(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	for _, name := range []string{"often", "seldom"} {
		server.Add(name, "1.0.0", repository.Chart(t, name, "1.0.0", nil))
	}
	o := tolerant(t)
	o.charts.AllowInsecure = true
	w := begin(t, o)
	for name, interval := range map[string]time.Duration{"often": time.Minute, "seldom": 5 * time.Minute} {
		r := request(server.URL, name, "", nil)
		r.Policy.Name, r.Interval, r.Chart.Insecure = name, interval, true
		w.Resolve(r)
	}
	w.settle(t)
	for range 10 {
		w.pass(t, time.Minute)
	}
	g.Expect(server.Hits("/index.yaml")).To(Equal(11), "the first one, and one a minute")

	r := request(server.URL, "seldom", "", nil)
	r.Policy.Name, r.Interval, r.Chart.Insecure = "seldom", 2*time.Minute, true
	w.Resolve(r)
	w.settle(t)
	g.Expect(w.Resolve(r).Err).NotTo(HaveOccurred())
}

func TestRequestsThatAreNotTheSame(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	server.Require("Basic bWU6c2VjcmV0")
	w := begin(t, tolerant(t))
	may := request(server.URL, "mirror", "", server.CA).secured(basic("me", "secret"), server.CA)
	g.Expect(w.known(t, may).Err).NotTo(HaveOccurred())

	for name, change := range map[string]func(*Request){
		"another account, that can't read the Secret":  func(r *Request) { r.Account = "other" },
		"another namespace, without the Secret":        func(r *Request) { r.Policy.Namespace = "other" },
		"another Secret":                               func(r *Request) { r.Chart.SecretRef.Name = "other" },
		"no Secret":                                    func(r *Request) { r.Chart.SecretRef = nil },
		"the same, by another name of the host's port": func(r *Request) { r.Chart.Repository += "/"; r.Account = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := request(server.URL, "mirror", "", server.CA).secured(nil, server.CA)
			r.Policy.Name = "other"
			change(&r)
			secrets := map[string]map[string][]byte{"ca": {"ca.crt": server.CA}, "other": basic("me", "guess")}
			got := w.known(t, r.with(secrets))
			g.Expect(got.Chart).To(BeNil())
			g.Expect(got.Err).To(Or(MatchError(ErrUnauthorized), MatchError(ErrInvalidSecret)))
		})
	}
	g.Expect(w.Resolve(may).Err).NotTo(HaveOccurred())
}

func TestOneChartIsInMemoryOnce(t *testing.T) {
	g := NewWithT(t)
	first, second := repository.Serve(t, repository.Options{}), repository.Serve(t, repository.Options{})
	registry := repository.ServeRegistry(t, repository.Options{})
	first.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	second.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
	w := begin(t, tolerant(t))
	var helm []any
	for i, r := range []Request{
		request(first.URL, "mirror", "", first.CA), request(first.URL, "mirror", "1.0.0", first.CA),
		request(second.URL, "mirror", "", second.CA), request("oci://"+registry.Host+"/charts", "mirror", "", registry.CA),
	} {
		r.Policy.Name = fmt.Sprint(i)
		got := w.known(t, r)
		g.Expect(got.Err).NotTo(HaveOccurred())
		helm = append(helm, got.Chart.Helm)
	}
	g.Expect(helm).To(HaveEach(BeIdenticalTo(helm[0])))
	g.Expect(w.memory).To(HaveLen(1))
	for i := range helm {
		w.Forget(types.NamespacedName{Namespace: policy.Namespace, Name: fmt.Sprint(i)})
	}
	g.Expect(w.memory).To(BeEmpty())
}

func TestTheChartsOfOneNamespaceLeaveMemoryToOthers(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	for i := range 20 {
		name := fmt.Sprint("large", i)
		server.Add(name, "1.0.0", repository.Chart(t, name, "1.0.0", map[string]string{"a": strings.Repeat("x", 100<<10)}))
	}
	o := tolerant(t)
	o.charts.Memory.Set(1 << 20)
	o.charts.AllowInsecure = true
	w := begin(t, o)
	ask := func(namespace string, i int) Request {
		r := request(server.URL, fmt.Sprint("large", i), "", nil)
		r.Policy, r.Chart.Insecure = types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(i)}, true
		return r
	}
	for i := range 2 {
		g.Expect(w.known(t, ask("greedy", i)).Err).NotTo(HaveOccurred())
	}
	got := w.known(t, ask("greedy", 2))
	g.Expect(got.Err).To(MatchError(ErrTooLarge))
	g.Expect(got.Err).To(MatchError("too large: with this chart, the files of the charts of one namespace take more memory than 256Ki; charts.memory of the operator's configuration sets it"))
	w.Resolve(ask("modest", 2))
	w.settle(t)
	g.Expect(w.Resolve(ask("modest", 2)).Err).NotTo(HaveOccurred(), "the same chart, where there is room")

	for n := range 4 {
		for i := range 2 {
			w.known(t, ask(fmt.Sprint("colluding", n), 3+2*n+i))
		}
	}
	g.Expect(w.known(t, ask("late", 19)).Err).To(MatchError("too large: with this chart, the files of all charts take more memory than 1Mi; charts.memory of the operator's configuration sets it"))
	g.Expect(w.Resolve(ask("modest", 2)).Chart).NotTo(BeNil())
}

func TestAThousandPoliciesTakeLittleMemory(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	for i := range 100 {
		name := fmt.Sprint("chart", i)
		server.Add(name, "1.0.0", repository.Chart(t, name, "1.0.0", map[string]string{"templates/a.yaml": strings.Repeat("x", 4<<10)}))
	}
	o := tolerant(t)
	o.charts.AllowInsecure = true
	w := begin(t, o)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		r := request(server.URL, fmt.Sprint("chart", i%100), "", nil)
		r.Policy, r.Chart.Insecure = types.NamespacedName{Namespace: fmt.Sprint("team", i%20), Name: fmt.Sprint(i)}, true
		w.Resolve(r)
	}
	w.settle(t)
	runtime.GC()
	runtime.ReadMemStats(&after)
	g.Expect(server.Hits("/index.yaml")).To(Equal(1))
	t.Logf("1,000 policies that ask for 100 charts hold %d KiB", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
	g.Expect(int64(after.HeapAlloc) - int64(before.HeapAlloc)).To(BeNumerically("<", 16<<20))
}
