package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

var everything = options{seed: 1, jobs: 4, patience: 6 * time.Second}

func TestWhatTestsNoticeIsKilled(t *testing.T) {
	g := NewWithT(t)
	r, err := examine(context.Background(), everything, loadOne(t, "tiny"), t.TempDir(), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	keys := func(mutants []*mutant) []string {
		var keys []string
		for _, m := range mutants {
			keys = append(keys, r.key(m))
		}
		return keys
	}
	const tiny = "test/mutants/testdata/tiny: "
	g.Expect(keys(r.survived)).To(ConsistOf(
		tiny+"Grade: > becomes >=: sum > 10",
		tiny+`Log: removed: lines = append(lines, "end")`,
	))
	g.Expect(keys(r.unreached)).To(ConsistOf(tiny + "Unused: negated: a == b"))
	g.Expect(keys(r.killed)).To(ConsistOf(
		tiny+"Grade: condition forced false: i < len(points)",
		tiny+"Grade: < becomes <=: i < len(points)",
		tiny+"Grade: removed: sum += points[i]",
		tiny+"Grade: += becomes -=: sum += points[i]",
		tiny+"Grade: condition forced true: sum > 10",
		tiny+"Grade: condition forced false: sum > 10",
		tiny+"Grade: condition forced true: len(points) > 1 && points[1] == 5",
		tiny+"Grade: condition forced false: len(points) > 1 && points[1] == 5",
		tiny+"Grade: operand forced true: len(points) > 1",
		tiny+"Grade: > becomes >=: len(points) > 1",
		tiny+"Grade: operand forced true: points[1] == 5",
		tiny+"Grade: negated: points[1] == 5",
		tiny+"Count: condition forced false: i < n",
		tiny+"Count: < becomes <=: i < n",
		tiny+"Count: removed: i++", // by time
	))
	g.Expect(r.dropped).To(BeZero())
	g.Expect(r.complete()).To(BeTrue())
}

func TestARunFromEndToEnd(t *testing.T) {
	g := NewWithT(t)
	o := everything
	o.verbose = true
	o.accepted = accepted{
		"test/mutants/testdata/tiny: Grade: > becomes >=: sum > 10":  "why not",
		"test/mutants/testdata/tiny: Grade: negated: points[1] == 5": "is killed",
	}
	var out bytes.Buffer
	g.Expect(run(context.Background(), o, []string{"./testdata/tiny", "./testdata/golden"}, &out)).To(Succeed())
	text := out.String()
	g.Expect(text).To(ContainSubstring("killed: test/mutants/testdata/tiny/tiny.go:8: Grade: removed: sum += points[i]\n"))
	g.Expect(text).To(ContainSubstring("unreached: test/mutants/testdata/tiny/tiny.go:35: Unused: negated: a == b\n"))
	g.Expect(text).To(MatchRegexp(`(?m)^test/mutants/testdata/tiny: 17 of 18 mutants run in \d+s$`))
	g.Expect(text).To(MatchRegexp(`(?m)^test/mutants/testdata/golden: no tests$`))
	g.Expect(text).To(MatchRegexp(`(?m)^ +15 +1 +1 +1 +18 +93%  test/mutants/testdata/tiny$`))
	g.Expect(text).To(ContainSubstring(`
survivors:
test/mutants/testdata/tiny/tiny.go:10: Grade: > becomes >=: sum > 10
    accepted: why not
test/mutants/testdata/tiny/tiny.go:30: Log: removed: lines = append(lines, "end")

stale in accepted.txt, no survivor matches: test/mutants/testdata/tiny: Grade: negated: points[1] == 5

seed 1, `))
}

func TestOnlyASampleIsRun(t *testing.T) {
	g := NewWithT(t)
	o := everything
	o.sample = 3
	r, err := examine(context.Background(), o, loadOne(t, "tiny"), t.TempDir(), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(r.killed) + len(r.survived)).To(Equal(3))
	g.Expect(r.unreached).To(HaveLen(1), "that needs no run")
	g.Expect(r.complete()).To(BeFalse())
}

func TestNothingIsRunOfAPackageWithoutTests(t *testing.T) {
	g := NewWithT(t)
	r, err := examine(context.Background(), everything, loadOne(t, "golden"), t.TempDir(), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.summary()).To(Equal("no tests"))
	g.Expect(r.unreached).NotTo(BeEmpty())
	g.Expect(r.reached).To(BeEmpty())
}

func TestTestsHaveToPassWithoutAMutant(t *testing.T) {
	g := NewWithT(t)
	_, err := examine(context.Background(), everything, loadOne(t, "failing"), t.TempDir(), &bytes.Buffer{})
	g.Expect(err).To(MatchError(ContainSubstring("TestZero fails without a mutant")))
	g.Expect(err).To(MatchError(ContainSubstring("failing_test.go:7: zero")))
}

func TestWhatCanNotBeStartedIsNotTakenForKilled(t *testing.T) {
	s := suite{options: everything, program: "none", dir: filepath.Join(t.TempDir(), "none"), tests: []test{{name: "TestA", reached: map[int]bool{1: true}}}}
	_, err := s.kills(context.Background(), 1)
	NewWithT(t).Expect(err).To(MatchError(os.ErrNotExist))
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := suite{options: everything, program: "none", dir: t.TempDir()}
	_, err := s.kills(ctx, 1)
	NewWithT(t).Expect(err).To(MatchError(context.Canceled))
}

func TestWhatThereIsNoPackageOf(t *testing.T) {
	err := run(context.Background(), everything, []string{"./testdata/none"}, &bytes.Buffer{})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("listing packages")))
}

func TestAMutantThatDoesNotCompileIsDropped(t *testing.T) {
	g := NewWithT(t)
	s := loadOne(t, "tiny")
	all := find(s)
	wrong := &mutant{id: len(all) + 1, file: "tiny.go", line: 6, until: 6, edits: []edit{{at: len("// Package"), text: "\n!"}}}
	_, compiled, err := build(context.Background(), s, append(all, wrong), t.TempDir())
	g.Expect(err).To(HaveOccurred(), "where no mutant is")
	g.Expect(compiled).To(BeEmpty())

	begin := bytes.Index(s.files[0].src, []byte("func Count"))
	wrong = &mutant{id: len(all) + 1, file: "tiny.go", line: 20, until: 20, edits: []edit{{at: begin, text: "var _ = undefined; "}}}
	_, compiled, err = build(context.Background(), s, append(all, wrong), t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(compiled).To(Equal(all))
}

func TestTheSourcesAreLeftAlone(t *testing.T) {
	g := NewWithT(t)
	s := loadOne(t, "tiny")
	_, err := examine(context.Background(), options{sample: 1, jobs: 1, patience: time.Second}, s, t.TempDir(), &bytes.Buffer{})
	g.Expect(err).NotTo(HaveOccurred())
	files, err := os.ReadDir(s.Dir)
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	g.Expect(names).To(ConsistOf("tiny.go", "tiny_test.go"))
	g.Expect(os.ReadFile(filepath.Join(s.Dir, "tiny.go"))).To(Equal(s.files[0].src))
}

func loadOne(t *testing.T, name string) *source {
	t.Helper()
	g := NewWithT(t)
	sources, err := load(context.Background(), []string{"./testdata/" + name})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sources).To(HaveLen(1))
	return sources[0]
}
