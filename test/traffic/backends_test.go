package traffic

import (
	"testing"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// mirrorOfTheBackend mirrors as mirrorAll does, by the filters of the rule's one backend, which no mesh takes.
const mirrorOfTheBackend = `
rules:
- backendRefs:
  - name: httpbin-v1
    port: 80
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Served, value: "yes"}]}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}
`

// mirrorOfABackend mirrors what one of two backends gets.
const mirrorOfABackend = `
rules:
- backendRefs:
  - {name: httpbin-v1, port: 80}
  - name: httpbin-v1
    port: 80
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}]
`

func TestAMirrorOfTheOnlyBackendIsOneOfTheRule(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		s.httpbin("v2")
		s.deploy("httpbin-v1")
		policy := s.route(mirrorOfTheBackend)
		c := s.calling()
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.deploy("httpbin-v2")
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"httpbin-v2:80 100% Active"}))
		s.expectMirrored(c, true)
		s.Expect(s.received("httpbin-v1")).To(gomega.HaveEach(gomega.HaveField("Header", gomega.HaveKeyWithValue("X-Served", []string{"yes"}))))
		s.setV2(false)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.expectMirrored(c, false)
	})
}

// What stands goes on, and so does its mirror for as long as variant 2 may have it.
func TestAMirrorOfOneOfSeveralBackendsIsRefused(t *testing.T) {
	s := newScene(t, sidecar)
	c, _ := s.mirrored()
	policy := s.applied("httpbin")
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = s.values(s.plane.parent(s.namespace) + mirrorOfABackend)
	})
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.Equal("False InvalidMirror: spec.values.rules[0].backendRefs[1].filters[0]: " +
		"a mirror in one of several backendRefs is not supported by gateways: put it in the filters of the rule, or split the rule"))
	s.Expect(c.routing()).To(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	s.expectMirrored(c, true)

	s.setV2(false)
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
	s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"httpbin-v2:80 0% Withheld"}))
	s.expectMirrored(c, false)
	s.setV2(true)
	s.Consistently(c.routing, "1s").Should(gomega.Equal("httpbin-v1"), "nothing is rendered that could have a mirror")
}
