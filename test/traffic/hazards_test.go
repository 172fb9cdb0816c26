package traffic

import (
	"fmt"
	"time"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
)

// hazard is something that variant 2 does while it gets copies of all requests to variant 1.
type hazard struct {
	name string
	// absent says that variant 2 isn't there.
	absent bool
	// begin has variant 2 do it.
	begin func(s *scene, v2 *variantTwo)
	// timeout of the route, such as "2s"; "" leaves it to the data plane.
	timeout string
	// descriptors that the Envoy may have; 0 leaves it at the machine's limit.
	descriptors uint64
	// kib is the size of requests that are sent one after the other; 0 means a load of small ones.
	kib int
	// heavy says that the load is one that a busy machine can't bear itself: small requests go one after the other then, unless it is
	// to be measured.
	heavy bool
	// protocol from client to server; "" is HTTP/1.1.
	protocol dataplane.Protocol
	// expect what is known of it beforehand; nil expects nothing.
	expect func(s *scene, m measured)
}

// variantTwo is what a hazard comes from.
type variantTwo struct {
	scale   func(replicas int32)
	release chan struct{} // of the copies that it holds
}

// Expectations of how many requests fail.
var (
	none = func(s *scene, m measured) { s.Expect(m.failed).To(gomega.BeZero()) }
	some = func(s *scene, m measured) { s.Expect(m.failed).To(gomega.BeNumerically(">", 0)) }
	most = func(s *scene, m measured) { s.Expect(m.failed).To(gomega.BeNumerically(">", m.sent/2)) }
	// notAll is until the mirror is withdrawn.
	notAll = func(s *scene, m measured) { s.Expect(m.failed).To(gomega.BeNumerically("<", m.sent)) }
)

// whereServicesAreNeeded expects this of a data plane that needs the Service of a mirror, and no failures of others.
func whereServicesAreNeeded(expect func(*scene, measured)) func(*scene, measured) {
	return func(s *scene, m measured) {
		if !s.plane.needsService {
			expect = none
		}
		expect(s, m)
	}
}

// held expects a descriptor for each copy that is not answered: of istiod's Envoys for all of them, of Envoy Gateway's for no more than
// the 1,024 that it allows.
func held(s *scene, m measured) {
	none(s, m)
	grown := m.after.descriptors - m.before.descriptors
	if s.plane.limitsCopies {
		s.Expect(grown).To(gomega.BeNumerically("<", 1024+enough))
		return
	}
	s.Expect(grown).To(gomega.BeNumerically(">", m.sent/3))
}

// hazards in the order of the tables in docs/safety.md.
func hazards() []hazard {
	behaves := func(b dataplane.Behavior) func(*scene, *variantTwo) {
		return func(s *scene, _ *variantTwo) { s.behave("httpbin-v2", b) }
	}
	hangs := func(s *scene, v2 *variantTwo) { s.behave("httpbin-v2", dataplane.Behavior{Holds: v2.release}) }
	goes := func(_ *scene, v2 *variantTwo) { v2.scale(0) }
	isDeleted := func(s *scene, _ *variantTwo) { s.delete(s.serviceOfV2()) }
	nothing := func(*scene, *variantTwo) {}
	all := []hazard{
		{name: "is not there, so that nothing is mirrored", absent: true, begin: nothing, expect: none},
		{name: "answers", begin: nothing, expect: none},
		{name: "loses its endpoints", begin: goes, expect: none},
		{name: "loses its endpoints, and the policy is suspended", begin: suspended(goes), expect: none},
		{name: "loses its Service", begin: isDeleted, expect: whereServicesAreNeeded(notAll)},
		{name: "loses its Service, and the policy is suspended", begin: suspended(isDeleted), expect: whereServicesAreNeeded(most)},
		{name: "refuses connections", begin: behaves(dataplane.Behavior{Refuses: true}), expect: none},
		{name: "breaks connections", begin: behaves(dataplane.Behavior{Breaks: true}), expect: none},
		{name: "takes a second to answer", begin: behaves(dataplane.Behavior{Delay: time.Second}), expect: none},
		{name: "answers with 1 MiB", begin: behaves(dataplane.Behavior{Bytes: 1 << 20}), heavy: true, expect: none},
		{name: "hangs, with a route timeout of 2 s", begin: hangs, timeout: "2s", expect: none},
		{name: "hangs", begin: hangs, expect: held},
		{name: "hangs, and the Envoy may have 1,024 descriptors", begin: hangs, descriptors: 1024},
	}
	for _, protocol := range []dataplane.Protocol{dataplane.HTTP1, dataplane.H2C} {
		for _, kib := range []int{64, 1 << 10, 8 << 10} {
			h := hazard{name: fmt.Sprintf("reads no bodies, of %d KiB, over %s", kib, protocol), kib: kib, protocol: protocol}
			switch {
			case protocol == dataplane.HTTP1 && kib == 64:
				h.expect = func(s *scene, m measured) {
					if !s.plane.limitsCopies { // beyond the limit copies wait, and their originals with them
						none(s, m)
					}
				}
			case protocol == dataplane.HTTP1 && kib == 8<<10:
				h.expect = some
			}
			h.begin = func(s *scene, v2 *variantTwo) { s.behave("httpbin-v2", dataplane.Behavior{Unread: v2.release}) }
			all = append(all, h)
		}
	}
	return all
}

// suspended has the policy suspended first, so that the mirror stands whatever variant 2 does.
func suspended(begin func(*scene, *variantTwo)) func(*scene, *variantTwo) {
	return func(s *scene, v2 *variantTwo) {
		policy := s.applied("httpbin")
		patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true })
		s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.ContainSubstring("spec.suspend is set"))
		begin(s, v2)
	}
}
