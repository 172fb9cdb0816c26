package main

import (
	"fmt"
	"slices"
	"strings"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
)

// maxTriggering is how many variants --all takes: each doubles the states.
const maxTriggering = 6

// stateOptions say in which states of the variants to render.
type stateOptions struct {
	// available variants, where they are given.
	available []string
	given     bool
	all       bool
}

// of returns the names of the variants that are available, in the order of the Subject, for each state to render.
func (o stateOptions) of(policy *iter8v1alpha1.RoutingPolicy, subject *iter8v1alpha1.Subject) ([][]string, error) {
	var names, changing []string
	triggering, _ := desired.Triggers(policy, subject)
	for _, v := range subject.Spec.Variants {
		names = append(names, v.Name)
		if len(v.Resources) > 0 && slices.Contains(triggering, v.Name) {
			changing = append(changing, v.Name)
		}
	}
	switch {
	case o.given:
		for _, name := range o.available {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("--available names variant %q, and Subject %s has %s", name, subject.Name, strings.Join(names, ", "))
			}
		}
		return [][]string{without(subject, func(name string) bool { return !slices.Contains(o.available, name) })}, nil
	case !o.all:
		return [][]string{names}, nil
	case len(changing) > maxTriggering:
		return nil, fmt.Errorf("%d variants trigger it, which makes %d states, and --all takes %d variants at most; name the available ones with --available",
			len(changing), 1<<len(changing), maxTriggering)
	}
	states := make([][]string, 0, 1<<len(changing))
	for bits := range 1 << len(changing) {
		states = append(states, without(subject, func(name string) bool {
			i := slices.Index(changing, name)
			return i >= 0 && bits>>i&1 == 0
		}))
	}
	return states, nil
}

// without returns the names of a Subject's variants, but for those that are gone. One without resources is always available.
func without(subject *iter8v1alpha1.Subject, gone func(name string) bool) []string {
	available := []string{}
	for _, v := range subject.Spec.Variants {
		if len(v.Resources) == 0 || !gone(v.Name) {
			available = append(available, v.Name)
		}
	}
	return available
}

// describeState returns "v1 available, v2 not available".
func describeState(subject *iter8v1alpha1.Subject, available []string) string {
	texts := make([]string, 0, len(subject.Spec.Variants))
	for _, v := range subject.Spec.Variants {
		if slices.Contains(available, v.Name) {
			texts = append(texts, v.Name+" available")
		} else {
			texts = append(texts, v.Name+" not available")
		}
	}
	return strings.Join(texts, ", ")
}
