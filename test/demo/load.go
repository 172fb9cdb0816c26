package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/dataplane"
)

const (
	// requestCount is how many requests a sender sends.
	requestCount = 20
	// shownRequests is how many of them are shown of a log.
	shownRequests = 4
	// copyGrace is how long copies that there should not be are waited for.
	copyGrace = 200 * time.Millisecond
	// shownID is how much of an X-Request-Id is shown.
	shownID = 8
)

// load is requests to a Service, by all who send some.
type load struct {
	service string
	port    int
	path    string
	// routing is what the client's Envoy is to do with them, as Pods.Describe has it, before the first one is sent.
	routing string
	senders []sender
}

// sender is who sends requests, and what becomes of them.
type sender struct {
	// who, in words.
	who string
	// headers as name, value, name, value….
	headers []string
	// answeredBy is the workload that answers.
	answeredBy string
	// mirror is the workload that gets a copy of each request if it is copied, and otherwise none.
	mirror string
	copied bool
}

func (l load) authority() string { return net.JoinHostPort(l.service, strconv.Itoa(l.port)) }

// send waits for the Envoy's routing and has all senders send their requests. Without traffic it does nothing.
func (s *stage) send(ctx context.Context, l load) error {
	if s.traffic == nil {
		return nil
	}
	if err := s.awaitBuild(ctx); err != nil || s.traffic == nil {
		return err
	}
	if err := s.startTraffic(ctx, l); err != nil {
		return err
	}
	fmt.Fprintln(s)
	routed := expectation{"the Envoy's routes for " + l.authority() + " are: " + l.routing, s.traffic.routing, l.routing}
	if err := s.await(ctx, routed); err != nil {
		return fmt.Errorf("%w%s", err, s.differences(ctx, []expectation{routed}))
	}
	s.success(routed.that)
	for _, from := range l.senders {
		if err := s.sendFrom(ctx, l, from); err != nil {
			return err
		}
	}
	return nil
}

// sendFrom sends a sender's requests, and checks what becomes of them.
func (s *stage) sendFrom(ctx context.Context, l load, from sender) error {
	originals, mirrored := s.traffic.receivedFromNow(from.answeredBy), s.traffic.receivedFromNow(from.mirror)
	s.say(fmt.Sprintf("\n%s sends %d requests: GET http://%s%s", from.who, requestCount, l.authority(), l.path))
	request := s.traffic.client.Get(l.path, from.headers...)
	answers := map[string]int{}
	for range requestCount {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		answers[s.traffic.client.Do(request)]++
	}
	if !maps.Equal(answers, map[string]int{from.answeredBy: requestCount}) {
		return fmt.Errorf("expected %d requests to be answered by %s, and got these answers: %s", requestCount, from.answeredBy, counts(answers))
	}
	s.success(fmt.Sprintf("%d requests answered by %s", requestCount, from.answeredBy))
	if !from.copied {
		<-time.After(copyGrace)
		if copies := mirrored(); len(copies) > 0 {
			return fmt.Errorf("expected no copies at %s, and it has got %d", from.mirror, len(copies))
		}
		s.success("none of them at " + from.mirror)
		return nil
	}
	return s.expectCopies(ctx, from, originals, mirrored)
}

// expectCopies waits for one copy of each request, and shows the logs of both workloads.
func (s *stage) expectCopies(ctx context.Context, from sender, originals, copies func() []dataplane.Received) error {
	that := fmt.Sprintf("%d copies at %s, each with the X-Request-Id of its original", requestCount, from.mirror)
	arrived := expectation{that, func(context.Context, client.Client) (string, error) {
		return fmt.Sprintf("%d copies", len(copies())), nil
	}, fmt.Sprintf("%d copies", requestCount)}
	if err := s.await(ctx, arrived); err != nil {
		return fmt.Errorf("%w%s", err, s.differences(ctx, []expectation{arrived}))
	}
	if err := dataplane.CheckCopies(originals(), copies()); err != nil {
		return fmt.Errorf("expected %s: %w", that, err)
	}
	s.success(that)
	fmt.Fprintln(s)
	for _, line := range sideBySide(logOf(from.answeredBy, originals()), logOf(from.mirror, copies())) {
		s.say(line)
	}
	return nil
}

// receivedFromNow returns a function that returns what has reached a workload since.
func (t *traffic) receivedFromNow(name string) func() []dataplane.Received {
	workload := dataplane.Workload{Namespace: metav1.NamespaceDefault, Name: name}
	before := t.pods.Count(workload)
	return func() []dataplane.Received { return t.pods.Received(workload)[before:] }
}

// counts are answers in words: "httpbin-v1 19, 503: no healthy upstream 1".
func counts(answers map[string]int) string {
	var parts []string
	for _, answer := range slices.Sorted(maps.Keys(answers)) {
		parts = append(parts, fmt.Sprintf("%s %d", answer, answers[answer]))
	}
	return strings.Join(parts, ", ")
}

// logOf is the log of a workload, cut short, with a title.
func logOf(workload string, received []dataplane.Received) []string {
	lines := []string{"log of " + workload + ", with X-Request-Id"}
	for _, r := range received[:min(len(received), shownRequests)] {
		id := r.RequestID()
		line := fmt.Sprintf("%s %s %s %d %s…", r.At.Format("15:04:05.000"), r.Method, r.Path, r.Status, id[:min(len(id), shownID)])
		if r.IsCopy() {
			line += " X-Envoy-Internal"
		}
		lines = append(lines, line)
	}
	if more := len(received) - shownRequests; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// sideBySide puts lines of two columns beside each other.
func sideBySide(left, right []string) []string {
	width := 0
	for _, line := range left {
		width = max(width, len([]rune(line)))
	}
	lines := make([]string, max(len(left), len(right)))
	for i := range lines {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		lines[i] = strings.TrimRight(l+strings.Repeat(" ", width-len([]rune(l)))+" │ "+r, " ")
	}
	return lines
}
