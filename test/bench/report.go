package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// What is reached for: multiples of the floor, and bytes.
const (
	medianReach = 1.5
	tailReach   = 2
	coldReach   = 5
	memoryReach = 128 << 20
	// manyPolicies is with how many the cold start and the memory are judged.
	manyPolicies = 1000
)

// results of one number of policies.
type results struct {
	size            int
	floor, operator measured
	// underAttack are the flips while bombs were rendered, of which there were so many; nil if none were.
	underAttack *results
	bombs       int
}

func (r *results) of(c contender) *measured {
	if c.isFloor() {
		return &r.floor
	}
	return &r.operator
}

func (r *results) agentOf(m *measured) string {
	if m == &r.floor {
		return floorAgent
	}
	return operatorAgent
}

// percentile of durations, by the nearest rank.
func percentile(durations []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}

func mean(durations []time.Duration) time.Duration {
	var total time.Duration
	for _, d := range durations {
		total += d
	}
	return total / time.Duration(len(durations))
}

// perFlip divides a total by the number of flips.
func (m measured) perFlip(total int) float64 { return float64(total) / float64(len(m.latencies)) }

func (m measured) median() time.Duration { return percentile(m.latencies, 50) }
func (m measured) tail() time.Duration   { return percentile(m.latencies, 99) }

func (m measured) routeWrites() float64 {
	return m.perFlip(m.calls.sum(httpRoutes.Resource, writes...))
}
func (m measured) reads() float64 { return m.perFlip(m.calls.sum("", reads...)) }

func ratio(operator, floor time.Duration) float64 { return float64(operator) / float64(floor) }

// print writes the table of one size.
func (r results) print(out io.Writer) {
	f, o := r.floor, r.operator
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	times := func(name string, floor, operator time.Duration) {
		row(name, duration(floor), duration(operator), fmt.Sprintf("%.2f", ratio(operator, floor)))
	}
	row(fmt.Sprintf("%d policies, %d flips each", r.size, len(o.latencies)), "floor", "operator", "ratio")
	times("variant changed → route changed, p50", f.median(), o.median())
	times("p99", f.tail(), o.tail())
	times("slowest", slices.Max(f.latencies), slices.Max(o.latencies))
	times("all variants at once → all routes", mean(f.bursts), mean(o.bursts))
	times("cold start → all routes", mean(f.colds), mean(o.colds))
	times("CPU of the cold start", f.coldCPU, o.coldCPU)
	times("CPU for a flip", f.cpu/time.Duration(len(f.latencies)), o.cpu/time.Duration(len(o.latencies)))
	row("memory after a cold start", megabytes(f.started.resident), megabytes(o.started.resident), "")
	row("memory at rest", megabytes(f.settled.resident), megabytes(o.settled.resident), "")
	row("of that, not the program's file", megabytes(f.settled.private), megabytes(o.settled.private), "")
	row("at the peak of the cold start", megabytes(f.settled.peak), megabytes(o.settled.peak), "")
	row("at the peak of all variants at once", megabytes(f.worked.peak), megabytes(o.worked.peak), "")
	row("writes to routes for a flip", fmt.Sprintf("%.2f", f.routeWrites()), fmt.Sprintf("%.2f", o.routeWrites()), "")
	row("reads for a flip", fmt.Sprintf("%.2f", f.reads()), fmt.Sprintf("%.2f", o.reads()), "")
	_ = table.Flush()
	fmt.Fprintf(out, "\nThe operator's requests for a policy of the cold start: %s\n", o.coldCalls.per(r.size))
	fmt.Fprintf(out, "For a flip: %s\n", o.calls.per(len(o.latencies)))
	fmt.Fprintf(out, "Its writes in %d restarts with nothing to do: %d (and to Events: %d)\n\n",
		len(o.restarts), o.quiet.writesButEvents(), o.quiet.sum("events", writes...))
	if r.underAttack != nil {
		r.printUnderAttack(out)
	}
}

// printUnderAttack compares flips under attack with those before, of the operator and, since the machine has more to do
// for all, of the floor.
func (r results) printUnderAttack(out io.Writer) {
	under := r.underAttack
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") }
	row(fmt.Sprintf("while %d bombs were set", r.bombs), "before", "meanwhile", "ratio")
	for _, c := range []struct {
		name              string
		before, meanwhile measured
	}{{"floor", r.floor, under.floor}, {"operator", r.operator, under.operator}} {
		row(c.name+", p50", duration(c.before.median()), duration(c.meanwhile.median()), fmt.Sprintf("%.2f", ratio(c.meanwhile.median(), c.before.median())))
		row("p99", duration(c.before.tail()), duration(c.meanwhile.tail()), fmt.Sprintf("%.2f", ratio(c.meanwhile.tail(), c.before.tail())))
	}
	row("the operator's memory, at its peak", megabytes(under.operator.started.peak), megabytes(under.operator.worked.peak), "")
	_ = table.Flush()
	fmt.Fprintln(out)
}

// per divides them by a number of things.
func (c calls) per(n int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%.2f %s", float64(c[name])/float64(n), name))
	}
	return strings.Join(parts, ", ")
}

// printReach compares with what is reached for.
func printReach(out io.Writer, all []results) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(size int, what, value string, reached bool) {
		verdict := "missed"
		if reached {
			verdict = "reached"
		}
		fmt.Fprintf(table, "%d policies\t%s\t%s\t%s\n", size, what, value, verdict)
	}
	for _, r := range all {
		f, o := r.floor, r.operator
		times := func(what string, limit float64, floor, operator time.Duration) {
			line(r.size, fmt.Sprintf("%s within %g × the floor", what, limit), fmt.Sprintf("%.2f", ratio(operator, floor)), ratio(operator, floor) <= limit)
		}
		times("p50", medianReach, f.median(), o.median())
		times("p99", tailReach, f.tail(), o.tail())
		line(r.size, "one write to the route for a flip", fmt.Sprintf("%.2f", o.routeWrites()), o.routeWrites() == 1)
		line(r.size, "no read for a flip", fmt.Sprintf("%.2f", o.reads()), o.reads() == 0)
		line(r.size, "no write in a restart", strconv.Itoa(o.quiet.writesButEvents()), o.quiet.writesButEvents() == 0)
		if r.size == manyPolicies {
			times("cold start", coldReach, mean(f.colds), mean(o.colds))
			peak := max(o.settled.peak, o.worked.peak)
			line(r.size, "memory never over "+megabytes(memoryReach), megabytes(peak), peak < memoryReach)
		}
	}
	_ = table.Flush()
}

func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
