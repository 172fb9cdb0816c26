package sources

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// operatorUser is who the operator is, in the words of the apiserver.
const operatorUser = "system:serviceaccount:" + systemNamespace + ":" + env.Release

// beyondRouting takes what changes anything but routes, and what policies and Subjects have in their statuses. The
// Lease, and Events, are the operator's own.
func beyondRouting(e env.AuditEvent) bool {
	return e.IsWrite() && !slices.Contains([]string{"httproutes", "routingpolicies", "subjects", "events", "leases"}, e.Resource)
}

func TestAChartCanNotRenderMoreThanRoutesOfItsNamespace(t *testing.T) {
	s := newScene(t)
	// Even if the policy's account has every right there is.
	s.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: team}}})
	server := serve(t)
	s.trust(server.CA)
	const kinds = " is of a kind that policies may not render: "
	tests := map[string]struct{ manifest, message string }{
		"clusterrolebinding": {"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: evil}\n" +
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n", "ClusterRoleBinding evil" + kinds + "ClusterRoleBinding.rbac.authorization.k8s.io; allowed are HTTPRoute.gateway.networking.k8s.io, "},
		"role":      {"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: evil}\n", "Role evil" + kinds},
		"secret":    {"apiVersion: v1\nkind: Secret\nmetadata: {name: evil}\n", "Secret evil" + kinds + "Secret; "},
		"namespace": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: evil}\n", "Namespace evil" + kinds},
		"validating": {"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: evil}\n",
			"ValidatingWebhookConfiguration evil" + kinds},
		"mutating": {"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: evil}\n",
			"MutatingWebhookConfiguration evil" + kinds},
		"grant": {"apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: evil}\n", "ReferenceGrant evil" + kinds},
		"list": {"apiVersion: v1\nkind: List\nmetadata: {name: evil}\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: evil}}\n",
			"is a list; render its items as documents of their own"},
		"elsewhere": {route("  namespace: " + grantedNamespace), "HTTPRoute elsewhere is in namespace granted, and a policy of namespace " +
			s.namespace + " may only render objects of its own"},
		"hook":      {route(`  annotations: {helm.sh/hook: pre-install}`), "HTTPRoute hook sets the annotation helm.sh/hook, and Helm's hooks are not run"},
		"owned":     {route("  ownerReferences: [{apiVersion: v1, kind: Namespace, name: default, uid: a}]"), "HTTPRoute owned sets metadata.ownerReferences, which are the operator's to set"},
		"finalizer": {route("  finalizers: [example.com/stay]"), "HTTPRoute finalizer sets metadata.finalizers"},
		"managed":   {route("  labels: {app.kubernetes.io/managed-by: Helm}"), "HTTPRoute managed sets the label app.kubernetes.io/managed-by to Helm, which is the operator's to set"},
		"many":      {"{{ range $i := until 51 }}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r{{ $i }}}\n{{ end }}", "51 objects are rendered, and at most 50 are allowed"},
		"beside":    {route("") + "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: evil}\n", "ServiceAccount evil" + kinds},
	}
	for name, test := range tests {
		server.Add(name, "1.0.0", small(t, name, "1.0.0", test.manifest))
	}
	since := time.Now()
	for name, test := range tests {
		s.app(name, from(server.URL, name, ""))
		s.app("inline-"+name, nil, func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Templates = []iter8v1alpha1.InlineTemplate{{Name: "a", Template: strings.ReplaceAll(test.manifest, "{{ .Values.iter8.subject.name }}", name)}}
		})
		for _, policy := range []string{name, "inline-" + name} {
			s.Eventually(s.rendered(policy)).Should(And(HavePrefix("False ForbiddenManifest: "), ContainSubstring(test.message)), policy)
			s.Expect(s.get(policy).Status.Applied).To(BeEmpty(), policy)
			s.Expect(s.route(policy)()).To(BeNil(), policy)
		}
	}
	s.Expect(s.requests(since, func(e env.AuditEvent) bool { return beyondRouting(e) || isRouteWrite(e) })).To(BeEmpty())
}

func TestAChartCanLookNothingUp(t *testing.T) {
	s := newScene(t)
	server := serve(t)
	s.trust(server.CA)
	s.secret("prize", map[string][]byte{"password": []byte(password)})
	server.Add("curious", "1.0.0", small(t, "curious", "1.0.0", route(`  annotations:
    secret: {{ lookup "v1" "Secret" .Release.Namespace "prize" | toJson | quote }}
    secrets: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
    host: {{ getHostByName "localhost" | quote }}
    home: {{ env "HOME" | quote }}
    file: {{ .Files.Get "/etc/passwd" | quote }}
    up: {{ .Files.Get "../../../../etc/passwd" | quote }}`)))
	since := time.Now()
	s.app("curious", from(server.URL, "curious", ""))
	// Helm has no env; without it the rest renders, to nothing.
	s.Eventually(s.rendered("curious")).Should(And(HavePrefix("False RenderFailed: "), ContainSubstring(`function "env" not defined`)))
	server.Add("curious", "1.0.1", small(t, "curious", "1.0.1", route(`  annotations:
    secret: {{ lookup "v1" "Secret" .Release.Namespace "prize" | toJson | quote }}
    secrets: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
    host: {{ getHostByName "localhost" | quote }}
    file: {{ .Files.Get "/etc/passwd" | quote }}
    up: {{ .Files.Get "../../../../etc/passwd" | quote }}`)))
	s.reconcile("curious")
	s.Eventually(s.ready("curious")).Should(HavePrefix("True "))
	got, err := s.route("curious")()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(got.Annotations).To(Equal(map[string]string{"secret": "{}", "secrets": "{}", "host": "", "file": "", "up": ""}))
	s.Expect(s.requests(since, func(e env.AuditEvent) bool { return e.Resource == "secrets" && e.Name != "ca" })).To(BeEmpty())
	s.Expect(disclosed(s)).To(BeEmpty())
}

func TestASecretIsReadWithTheRightsOfThePolicysAccountOnly(t *testing.T) {
	s := newScene(t)
	server := serve(t)
	server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	s.trust(server.CA)
	s.account("bare")
	as := func(account string) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.ServiceAccountName = account }
	}
	cannot := func(user string) string {
		return `False InvalidSecret: invalid secret: Secret ca of spec.chart.caSecretRef: secrets "ca" is forbidden: User "` + user +
			`" cannot get resource "secrets" in API group "" in the namespace "` + s.namespace + `"`
	}
	s.app("bare", from(server.URL, "mirror", ""), as("bare"), often)
	s.Eventually(s.resolved("bare")).Should(HavePrefix(cannot("system:serviceaccount:" + s.namespace + ":bare")))
	s.app("nobody", from(server.URL, "mirror", ""), as(""))
	s.Eventually(s.resolved("nobody")).Should(HavePrefix(cannot(operatorUser)))
	s.Expect(server.AllHits()).To(BeZero())

	s.allow("reader", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"ca"}, Verbs: []string{"get"}})
	binding := &rbacv1.RoleBinding{ObjectMeta: s.meta("bare-reads"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: "bare"}}}
	s.create(binding)
	s.Eventually(s.resolved("bare")).Should(HavePrefix("True "), "it is tried again")
	s.Eventually(s.ready("bare")).Should(Equal("False Forbidden: ServiceAccount " + s.namespace + "/bare may not create, patch, delete " +
		"httproutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"))
	s.Expect(s.route("bare")()).To(BeNil())
}

func TestTheOperatorItselfReadsThoseSecretsThatItsChartNames(t *testing.T) {
	s := &scene{T: t, WithT: NewWithT(t), namespace: grantedNamespace}
	server := serve(t)
	server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	server.Require(header(password))
	s.trust(server.CA)
	s.secret("named", basic(password))
	s.secret("unnamed", basic(password))
	s.create(s.service("app-v1"))
	for _, secret := range []string{"named", "unnamed"} {
		reference := from(server.URL, "mirror", "")
		reference.SecretRef = &iter8v1alpha1.SecretReference{Name: secret}
		s.app("with-"+secret, reference, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.ServiceAccountName = "" })
	}
	s.Eventually(s.resolved("with-unnamed")).Should(HavePrefix(`False InvalidSecret: invalid secret: Secret unnamed of spec.chart.secretRef: ` +
		`secrets "unnamed" is forbidden: User "` + operatorUser + `" cannot get resource "secrets"`))
	s.Eventually(s.ready("with-named")).Should(HavePrefix("True "))
	s.follows("with-named")
	s.Expect(disclosed(s)).To(BeEmpty())
}

func TestATenantNeitherReadsNorWritesOutsideOfItsNamespace(t *testing.T) {
	victim, s := newScene(t), newScene(t)
	server := serve(t)
	server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	server.Require(header(password))
	victim.secret("credentials", basic(password))
	victim.app("theirs", builtIn())
	victim.Eventually(victim.ready("theirs")).Should(HavePrefix("True "))
	before, err := victim.route("theirs")()
	victim.Expect(err).NotTo(HaveOccurred())
	since := time.Now()
	s.trust(server.CA)

	policy := s.policy("of-their-subject", builtIn())
	policy.Spec.SubjectRef = iter8v1alpha1.SubjectReference{Name: "theirs", Namespace: victim.namespace}
	s.create(policy)
	s.Eventually(s.ready("of-their-subject")).Should(Equal("False CrossNamespaceReference: spec.subjectRef is in namespace " + victim.namespace +
		", and this operator does not allow references to other namespaces"))

	subject, follower := s.subject("spy"), s.policy("spy", builtIn())
	subject.Spec.Variants[1].Resources[0].Namespace = victim.namespace
	s.create(subject, follower)
	s.Eventually(s.ready("spy")).Should(And(HavePrefix("False SubjectInvalid: "), ContainSubstring(victim.namespace)))

	reference := from(server.URL, "mirror", "")
	reference.SecretRef = &iter8v1alpha1.SecretReference{Name: "credentials"}
	s.app("thief", reference)
	s.Eventually(s.resolved("thief")).Should(Equal(`False InvalidSecret: invalid secret: Secret credentials of spec.chart.secretRef: secrets "credentials" not found`))

	// An account of the other namespace by a name that leads there is no account of this one.
	s.app("borrower", builtIn(), func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.ServiceAccountName = victim.namespace + ":" + team })
	s.Eventually(s.ready("borrower")).Should(HavePrefix("False Forbidden: "))

	victim.v2(true)
	victim.Eventually(victim.route("theirs")).Should(mirrored(true))
	s.Expect(s.ready("spy")()).To(HavePrefix("False SubjectInvalid: "))
	victim.v2(false)
	victim.Eventually(victim.route("theirs")).Should(mirrored(false))
	victim.Expect(victim.route("theirs")()).To(HaveField("UID", before.UID))
	s.Expect(s.requests(since, func(e env.AuditEvent) bool {
		return e.Namespace == victim.namespace && (e.Resource == "secrets" || strings.HasPrefix(e.ImpersonatedUser, "system:serviceaccount:"+s.namespace))
	})).To(BeEmpty())
	s.Expect(s.route("spy")()).To(mirrored(false))
	for _, name := range []string{"of-their-subject", "thief", "borrower"} {
		s.Expect(s.route(name)()).To(BeNil(), name)
	}
}

func TestABackendOfAnotherNamespaceIsReportedAndNeverGranted(t *testing.T) {
	s, other := newScene(t), newScene(t)
	since := time.Now()
	s.app("reaches-out", builtIn(), func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = values(map[string]any{
			"parentRefs": []any{map[string]any{"name": "edge"}},
			"rules":      []any{map[string]any{"backendRefs": []any{map[string]any{"name": "app-v1", "namespace": other.namespace, "port": 80}}}},
		})
	})
	s.Eventually(s.route("reaches-out")).ShouldNot(BeNil())
	got, err := s.route("reaches-out")()
	s.Expect(err).NotTo(HaveOccurred())
	// The gateway's controller says what it found.
	condition := func(of gatewayv1.RouteConditionType, status metav1.ConditionStatus, reason gatewayv1.RouteConditionReason, message string) metav1.Condition {
		return metav1.Condition{Type: string(of), Status: status, Reason: string(reason), Message: message,
			ObservedGeneration: got.Generation, LastTransitionTime: metav1.Now()}
	}
	got.Status.Parents = []gatewayv1.RouteParentStatus{{ParentRef: got.Spec.ParentRefs[0], ControllerName: "example.com/gateway", Conditions: []metav1.Condition{
		condition(gatewayv1.RouteConditionAccepted, metav1.ConditionTrue, gatewayv1.RouteReasonAccepted, ""),
		condition(gatewayv1.RouteConditionResolvedRefs, metav1.ConditionFalse, gatewayv1.RouteReasonRefNotPermitted, "no ReferenceGrant for Service "+other.namespace+"/app-v1"),
	}}}
	s.Expect(k8s.Status().Update(t.Context(), got)).To(Succeed())
	refused := And(HavePrefix("False RefNotPermitted: HTTPRoute reaches-out: Gateway "),
		HaveSuffix("says ResolvedRefs False: RefNotPermitted: no ReferenceGrant for Service "+other.namespace+"/app-v1"))
	s.Eventually(s.condition("reaches-out", iter8v1alpha1.ConditionAccepted)).Should(refused)
	s.Eventually(s.ready("reaches-out")).Should(refused)
	s.Expect(s.requests(since, beyondRouting)).To(BeEmpty())
	s.Expect(s.requests(time.Time{}, func(e env.AuditEvent) bool { return e.IsWrite() && e.Resource == "referencegrants" })).To(BeEmpty())
}
