package main

import (
	"bytes"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

func TestReport(t *testing.T) {
	one := &mutant{id: 1, file: "a.go", line: 3, function: "A", what: "removed: x = 1"}
	two := &mutant{id: 2, file: "b.go", line: 4, function: "B.C", what: "negated: a == b"}
	three := &mutant{id: 3, file: "b.go", line: 5, function: "B.C", what: "negated: a == b #2"}
	const head = `
  killed  survived  accepted  unreached  total  score  package
`
	const legend = `
score: killed, of those that were run and aren't accepted
`
	for name, c := range map[string]struct {
		result result
		rows   accepted
		want   string
	}{
		"every survivor is named with its place": {
			result{path: "p", reached: []*mutant{one, two, three}, killed: []*mutant{one}, survived: []*mutant{two, three}}, nil,
			head + `       1         2         0          0      3    33%  p
` + legend + `
survivors:
p/b.go:4: B.C: negated: a == b
p/b.go:5: B.C: negated: a == b #2
`,
		},
		"what is accepted is counted by itself": {
			result{path: "p", reached: []*mutant{one, two, three}, killed: []*mutant{one}, survived: []*mutant{two, three}},
			accepted{"p: B.C: negated: a == b": "equal", "p: B.C: negated: a == b #2": "equal"},
			head + `       1         0         2          0      3   100%  p
` + legend,
		},
		"a row is stale whose mutant is killed, or gone, once all have been run": {
			result{path: "p", reached: []*mutant{one}, unreached: []*mutant{two}, killed: []*mutant{one}},
			accepted{"p: A: removed: x = 1": "why", "p: D: removed: x = 1": "why", "q: A: removed: x = 1": "another package"},
			head + `       1         0         0          1      2   100%  p
` + legend + `
stale in accepted.txt, no survivor matches: p: A: removed: x = 1

stale in accepted.txt, no survivor matches: p: D: removed: x = 1
`,
		},
		"no row is stale after a sample": {
			result{path: "p", reached: []*mutant{one, two}, killed: []*mutant{one}},
			accepted{"p: B.C: negated: a == b": "why"},
			head + `       1         0         0          0      2   100%  p
` + legend,
		},
		"a package of which nothing was run has no score": {
			result{path: "p", unreached: []*mutant{one}}, nil,
			head + `       0         0         0          1      1      -  p
` + legend,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var out bytes.Buffer
			report(&out, options{accepted: c.rows}, []result{c.result})
			g.Expect(out.String()).To(Equal(c.want))
		})
	}
}

func TestTheSampleDependsOnTheSeedAndThePackage(t *testing.T) {
	g := NewWithT(t)
	var all []*mutant
	for id := range 1000 {
		all = append(all, &mutant{id: id + 1})
	}
	choose := func(o options, path string) []*mutant { return result{path: path, reached: all}.choose(o) }
	drawn := choose(options{seed: 1, sample: 20}, "p")
	g.Expect(drawn).To(HaveLen(20))
	g.Expect(all).To(ContainElements(drawn))
	for i := range drawn[1:] {
		g.Expect(drawn[i].id).To(BeNumerically("<", drawn[i+1].id), "each is drawn once, and in the order of the source")
	}
	g.Expect(choose(options{seed: 1, sample: 20}, "p")).To(Equal(drawn))
	g.Expect(choose(options{seed: 2, sample: 20}, "p")).NotTo(Equal(drawn))
	g.Expect(choose(options{seed: 1, sample: 20}, "q")).NotTo(Equal(drawn))
	g.Expect(choose(options{seed: 1, sample: 1000}, "p")).To(Equal(all))
	g.Expect(choose(options{seed: 1, sample: 0}, "p")).To(Equal(all))
}

func TestOnlyMutantsThatMatchAreChosen(t *testing.T) {
	g := NewWithT(t)
	one := &mutant{id: 1, file: "a.go", line: 3, function: "A", what: "removed: x = 1"}
	two := &mutant{id: 2, file: "a.go", line: 4, function: "A", what: "negated: a == b"}
	three := &mutant{id: 3, file: "b.go", line: 4, function: "B", what: "removed: x = 1"}
	r := result{path: "p", reached: []*mutant{one, two, three}}
	for expression, want := range map[string][]*mutant{
		"A: removed": {one}, "removed": {one, three}, `p/a\.go:`: {one, two}, "nothing": {},
	} {
		g.Expect(r.choose(options{match: regexp.MustCompile(expression)})).To(Equal(want), expression)
	}
	g.Expect(r.reached).To(HaveLen(3), "what is reached stays")
}

func TestWhatTheCompilerComplainsAboutIsDropped(t *testing.T) {
	begin := &mutant{id: 1, file: "a.go", line: 3, until: 9}
	inside := &mutant{id: 2, file: "a.go", line: 5, until: 5}
	other := &mutant{id: 3, file: "b.go", line: 5, until: 5}
	all := []*mutant{begin, inside, other}
	for name, c := range map[string]struct {
		output string
		want   []*mutant
	}{
		"what begins in the line": {
			"# p\n/scratch/a.go:5:7: undefined: x\n", []*mutant{begin, other},
		},
		"what goes over the line, where nothing begins in it": {
			"# p\np/a.go:8:7: undefined: x\n", []*mutant{inside, other},
		},
		"several at once": {
			"# p\np/a.go:3:1: undefined: x\np/b.go:5:2: undefined: y\n", []*mutant{inside},
		},
		"nothing where the place is none of a mutant": {
			"# p\np/a.go:10:1: undefined: x\np/a_test.go:5:1: undefined: y\nld: no space\n", all,
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(drop(all, c.output)).To(Equal(c.want))
		})
	}
}

func TestTheListOfWhatIsAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want accepted
		err  string
	}{
		"a row has its reason on indented lines": {
			"# about\n\np: A: removed: x = 1\n  No test\n  sees it.\np: B: negated: a == b #2\n  Equal.\n",
			accepted{"p: A: removed: x = 1": "No test sees it.", "p: B: negated: a == b #2": "Equal."}, "",
		},
		"no rows":                    {"# about\n", accepted{}, ""},
		"a row without a reason":     {"p: A: x\np: B: y\n  why\n", nil, `no reason is given for accepting "p: A: x"`},
		"a last row without one":     {"p: A: x\n", nil, `no reason is given for accepting "p: A: x"`},
		"a row that is there twice":  {"p: A: x\n  why\np: A: x\n  why\n", nil, `"p: A: x" is accepted twice`},
		"a reason in front of a row": {"  why\np: A: x\n", nil, `"why" is the reason for nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rows, err := parseAccepted(c.list)
			if c.err != "" {
				g.Expect(err).To(MatchError(c.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(rows).To(Equal(c.want))
		})
	}
	_, err := parseAccepted(acceptedList)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "accepted.txt")
}
