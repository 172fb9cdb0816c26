package charts

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestOperatorRightsAreTheLeast(t *testing.T) {
	for name, values := range valueSets {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for owner, rules := range rulesByRole(t, installed(t, values)) {
				for _, rule := range rules {
					for _, names := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs, rule.ResourceNames, rule.NonResourceURLs} {
						g.Expect(names).NotTo(ContainElement(ContainSubstring("*")), owner)
					}
					if slices.Contains(rule.Resources, "secrets") { // those that the values name, one by one
						g.Expect(owner).To(Equal("Role/default/iter8-operator-chart-secrets"))
						g.Expect(rule).To(Equal(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"repository"}, Verbs: []string{"get"}}))
					}
					g.Expect(rule.Resources).NotTo(ContainElement(HavePrefix("pods")), owner)
					g.Expect(rule.Verbs).NotTo(ContainElements("escalate"), owner)
					g.Expect(rule.Verbs).NotTo(ContainElements("bind"), owner)
				}
			}
		})
	}
}

func TestOperatorMayDoWhatTheValuesSay(t *testing.T) {
	everywhere := "ClusterRole/iter8-operator"
	own := "Role/iter8-system/iter8-operator-leader-election"
	inA, inB := "Role/team-a/iter8-operator", "Role/team-b/iter8-operator"

	for name, test := range map[string]struct {
		values string
		may    map[string][]string
		mayNot map[string][]string
	}{
		"with Iter8's ConfigMaps": {
			values: legacy,
			may: map[string][]string{everywhere: {
				"watch configmaps", "watch namespaces", "create subjects.iter8.tools", "update routingpolicies.iter8.tools",
				"delete routingpolicies.iter8.tools", "patch services", "patch deployments.apps",
			}},
			mayNot: map[string][]string{everywhere: {"create configmaps", "delete configmaps", "delete services", "update services"}},
		},
		"by default, in the whole cluster": {
			may: map[string][]string{
				everywhere: {
					"watch services", "watch deployments.apps", "watch endpointslices.discovery.k8s.io",
					"watch inferenceservices.serving.kserve.io",
					"watch subjects.iter8.tools", "patch subjects/status.iter8.tools",
					"watch routingpolicies.iter8.tools", "patch routingpolicies/status.iter8.tools",
					"create httproutes.gateway.networking.k8s.io", "patch httproutes.gateway.networking.k8s.io",
					"delete httproutes.gateway.networking.k8s.io", "patch virtualservices.networking.istio.io",
					"watch gateways.gateway.networking.k8s.io", "watch gatewayclasses.gateway.networking.k8s.io", "watch listenersets.gateway.networking.k8s.io",
					"create events.events.k8s.io", "impersonate serviceaccounts",
					"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io",
				},
				own: {"update leases.coordination.k8s.io", "create events"},
			},
			mayNot: map[string][]string{
				everywhere: {
					"update leases.coordination.k8s.io", "patch deployments.apps", "patch services",
					"patch subjects.iter8.tools", "delete routingpolicies.iter8.tools", "watch configmaps",
				},
			},
		},
		"in the listed namespaces only": {
			values: "watchNamespaces: [team-a, team-b]",
			may: map[string][]string{
				everywhere: {"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io", "watch gatewayclasses.gateway.networking.k8s.io"},
				inA:        {"watch gateways.gateway.networking.k8s.io", "watch listenersets.gateway.networking.k8s.io", "watch services", "patch httproutes.gateway.networking.k8s.io", "impersonate serviceaccounts"},
				inB:        {"watch services", "patch httproutes.gateway.networking.k8s.io", "create events.events.k8s.io"},
				own:        {"update leases.coordination.k8s.io"},
			},
			mayNot: map[string][]string{
				everywhere: {"watch services", "patch httproutes.gateway.networking.k8s.io", "impersonate serviceaccounts", "watch subjects.iter8.tools", "watch gateways.gateway.networking.k8s.io", "watch listenersets.gateway.networking.k8s.io"},
				inA:        {"watch gatewayclasses.gateway.networking.k8s.io", "create tokenreviews.authentication.k8s.io", "update leases.coordination.k8s.io"},
				own:        {"watch services"},
			},
		},
		"nobody else": {
			values: "impersonation: {enabled: false}",
			may:    map[string][]string{everywhere: {"watch services"}},
			mayNot: map[string][]string{everywhere: {"impersonate serviceaccounts"}},
		},
		"more kinds": {
			values: moreKinds,
			may: map[string][]string{everywhere: {
				"watch configmaps", "watch models.example.com", "patch tlsroutes.gateway.networking.k8s.io",
				"delete tlsroutes.gateway.networking.k8s.io", "watch tlsroutes.gateway.networking.k8s.io",
			}},
			mayNot: map[string][]string{everywhere: {"patch configmaps", "patch models.example.com"}},
		},
		"more kinds in the listed namespaces": {
			values: "watchNamespaces: [team-a]\n" + moreKinds,
			may:    map[string][]string{inA: {"watch configmaps", "patch tlsroutes.gateway.networking.k8s.io"}},
			mayNot: map[string][]string{everywhere: {"watch configmaps", "patch tlsroutes.gateway.networking.k8s.io"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			objects := installed(t, test.values)
			rules := rulesByRole(t, objects)
			for owner, rights := range test.may {
				for _, right := range rights {
					g.Expect(allows(rules[owner], right)).To(BeTrue(), "%s: %s", owner, right)
				}
			}
			for owner, rights := range test.mayNot {
				for _, right := range rights {
					g.Expect(allows(rules[owner], right)).To(BeFalse(), "%s: %s", owner, right)
				}
			}
			for owner := range test.may {
				g.Expect(bound(t, objects)).To(ContainElement(owner))
			}
		})
	}
}

func TestOperatorSecretsOfANamespaceAreOneRole(t *testing.T) {
	g := NewWithT(t)
	objects := installed(t, "charts: {secrets: [{namespace: team-a, names: [one]}, {namespace: team-b, names: [two]}, {namespace: team-a, names: [three]}]}")
	readable := map[string][]string{}
	for _, role := range kinds[rbacv1.Role](t, objects, "Role") {
		if strings.HasSuffix(role.Name, "-chart-secrets") {
			g.Expect(readable).NotTo(HaveKey(role.Namespace), "two objects of one name can't be installed")
			readable[role.Namespace] = role.Rules[0].ResourceNames
		}
	}
	g.Expect(readable).To(Equal(map[string][]string{"team-a": {"one", "three"}, "team-b": {"two"}}))
}

func TestOperatorRightsForUsersAreAggregated(t *testing.T) {
	g := NewWithT(t)
	aggregated := map[string][]string{}
	for _, role := range kinds[rbacv1.ClusterRole](t, installed(t, ""), "ClusterRole") {
		for label, value := range role.Labels {
			if to, found := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); found && value == "true" {
				aggregated[to] = append(aggregated[to], role.Name)
			}
		}
	}
	g.Expect(aggregated).To(Equal(map[string][]string{
		"view":  {"iter8-operator-view"},
		"edit":  {"iter8-operator-edit"},
		"admin": {"iter8-operator-edit"},
	}))
	rules := rulesByRole(t, installed(t, ""))
	g.Expect(allows(rules["ClusterRole/iter8-operator-view"], "list subjects.iter8.tools")).To(BeTrue())
	g.Expect(allows(rules["ClusterRole/iter8-operator-view"], "patch subjects.iter8.tools")).To(BeFalse())
	g.Expect(allows(rules["ClusterRole/iter8-operator-edit"], "patch routingpolicies.iter8.tools")).To(BeTrue())
	g.Expect(allows(rules["ClusterRole/iter8-operator-edit"], "patch routingpolicies/status.iter8.tools")).To(BeFalse())

	g.Expect(rulesByRole(t, installed(t, "userRoles: {create: false}"))).NotTo(HaveKey("ClusterRole/iter8-operator-edit"))
}

// rulesByRole are the rules of ClusterRole/NAME and Role/NAMESPACE/NAME.
func rulesByRole(t *testing.T, objects []*unstructured.Unstructured) map[string][]rbacv1.PolicyRule {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, role := range kinds[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		rules["ClusterRole/"+role.Name] = role.Rules
	}
	for _, role := range kinds[rbacv1.Role](t, objects, "Role") {
		rules["Role/"+role.Namespace+"/"+role.Name] = role.Rules
	}
	return rules
}

// bound are the roles that the operator's ServiceAccount is bound to, named as by rulesByRole.
func bound(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	operator := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: release}
	var roles []string
	for _, binding := range kinds[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding") {
		if slices.Contains(binding.Subjects, operator) {
			roles = append(roles, binding.RoleRef.Kind+"/"+binding.RoleRef.Name)
		}
	}
	for _, binding := range kinds[rbacv1.RoleBinding](t, objects, "RoleBinding") {
		if slices.Contains(binding.Subjects, operator) {
			roles = append(roles, binding.RoleRef.Kind+"/"+binding.Namespace+"/"+binding.RoleRef.Name)
		}
	}
	return roles
}

// allows tells whether rules give a right, written as "verb resource.group".
func allows(rules []rbacv1.PolicyRule, right string) bool {
	verb, groupResource, _ := strings.Cut(right, " ")
	resource, group, _ := strings.Cut(groupResource, ".")
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Verbs, verb) && slices.Contains(rule.Resources, resource) && slices.Contains(rule.APIGroups, group)
	})
}
