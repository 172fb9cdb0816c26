package main

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what came of a package's mutants.
type result struct {
	path string
	// unreached are the mutants that no test reaches, reached all others.
	unreached, reached []*mutant
	// killed and survived are those that were run.
	killed, survived []*mutant
	// dropped is how many mutants don't compile.
	dropped int
	took    time.Duration
}

func (r result) summary() string {
	if r.took == 0 {
		return "no tests"
	}
	text := fmt.Sprintf("%d of %d mutants run in %s", len(r.killed)+len(r.survived), len(r.reached)+len(r.unreached), r.took.Round(time.Second))
	if r.dropped > 0 {
		text += fmt.Sprintf("; %d more don't compile", r.dropped)
	}
	return text
}

// complete reports whether every mutant that is reached was run.
func (r result) complete() bool { return len(r.killed)+len(r.survived) == len(r.reached) }

func (r result) details(out io.Writer) {
	for _, group := range []struct {
		what    string
		mutants []*mutant
	}{{"killed", r.killed}, {"survived", r.survived}, {"unreached", r.unreached}} {
		for _, m := range group.mutants {
			fmt.Fprintf(out, "%s: %s\n", group.what, r.line(m))
		}
	}
}

// line says where a mutant is and what.
func (r result) line(m *mutant) string {
	return fmt.Sprintf("%s/%s:%d: %s: %s", r.path, m.file, m.line, m.function, m.what)
}

// key is what accepted.txt has of a survivor: it stays the same when lines move.
func (r result) key(m *mutant) string {
	return fmt.Sprintf("%s: %s: %s", r.path, m.function, m.what)
}

// choose draws a sample of the mutants that are reached. It depends on nothing but the options, the package, and
// which mutants these are.
func (r result) choose(o options) []*mutant {
	mutants := slices.DeleteFunc(slices.Clone(r.reached), func(m *mutant) bool {
		return o.match != nil && !o.match.MatchString(r.line(m))
	})
	if o.sample == 0 {
		return mutants
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.path))
	draw := rand.New(rand.NewPCG(o.seed, hash.Sum64()))
	var chosen []*mutant
	for _, i := range slices.Sorted(slices.Values(draw.Perm(len(mutants))[:min(o.sample, len(mutants))])) {
		chosen = append(chosen, mutants[i])
	}
	return chosen
}

// report prints the table, the survivors, and the rows of accepted.txt that are stale.
func report(out io.Writer, o options, results []result) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out)
	fmt.Fprintln(table, "killed\tsurvived\taccepted\tunreached\ttotal\tscore\t  package")
	var survivors []string
	stale := maps.Clone(o.accepted)
	for _, r := range results {
		var open, left int
		for _, m := range r.survived {
			delete(stale, r.key(m))
			if reason, ok := o.accepted[r.key(m)]; ok {
				left++
				if o.verbose {
					survivors = append(survivors, fmt.Sprintf("%s\n    accepted: %s", r.line(m), reason))
				}
				continue
			}
			open++
			survivors = append(survivors, r.line(m))
		}
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t  %s\n", len(r.killed), open, left, len(r.unreached),
			len(r.reached)+len(r.unreached), score(len(r.killed), open), r.path)
	}
	_ = table.Flush()
	fmt.Fprintln(out, "\nscore: killed, of those that were run and aren't accepted")
	if len(survivors) > 0 {
		fmt.Fprintf(out, "\nsurvivors:\n%s\n", strings.Join(survivors, "\n"))
	}
	for _, key := range slices.Sorted(maps.Keys(stale)) {
		if ran(results, key) {
			fmt.Fprintf(out, "\nstale in accepted.txt, no survivor matches: %s\n", key)
		}
	}
}

func score(killed, survived int) string {
	if killed+survived == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", 100*killed/(killed+survived))
}

// ran reports whether every mutant was run of the package that a row of accepted.txt is about.
func ran(results []result, key string) bool {
	return slices.ContainsFunc(results, func(r result) bool {
		return r.complete() && strings.HasPrefix(key, r.path+": ")
	})
}
