package sources

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/repository"
)

// outage is a repository that fails in one way.
type outage struct {
	address string
	ca      []byte
	// fail has it fail, or work again.
	fail func(bool)
	// message of the condition, of an address called HOST.
	message string
}

// outages are repositories and registries with the chart mirror, by the names of their policies.
func outages(t *testing.T) map[string]outage {
	t.Helper()
	all := map[string]outage{}
	for name, fault := range map[string]struct {
		handler http.HandlerFunc
		message string
	}{
		"error": {repository.Status(http.StatusInternalServerError), "the server answers 500"},
		"hang":  {repository.Hang, "no complete answer within " + patience},
		"reset": {repository.Reset, "the connection is closed before the answer is complete"},
	} {
		answer := func(of interface{ Answer(http.HandlerFunc) }) func(bool) {
			return func(fails bool) {
				if fails {
					of.Answer(fault.handler)
				} else {
					of.Answer(nil)
				}
			}
		}
		server, registry := serve(t), serveRegistry(t)
		server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
		registry.Push(t, "charts/mirror", "0.14.2", mirror(t, "0.14.2"), nil)
		all["index-"+name] = outage{server.URL, server.CA, answer(server), server.URL + "/index.yaml: " + fault.message}
		all["registry-"+name] = outage{charts(registry), registry.CA, answer(registry), charts(registry) + "/mirror: " + fault.message}
	}
	server := serve(t)
	server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	all["index-expired"] = outage{server.URL, server.CA, server.Expire, server.URL + "/index.yaml: the server's certificate is expired, or not yet valid"}
	return all
}

func isRouteWrite(e env.AuditEvent) bool { return e.IsWrite() && e.Resource == "httproutes" }

func TestAnOutageChangesNoRouteAndTheLastGoodChartGoesOnFollowingTheVariants(t *testing.T) {
	for name, meanwhile := range map[string]func(){
		"while the operator runs":           func() {},
		"while the operator is restarted":   func() { restart(t, func() {}) },
		"and the operator is just starting": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			broken := outages(t)
			var authorities [][]byte
			for _, o := range broken {
				authorities = append(authorities, o.ca)
			}
			s.trust(authorities...)
			names := []string{"other"}
			s.app("other", builtIn())
			for name, o := range broken {
				s.app(name, from(o.address, "mirror", "0.14.x"), often)
				names = append(names, name)
			}
			for _, name := range names {
				s.Eventually(s.ready(name)).Should(HavePrefix("True "), name)
			}

			since := time.Now()
			fail := func() {
				for _, o := range broken {
					o.fail(true)
				}
			}
			if meanwhile == nil {
				restart(t, fail)
				s.follows(names...) // from what is on disk, while the repositories are asked
				since = time.Now()
			} else {
				fail()
				meanwhile()
			}
			for name, o := range broken {
				s.Eventually(s.resolved(name)).Should(Equal("False RepositoryUnavailable: repository unavailable: "+o.message+
					"; chart mirror, version 0.14.2, which was found before, is used"), name)
				s.Expect(s.condition(name, iter8v1alpha1.ConditionApplied)()).To(HavePrefix("True "), name)
				s.Expect(s.get(name).Status.Chart.Version).To(Equal("0.14.2"))
			}
			s.Expect(s.requests(since, isRouteWrite)).To(BeEmpty())
			s.follows(names...)

			for _, o := range broken {
				o.fail(false)
			}
			since = time.Now()
			for _, name := range names {
				s.Eventually(s.ready(name)).Should(HavePrefix("True "), name)
			}
			s.Expect(s.requests(since, isRouteWrite)).To(BeEmpty())
		})
	}
}

func TestRepositoriesThatHangHoldNobodyElseUp(t *testing.T) {
	const hanging = 20
	s, elsewhere := newScene(t), newScene(t)
	var waiting atomic.Int64
	var authorities [][]byte
	var addresses []string
	for range hanging {
		server := serve(t)
		server.Answer(func(w http.ResponseWriter, r *http.Request) {
			waiting.Add(1)
			defer waiting.Add(-1)
			repository.Hang(w, r)
		})
		authorities = append(authorities, server.CA)
		addresses = append(addresses, server.URL)
	}
	good := serve(t)
	good.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	elsewhere.trust(good.CA)
	s.app("other", builtIn())
	s.Eventually(s.route("other")).Should(mirrored(false))
	s.trust(authorities...)
	for i, address := range addresses {
		s.app("hangs-"+strconv.Itoa(i), from(address, "mirror", ""))
	}
	s.Eventually(waiting.Load).Should(BeNumerically(">", 1))

	// All of this happens while some of them wait for their first answer.
	s.follows("other")
	elsewhere.app("new", from(good.URL, "mirror", ""))
	elsewhere.Eventually(elsewhere.ready("new")).Should(HavePrefix("True "))
	elsewhere.follows("new")
	s.follows("other")
	s.Expect(waiting.Load()).To(BeNumerically(">", 0))
	var still []string
	for i := range hanging {
		still = append(still, s.resolved("hangs-"+strconv.Itoa(i))())
	}
	s.Expect(still).To(ContainElement(HavePrefix("Unknown Resolving: ")))

	for i := range hanging {
		s.Eventually(s.resolved("hangs-" + strconv.Itoa(i))).Should(HavePrefix("False RepositoryUnavailable: "))
	}
}
