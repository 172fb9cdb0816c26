package crash

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// alone is the flag of an operator that waits for no Lease: that of one which was killed would have to expire first.
const alone = "--leader-elect=false"

// scene is a namespace of one test. Its operators look at nothing else, so that tests can run side by side.
type scene struct {
	*testing.T
	*WithT
	namespace string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, WithT: NewWithT(t)}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "scene-"}}
	s.create(namespace)
	s.namespace = namespace.Name
	s.create(s.primary())
	return s
}

// replica is an operator with a proxy of its own, which records its requests.
type replica struct {
	*env.Operator
	proxy *env.Proxy
}

// start runs an operator behind a proxy with a hook. It ends with the test, if not before.
func (s *scene) start(hook env.Hook, args ...string) *replica {
	s.Helper()
	return start(s.T, []*scene{s}, hook, args...)
}

// start runs an operator for several scenes.
func start(t *testing.T, scenes []*scene, hook env.Hook, args ...string) *replica {
	t.Helper()
	g := NewWithT(t)
	proxy, err := cluster.StartProxy(hook)
	g.Expect(err).NotTo(HaveOccurred())
	namespaces := make([]string, 0, len(scenes))
	for _, s := range scenes {
		namespaces = append(namespaces, s.namespace)
	}
	operator, err := installed.RunReplica(t.Context(), env.Replica{Proxy: proxy, WatchNamespaces: namespaces, Args: args})
	g.Expect(err).NotTo(HaveOccurred())
	r := &replica{operator, proxy}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			log, _ := os.ReadFile(r.LogFile())
			t.Logf("operator %d logged at the end:\n%s", r.PID(), log[max(0, len(log)-4000):])
		}
	})
	return r
}

// kill ends the operator as a crash does, and returns when nothing of it can reach the apiserver any more.
func (r *replica) kill() {
	r.Kill()
	r.proxy.Stop()
}

// writes returns what the replica wrote, but for the Lease.
func (r *replica) writes() []string {
	lines := []string{}
	for _, w := range r.proxy.Requests(isWork) {
		lines = append(lines, w.String())
	}
	return lines
}

// isWork reports whether a request is a write, other than of the Lease, which says nothing of any policy. Events count: they
// come after what they tell of, and can get lost.
func isWork(r env.Request) bool { return r.IsWrite() && r.Resource != "leases" }

func (s *scene) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.Expect(k8s.Create(s.Context(), o)).To(Succeed())
	}
}

// patch changes an object as its owner would, whatever the operator writes meanwhile.
func patch[T client.Object](s *scene, object T, change func(T)) {
	s.Helper()
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object)).To(Succeed())
	before := object.DeepCopyObject().(client.Object)
	change(object)
	s.Expect(k8s.Patch(s.Context(), object, client.MergeFrom(before))).To(Succeed())
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *scene) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

// service is one without a selector, which is ready while it exists.
func (s *scene) service(name string) *corev1.Service {
	service := env.Service(s.namespace, name, nil)
	return service
}

// primary is what answers the requests of routes, and no variant's. It is headless: there are more scenes than addresses.
func (s *scene) primary() *corev1.Service {
	return &corev1.Service{ObjectMeta: s.meta("primary"), Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
}

// subject is one whose variants have a Service each, of their names.
func (s *scene) subject(name string, variants ...string) *iter8v1alpha1.Subject {
	subject := &iter8v1alpha1.Subject{ObjectMeta: s.meta(name)}
	for _, v := range variants {
		subject.Spec.Variants = append(subject.Spec.Variants, iter8v1alpha1.Variant{Name: v, Resources: []iter8v1alpha1.ResourceReference{
			{APIVersion: "v1", Kind: "Service", Name: v},
		}})
	}
	return subject
}

// policy renders templates, for the Subject of its name.
func (s *scene) policy(name string, templates ...string) *iter8v1alpha1.RoutingPolicy {
	policy := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: s.meta(name),
		Spec:       iter8v1alpha1.RoutingPolicySpec{SubjectRef: iter8v1alpha1.SubjectReference{Name: name}},
	}
	setTemplates(policy, templates...)
	return policy
}

func setTemplates(policy *iter8v1alpha1.RoutingPolicy, templates ...string) {
	policy.Spec.Templates = nil
	for i, template := range templates {
		policy.Spec.Templates = append(policy.Spec.Templates, iter8v1alpha1.InlineTemplate{Name: fmt.Sprintf("t%d", i), Template: template})
	}
}

// routingKinds are those that the tests' policies render.
var routingKinds = []schema.GroupVersionKind{
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
	{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"},
	{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"},
}

// routingObjects returns what there is of those kinds in the scene, as "Kind/name".
func (s *scene) routingObjects() map[string]unstructured.Unstructured {
	s.Helper()
	found := map[string]unstructured.Unstructured{}
	for _, kind := range routingKinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		s.Expect(k8s.List(s.Context(), list, client.InNamespace(s.namespace))).To(Succeed())
		for _, o := range list.Items {
			found[o.GetKind()+"/"+o.GetName()] = o
		}
	}
	return found
}

// state is where a policy, which has the name of its Subject, is to arrive.
type state struct {
	// objects that there are, as "Kind/name" in the order of the inventory.
	objects []string
	// targets is status.mirrorTargets.
	targets string
	// ready is the condition Ready, as "status reason".
	ready string
}

// arrived polls whether a policy, and its Subject if there is one, are where they are to be.
func (s *scene) arrived(name string, want state) func() error {
	return func() error {
		policy, err := s.observed(name)
		if err != nil {
			return err
		}
		got := state{targets: policy.Status.MirrorTargets, ready: readiness(policy.Status.Conditions)}
		for _, entry := range policy.Status.Applied {
			if entry.UID == "" {
				return fmt.Errorf("%s %s is only announced", entry.Kind, entry.Name)
			}
			got.objects = append(got.objects, entry.Kind+"/"+entry.Name)
		}
		if !slices.Equal(got.objects, want.objects) || got.targets != want.targets || got.ready != want.ready {
			return fmt.Errorf("%+v in place of %+v", got, want)
		}
		there := slices.Sorted(maps.Keys(s.routingObjects()))
		if !slices.Equal(there, slices.Sorted(slices.Values(want.objects))) {
			return fmt.Errorf("there are %v in place of %v", there, want.objects)
		}
		return nil
	}
}

// observed returns a policy, and an error while its status, or that of its Subject, is of an older generation.
func (s *scene) observed(name string) (*iter8v1alpha1.RoutingPolicy, error) {
	policy, subject := &iter8v1alpha1.RoutingPolicy{}, &iter8v1alpha1.Subject{}
	if err := k8s.Get(s.Context(), s.key(name), policy); err != nil {
		return nil, err
	}
	if policy.Status.ObservedGeneration != policy.Generation {
		return nil, errors.New("the policy's status is old")
	}
	err := k8s.Get(s.Context(), s.key(name), subject)
	if err == nil && subject.Status.ObservedGeneration != subject.Generation {
		err = errors.New("the Subject's status is old")
	}
	return policy, client.IgnoreNotFound(err)
}

func readiness(conditions []metav1.Condition) string {
	c := meta.FindStatusCondition(conditions, iter8v1alpha1.ConditionReady)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason
}

// notes returns those of the Events about a policy's mirrors.
func (s *scene) notes() []string {
	s.Helper()
	var events eventsv1.EventList
	s.Expect(k8s.List(s.Context(), &events, client.InNamespace(s.namespace))).To(Succeed())
	notes := []string{}
	for _, e := range events.Items {
		if e.Reason == "MirrorsChanged" {
			times := 1
			if e.Series != nil {
				times = int(e.Series.Count)
			}
			notes = append(notes, slices.Repeat([]string{e.Note}, times)...)
		}
	}
	return notes
}

// routeTemplate is an inline template of a route whose requests the Service primary answers, with copies to other Services.
func routeTemplate(name string, copies ...string) string {
	filters := make([]string, 0, len(copies))
	for _, to := range copies {
		filters = append(filters, "{type: RequestMirror, requestMirror: {backendRef: {name: "+to+", port: 80}}}")
	}
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " + name +
		"}\nspec: {rules: [{backendRefs: [{name: primary, port: 80}], filters: [" + strings.Join(filters, ", ") + "]}]}\n"
}
