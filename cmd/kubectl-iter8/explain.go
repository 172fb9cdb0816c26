package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const explainLong = `Explain the reasons that Subjects and RoutingPolicies give in their status, and in Events.

A reason stands in the conditions of both, in status.variants of a Subject and in status.mirrors and status.warnings of a policy. Their Events have those of a
condition Ready that fails, and some of their own. Without arguments all reasons are listed;
with some, it is explained what each means, how it ends and what helps. No cluster is asked. While a gateway refuses a
route, the condition Accepted has the gateway's own reason, which is not listed here.`

const explainExample = `  # All reasons
  kubectl iter8 explain

  # The reason of a policy that is not Ready
  kubectl iter8 explain OwnershipConflict

  # All reasons in Markdown
  kubectl iter8 explain --output markdown`

func newExplainCommand(streams genericiooptions.IOStreams) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:       "explain [REASON...]",
		Short:     "Explain the reasons in the status and the Events of Subjects and RoutingPolicies",
		Long:      explainLong,
		Example:   explainExample,
		ValidArgs: reasonNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			reasons, err := lookUp(args)
			if err != nil {
				return err
			}
			out := streams.Out
			switch {
			case output == "markdown":
				return writeReference(out, reasons)
			case output != "text":
				return fmt.Errorf("--output takes text or markdown, not %q", output)
			case len(args) == 0:
				return writeTable(out, reasons)
			default:
				return writeExplanations(out, reasons)
			}
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "text", "text or markdown")
	return command
}

func reasonNames() []string {
	all := allReasons()
	names := make([]string, 0, len(all))
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names
}

// allReasons are those of statuses, and those that only Events have.
func allReasons() []iter8v1alpha1.Reason {
	return slices.Concat(iter8v1alpha1.Reasons, iter8v1alpha1.EventReasons)
}

// lookUp returns the reasons of some names, in upper or lower case; all without names.
func lookUp(names []string) ([]iter8v1alpha1.Reason, error) {
	all := allReasons()
	if len(names) == 0 {
		return all, nil
	}
	found := make([]iter8v1alpha1.Reason, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(all, func(r iter8v1alpha1.Reason) bool { return strings.EqualFold(r.Name, name) })
		if i < 0 {
			message := fmt.Sprintf("there is no reason %q", name)
			if near := suggestions(name); len(near) > 0 {
				message += "; did you mean " + strings.Join(near, ", ") + "?"
			}
			return nil, fmt.Errorf("%s (kubectl iter8 explain lists them all)", message)
		}
		found = append(found, all[i])
	}
	return found, nil
}

// suggestions returns the names of reasons that are close to a name, or contain it.
func suggestions(name string) []string {
	if name == "" {
		return nil // which is the beginning of all
	}
	reasons := &cobra.Command{SuggestionsMinimumDistance: 2} // cobra measures how far names of commands are apart
	for _, r := range reasonNames() {
		reasons.AddCommand(&cobra.Command{Use: r, Run: func(*cobra.Command, []string) {}})
	}
	near := reasons.SuggestionsFor(name)
	for _, r := range reasonNames() {
		if len(name) > 2 && strings.Contains(strings.ToLower(r), strings.ToLower(name)) && !slices.Contains(near, r) {
			near = append(near, r)
		}
	}
	slices.Sort(near)
	return near
}

// writeTable writes a line for each reason.
func writeTable(out io.Writer, reasons []iter8v1alpha1.Reason) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tCONDITIONS\tRECOVERY\tMEANING")
	for _, r := range reasons {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name, usedBy(r.Conditions), recoveryOf(r), r.Meaning)
	}
	return table.Flush()
}

// writeExplanations writes a paragraph for each reason.
func writeExplanations(out io.Writer, reasons []iter8v1alpha1.Reason) error {
	text := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for i, r := range reasons {
		if i > 0 {
			fmt.Fprintln(text)
		}
		fmt.Fprintln(text, r.Name)
		fmt.Fprintf(text, "  Used by:\t%s\n", usedBy(r.Conditions))
		fmt.Fprintf(text, "  Meaning:\t%s\n", r.Meaning)
		fmt.Fprintf(text, "  How it ends:\t%s\n", ending(r.Recovery))
		if r.Remedy != "" {
			fmt.Fprintf(text, "  What helps:\t%s\n", r.Remedy)
		}
	}
	return text.Flush()
}

// usedBy lists conditions, and names a kind once for those of it that follow each other.
func usedBy(conditions []string) string {
	list, last := make([]string, 0, len(conditions)), ""
	for _, used := range conditions {
		kind, condition, ok := strings.Cut(used, " ")
		if ok && kind == last {
			used = condition
		}
		list, last = append(list, used), kind
	}
	return strings.Join(list, ", ")
}

// ending explains a recovery, after its name.
func ending(recovery iter8v1alpha1.Recovery) string {
	if recovery == iter8v1alpha1.NoRecovery {
		return recovery.Meaning()
	}
	return string(recovery) + ". " + recovery.Meaning()
}

func recoveryOf(r iter8v1alpha1.Reason) string {
	if r.Recovery == iter8v1alpha1.NoRecovery {
		return "–"
	}
	return string(r.Recovery)
}

const referenceHead = "# Reasons\n\n" +
	"[//]: # (Made by make docs from api/v1alpha1/reasons.go and events.go. Do not edit.)\n\n" +
	"What the field `reason` says in the conditions of Subjects and RoutingPolicies, in `status.variants`\n" +
	"of a Subject and in `status.mirrors` and `status.warnings` of a RoutingPolicy, and those that only Events have.\n" +
	"`kubectl iter8 explain REASON` prints the same. A policy's condition `Ready` repeats the reason of the first of its other\n" +
	"conditions that failed. While a gateway refuses a route, `Accepted` is False with the gateway's own reason, which is not listed\n" +
	"here: the Gateway API's [conditions](https://gateway-api.sigs.k8s.io/guides/implementers/#standard-status-fields-and-conditions)\n" +
	"explain those.\n\n" +
	"How each ends:\n\n"

// writeReference writes a document in Markdown.
func writeReference(out io.Writer, reasons []iter8v1alpha1.Reason) error {
	var text strings.Builder
	text.WriteString(referenceHead)
	for _, r := range []iter8v1alpha1.Recovery{iter8v1alpha1.Waits, iter8v1alpha1.Retries, iter8v1alpha1.Stalls} {
		fmt.Fprintf(&text, "- **%s**: %s\n", r, r.Meaning())
	}
	var sections []string
	rows := map[string][]iter8v1alpha1.Reason{}
	for _, r := range reasons {
		section := r.Conditions[0]
		if rows[section] == nil {
			sections = append(sections, section)
		}
		rows[section] = append(rows[section], r)
	}
	for _, section := range sections {
		fmt.Fprintf(&text, "\n## %s\n\n| Reason | Ends | Meaning | What helps | Also in |\n|---|---|---|---|---|\n", heading(section))
		for _, r := range rows[section] {
			fmt.Fprintf(&text, "| `%s` | %s | %s | %s | %s |\n", r.Name, recoveryOf(r), r.Meaning, r.Remedy, usedBy(r.Conditions[1:]))
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// heading of the reasons that a condition uses.
func heading(used string) string {
	kind, condition, ok := strings.Cut(used, " ")
	switch {
	case used == "warning":
		return "Warnings of a RoutingPolicy"
	case used == "mirror":
		return "Mirrors of a RoutingPolicy"
	case !ok:
		return "Variants of a Subject"
	case condition == "Events":
		return "Events of a " + kind
	}
	return fmt.Sprintf("%s: condition %s", kind, condition)
}
