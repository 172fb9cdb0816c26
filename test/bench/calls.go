package main

import (
	"slices"
	"strings"

	"iter8.tools/operator/test/env"
)

// calls are requests to the apiserver, by "verb resource".
type calls map[string]int

// What is called whether a variant flips or not: the Lease is renewed, and the cluster asked what it serves.
func isBackground(event env.AuditEvent) bool {
	return event.Resource == "" || event.Resource == "leases"
}

// countCalls counts what a contender asked of the apiserver during its cold start, the flips and the restarts.
func countCalls(cluster *env.Environment, m *measured, agent string) error {
	m.coldCalls, m.calls, m.quiet = calls{}, calls{}, calls{}
	events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return strings.HasPrefix(e.UserAgent, agent) && !isBackground(e)
	})
	if err != nil {
		return err
	}
	for _, event := range events {
		within := func(w window) bool { return w.from.Before(event.Time) && event.Time.Before(w.to) }
		resource := event.Resource
		if event.Subresource != "" {
			resource += "/" + event.Subresource
		}
		name := event.Verb + " " + resource
		switch {
		case within(m.cold):
			m.coldCalls[name]++
		case within(m.flips):
			m.calls[name]++
		case slices.ContainsFunc(m.restarts, within):
			m.quiet[name]++
		}
	}
	return nil
}

// sum adds up the calls of some verbs to resources that begin so.
func (c calls) sum(resource string, verbs ...string) int {
	total := 0
	for name, n := range c {
		verb, of, _ := strings.Cut(name, " ")
		if slices.Contains(verbs, verb) && strings.HasPrefix(of, resource) {
			total += n
		}
	}
	return total
}

var (
	writes = []string{"create", "update", "patch", "delete", "deletecollection"}
	reads  = []string{"get", "list", "watch"}
)

// writesButEvents adds up the writes to anything but Events, which nothing acts on.
func (c calls) writesButEvents() int { return c.sum("", writes...) - c.sum("events", writes...) }
