package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const conflict = `OwnershipConflict
  Used by:     RoutingPolicy Applied
  Meaning:     An object of that name exists and is not this policy's, so it is left alone.
  How it ends: Stalls. Only a change ends it: of the object, of one that it refers to, or outside of the cluster, for which a policy is looked at again with each spec.interval. An object that isn't Ready because of it is Stalled, unless something else of it is tried again.
  What helps:  Rename or delete it; if nothing controls it, hand it over: kubectl annotate --overwrite KIND NAME iter8.tools/adopt=true.
`

func TestExplainAReason(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"by its name":       {[]string{"OwnershipConflict"}, conflict},
		"in lower case":     {[]string{"ownershipconflict"}, conflict},
		"that is good news": {[]string{"Available"}, "Available\n  Used by:     variant\n  Meaning:     Every resource of the variant exists and is ready.\n  How it ends: There is nothing to recover from.\n"},
		"of an Event": {[]string{"MirrorsChanged"}, "MirrorsChanged\n  Used by:     RoutingPolicy Events\n" +
			"  Meaning:     Requests are mirrored to other backends than before, or to none. The message says where to they are mirrored now, and why a mirror went or became smaller; status.mirrors has the same.\n" +
			"  How it ends: There is nothing to recover from.\n"},
		"beside another one": {[]string{"ownershipconflict", "OWNERSHIPCONFLICT"}, conflict + "\n" + conflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // there is no cluster
			NewWithT(t).Expect(runCommand(t, "", append([]string{"explain"}, test.args...)...)).To(Equal(outcome{out: test.want}))
		})
	}
}

func TestExplainAllReasons(t *testing.T) {
	g := NewWithT(t)
	result := runCommand(t, "", "explain")
	g.Expect(result.code).To(BeZero())
	g.Expect(result.err).To(BeEmpty())
	lines := strings.Split(strings.TrimSuffix(result.out, "\n"), "\n")
	g.Expect(lines).To(HaveLen(1 + len(iter8v1alpha1.Reasons) + len(iter8v1alpha1.EventReasons)))
	g.Expect(lines[0]).To(MatchRegexp("^NAME +CONDITIONS +RECOVERY +MEANING$"))
	g.Expect(lines).To(ContainElements(
		MatchRegexp("^Terminating +variant, RoutingPolicy Applied +Waits +A resource of the variant, or an object of the policy, is being deleted;"),
		MatchRegexp("^Succeeded +RoutingPolicy Ready, ChartResolved, Rendered, Applied +– +The step is done;"),
		MatchRegexp("^ApplyFailed +RoutingPolicy Applied +Retries +A write failed\\.$"),
	))
}

func TestExplainWhatCanNotBeExplained(t *testing.T) {
	const lists = " (kubectl iter8 explain lists them all)\n"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a typing error":            {[]string{"Rejectd"}, `error: there is no reason "Rejectd"; did you mean Rejected?` + lists},
		"a part of a name":          {[]string{"served"}, `error: there is no reason "served"; did you mean KindNotServed, Observed?` + lists},
		"a name beside a right one": {[]string{"Rejected", "unverifed"}, `error: there is no reason "unverifed"; did you mean Unverified?` + lists},
		"a gateway's own reason":    {[]string{"NoMatchingListenerHostname"}, `error: there is no reason "NoMatchingListenerHostname"` + lists},
		"an unknown output":         {[]string{"--output", "yaml"}, "error: --output takes text or markdown, not \"yaml\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			result := runCommand(t, "", append([]string{"explain"}, test.args...)...)
			NewWithT(t).Expect(result).To(Equal(outcome{code: 1, err: test.want}))
		})
	}
}

func TestTheReadmeShowsWhatExplainWrites(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(readme)).To(ContainSubstring("```console\n$ kubectl iter8 explain OwnershipConflict\n" + conflict + "```"))
}

func TestTheReferenceIsWhatExplainWrites(t *testing.T) {
	g := NewWithT(t)
	reference, err := os.ReadFile(filepath.Join("..", "..", "docs", "reasons.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(runCommand(t, "", "explain", "-o", "markdown").out).To(Equal(string(reference)), "make docs writes it again")
}
