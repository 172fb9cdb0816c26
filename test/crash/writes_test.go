package crash

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Subsets come before the VirtualService that names them, and go after it.
const (
	destinationRule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: app}\nspec: {host: app, subsets: [{name: v1, labels: {version: v1}}]}\n"
	replaced        = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: app}\nspec: {host: app, subsets: [{name: v2, labels: {version: v2}}]}\n"
	virtualService  = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: app}\nspec: {hosts: [app], http: [{route: [{destination: {host: app, subset: v1}}]}]}\n"
	shifted         = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: app}\nspec: {hosts: [app], http: [{route: [{destination: {host: app, subset: v2}}]}]}\n"
)

// What the policy app renders first, and what it renders after its spec was changed. Copies go to what is no variant,
// so that no variant decides about them.
var (
	first  = []string{virtualService, routeTemplate("kept"), routeTemplate("changed", "copies"), routeTemplate("gone"), destinationRule}
	second = []string{shifted, routeTemplate("kept"), routeTemplate("changed", "others"), routeTemplate("new"), replaced}

	afterFirst = state{
		objects: []string{"DestinationRule/app", "VirtualService/app", "HTTPRoute/kept", "HTTPRoute/changed", "HTTPRoute/gone"},
		targets: "copies:80", ready: "True Succeeded",
	}
	afterSecond = state{
		objects: []string{"DestinationRule/app", "VirtualService/app", "HTTPRoute/kept", "HTTPRoute/changed", "HTTPRoute/new"},
		targets: "others:80", ready: "True Succeeded",
	}
)

// scenario is something that the operator finds when it starts, and that takes it several writes.
type scenario struct {
	// stands: the policy renders what it renders first, and that is applied.
	stands bool
	// change what the operator finds.
	change func(*scene)
	// stay are objects that have to be there all the time.
	stay []string
	// takes is the least number of writes that it takes.
	takes int
	// end is where it leads to, notes those of the Events about it.
	end   state
	notes []string
	// specs are parts of what objects say at the end.
	specs map[string]string
}

var scenarios = map[string]scenario{
	"everything is new": {
		change: func(s *scene) { s.create(s.subject("app", "app"), s.policy("app", first...)) },
		// The inventory, five objects, the policy's status and the Subject's.
		takes: 8, end: afterFirst,
		specs: map[string]string{
			"DestinationRule/app": "name:v1", "VirtualService/app": "subset:v1", "HTTPRoute/changed": "name:copies", "HTTPRoute/gone": "name:primary",
		},
	},
	"the spec has changed": {
		stands: true,
		change: func(s *scene) {
			patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { setTemplates(p, second...) })
		},
		stay: []string{"DestinationRule/app", "VirtualService/app", "HTTPRoute/kept", "HTTPRoute/changed"},
		// The inventory; the DestinationRule with both subsets, the VirtualService, one route that is changed and one that is new; one
		// that is deleted; the DestinationRule with one subset; the status, and an Event. That of the deletion may come later.
		takes: 9, end: afterSecond, notes: []string{"requests are mirrored to others:80; no mirror to copies:80: it is no longer asked for"},
		specs: map[string]string{
			"DestinationRule/app": "subsets:[map[labels:map[version:v2] name:v2]]", "VirtualService/app": "subset:v2", "HTTPRoute/changed": "name:others", "HTTPRoute/new": "name:primary",
		},
	},
	"the Subject is gone": {
		stands: true,
		change: func(s *scene) { s.Expect(k8s.Delete(s.Context(), s.subject("app"))).To(Succeed()) },
		// Five objects that are deleted, the status, and an Event; those of the deletions may come later. Where not all of the objects are known yet,
		// the mirror goes first, and the status says so.
		takes: 7, end: state{ready: "False SubjectNotFound"},
		notes: []string{"requests are no longer mirrored to copies:80: Subject app does not exist; nothing is applied without it"},
	},
}

// trial is a scene in which an operator is killed at its nth write, or runs to the end.
type trial struct {
	*scene
	*killer
	before map[string]types.UID
	// reported: the mirrors that the operator is to report stood in the status when it was killed.
	reported bool
}

func (r *trial) String() string { return fmt.Sprintf("killed at write %d, %s", r.n, r.last) }

func TestAnOperatorKilledAtAnyWriteLeavesNothingUnlistedAndItsSuccessorFinishes(t *testing.T) {
	for name, scenario := range scenarios {
		for _, moment := range []moment{unsent, unheard, delivered} {
			t.Run(name+", and it is killed "+string(moment), func(t *testing.T) {
				t.Parallel()
				g := NewWithT(t)
				ready := scenario.prepare(t, scenario.takes+1)
				var killed []*trial
				last := &trial{scene: ready[0], killer: newKiller(moment, 1)}
				for scenario.play(last) {
					t.Log(last)
					killed = append(killed, last)
					g.Expect(len(killed)).To(BeNumerically("<", 50), "it never gets by without being killed")
					if ready = ready[1:]; len(ready) == 0 {
						ready = scenario.prepare(t, 1)
					}
					last = &trial{scene: ready[0], killer: newKiller(moment, len(killed)+1)}
				}
				g.Expect(len(killed)).To(BeNumerically(">=", scenario.takes))
				scenario.finish(t, killed, last)
			})
		}
	}
}

// prepare makes scenes in which no operator runs.
func (sc scenario) prepare(t *testing.T, count int) []*scene {
	t.Helper()
	scenes := make([]*scene, 0, count)
	for range count {
		s := newScene(t)
		s.create(s.service("app"))
		if sc.stands {
			s.create(s.subject("app", "app"), s.policy("app", first...))
		}
		scenes = append(scenes, s)
	}
	if sc.stands {
		r := start(t, scenes, nil, alone)
		for _, s := range scenes {
			s.Eventually(s.arrived("app", afterFirst)).Should(Succeed())
		}
		r.kill()
	}
	return scenes
}

// play has an operator deal with a scenario, and reports whether it was killed meanwhile. It expects of what stands then
// that a successor can go on from it.
func (sc scenario) play(r *trial) bool {
	r.Helper()
	r.before = r.uids()
	sc.change(r.scene)
	victim := r.start(r.hook, alone)
	r.arm(victim.Operator)
	r.Eventually(func() bool { return isClosed(r.dead) || sc.isDone(r.scene) }).Should(BeTrue())
	killed := r.disarm()
	victim.kill()

	r.expectListed()
	r.expectSubsets()
	r.expectStaying(sc.stay)
	r.reported = r.targets() == sc.end.targets
	return killed
}

// isDone reports whether an operator that isn't killed has nothing more to write.
func (sc scenario) isDone(s *scene) bool {
	return s.arrived("app", sc.end)() == nil && len(s.notes()) == len(sc.notes)
}

// finish has one successor go on from where operators were killed, and expects the same end as where none was.
func (sc scenario) finish(t *testing.T, killed []*trial, other *trial) {
	t.Helper()
	scenes := make([]*scene, 0, len(killed))
	for _, r := range killed {
		scenes = append(scenes, r.scene)
	}
	successor := start(t, scenes, nil, alone)
	for _, r := range killed {
		r.Eventually(r.arrived("app", sc.end)).Should(Succeed(), "%s", r)
		if !r.reported { // else the Event may have been lost with the operator
			r.Eventually(r.notes).Should(ConsistOf(sc.notes), "%s", r)
		}
	}
	successor.kill()
	there := other.routingObjects()
	for name, part := range sc.specs {
		other.Expect(fmt.Sprint(there[name].Object["spec"])).To(ContainSubstring(part), name)
	}
	want := other.snapshot("app")
	for _, r := range killed {
		r.Expect(len(r.notes())).To(BeNumerically("<=", len(sc.notes)), "%s", r)
		r.expectStaying(sc.stay)
		r.Expect(r.snapshot("app")).To(Equal(want), "%s", r)
	}
}

// targets returns what the status has of where requests are mirrored to.
func (s *scene) targets() string {
	s.Helper()
	policy := s.policy("app")
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(policy), policy)).To(Succeed())
	return policy.Status.MirrorTargets
}

func (s *scene) uids() map[string]types.UID {
	s.Helper()
	uids := map[string]types.UID{}
	for name, o := range s.routingObjects() {
		uids[name] = o.GetUID()
	}
	return uids
}

// expectStaying expects objects to be the same ones as before.
func (r *trial) expectStaying(names []string) {
	r.Helper()
	now := r.uids()
	for _, name := range names {
		r.Expect(now).To(HaveKeyWithValue(name, r.before[name]), "%s", r)
	}
}

// expectListed expects the inventory to hold every object that there is. What is listed needn't be there yet, or any more.
func (r *trial) expectListed() {
	r.Helper()
	there := r.routingObjects()
	policy := r.policy("app")
	r.Expect(k8s.Get(r.Context(), client.ObjectKeyFromObject(policy), policy)).To(Succeed())
	for _, entry := range policy.Status.Applied {
		delete(there, entry.Kind+"/"+entry.Name)
	}
	r.Expect(there).To(BeEmpty(), "not listed, %s", r)
}

// expectSubsets expects the subset that the VirtualService names, if there is one, to be in the DestinationRule.
func (r *trial) expectSubsets() {
	r.Helper()
	there := r.routingObjects()
	virtualService, ok := there["VirtualService/app"]
	if !ok {
		return
	}
	subset := "v1"
	if strings.Contains(fmt.Sprint(virtualService.Object["spec"]), "subset:v2") {
		subset = "v2"
	}
	r.Expect(fmt.Sprint(there["DestinationRule/app"].Object["spec"])).To(ContainSubstring("name:"+subset), "%s", r)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
