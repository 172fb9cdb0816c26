package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// The formats in which render writes.
const (
	outputYAML = "yaml"
	outputJSON = "json"
)

// renderedPolicy is what became of a policy.
type renderedPolicy struct {
	// Policy and its Subject, as NAMESPACE/NAME.
	Policy  string          `json:"policy"`
	Subject string          `json:"subject"`
	States  []renderedState `json:"states"`
}

// renderedState is what became of a policy in one state of the variants.
type renderedState struct {
	// Available variants, by name, in the Subject's order.
	Available []string `json:"available"`
	// Reason and Message are those of a failure; then there is nothing else.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Manifests are complete, and Mirrors have the shape that they have in a RoutingPolicy's status.
	Manifests []map[string]any       `json:"manifests"`
	Mirrors   []iter8v1alpha1.Mirror `json:"mirrors"`

	// description of the state, such as "v1 available, v2 not available".
	description string
}

// writerOf returns what writes in a format.
func writerOf(format string) (func(io.Writer, []renderedPolicy) error, error) {
	switch format {
	case outputYAML:
		return writeYAML, nil
	case outputJSON:
		return writeJSON, nil
	default:
		return nil, fmt.Errorf("--output takes yaml or json, not %q", format)
	}
}

func writeJSON(out io.Writer, policies []renderedPolicy) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"policies": policies})
}

// writeYAML writes the manifests as documents that kubectl apply takes, with all else in comments.
func writeYAML(out io.Writer, policies []renderedPolicy) error {
	for _, p := range policies {
		for _, s := range p.States {
			if s.Reason != "" {
				continue // which stderr has
			}
			text, err := s.documents(fmt.Sprintf("RoutingPolicy %s, Subject %s: %s", p.Policy, p.Subject, s.description))
			if err != nil {
				return err
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// documents returns the state in YAML, below a title.
func (s renderedState) documents(title string) (string, error) {
	var text strings.Builder
	text.WriteString("---\n" + comment(title))
	if len(s.Manifests) == 0 {
		text.WriteString(comment("no objects"))
	}
	for i, manifest := range s.Manifests {
		if i > 0 {
			text.WriteString("---\n")
		}
		document, err := yaml.Marshal(manifest)
		if err != nil {
			return "", err
		}
		text.Write(document)
	}
	for _, m := range s.Mirrors {
		text.WriteString(comment(describeMirror(m)))
	}
	return text.String(), nil
}

// describeMirror returns what became of a mirror, in a line.
func describeMirror(m iter8v1alpha1.Mirror) string {
	where := m.Route
	if m.Rule != "" {
		where += ", rule " + m.Rule
	}
	if m.Reason == "" {
		return fmt.Sprintf("%s: %s%% of the requests are mirrored to %s", where, m.Percent, m.To)
	}
	return fmt.Sprintf("%s: %s (%s)", where, m.Message, m.Reason)
}

// comment returns a text as one line of a comment, whatever is in it.
func comment(text string) string {
	return "# " + strings.Join(strings.Fields(text), " ") + "\n"
}

// withGroupVersions returns GROUP/VERSION/KIND of kinds, and GROUP/VERSION as well, as the operator passes them to charts.
func withGroupVersions(kinds []string) ([]string, error) {
	var all []string
	for _, kind := range kinds {
		parts := strings.Split(kind, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("--api-versions takes GROUP/VERSION/KIND, such as gateway.networking.k8s.io/v1/HTTPRoute, not %q", kind)
		}
		all = append(all, parts[0]+"/"+parts[1], kind)
	}
	return all, nil
}
