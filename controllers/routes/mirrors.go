package routes

import (
	"slices"
	"strconv"
	"strings"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
)

// What the API allows of a mirror's texts, in bytes.
const (
	maxText   = 4096
	maxTarget = 512
	maxRule   = 253
)

// everything is the percentage of a mirror that gets every request.
const everything = "100"

// Targets sums up the mirrors that aren't withheld: each target once, with the percentage where it isn't 100.
func Targets(mirrors []iter8v1alpha1.Mirror) string {
	var targets []string
	for _, m := range mirrors {
		if m.State == iter8v1alpha1.MirrorWithheld {
			continue
		}
		target := m.To
		if m.Percent != everything {
			target += " (" + m.Percent + "%)"
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return strings.Join(targets, ",")
}

// decimal is the shortest decimal number, to six places.
func decimal(number float64) string { return strconv.FormatFloat(number, 'g', 6, 64) }

func join(names []string) string { return strings.Join(names, ", ") }

func truncate(text string, limit int) string { return conditions.Truncate(text, limit) }
