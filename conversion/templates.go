package conversion

import (
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// templates reads the templates of a ConfigMap, in the order of their names: what is in them stays as it is.
func (c *conversion) templates(field node) []iter8v1alpha1.InlineTemplate {
	entries := field.children()
	if len(entries) > maxTemplates {
		field.fail("has %d templates, and a policy has %d at most", len(entries), maxTemplates)
		return nil
	}
	given := map[string]bool{}
	for _, entry := range entries {
		given[entry.name()] = true
	}
	var inline []iter8v1alpha1.InlineTemplate
	for _, entry := range entries {
		if _, ok := entry.mapping(); !ok {
			continue
		}
		entry.warnOfOthers("gvrShort", "gvr", "template")
		if short, ok := entry.anyOf("gvrShort", "gvr"); ok {
			c.resourceType(short)
		} else {
			short.warn("is missing; what counts is the kind of the manifest that the template renders")
		}
		if text, ok := templateText(entry); ok {
			inline = append(inline, iter8v1alpha1.InlineTemplate{Name: templateName(entry, given), Template: text})
		}
	}
	return inline
}

func templateText(entry node) (string, bool) {
	field, ok := entry.field("template")
	if !ok {
		field.fail("is missing: write the manifest to apply, as a Go template")
		return "", false
	}
	text, ok := field.string()
	if !ok {
		return "", false
	}
	if text == "" {
		field.warn("is empty, and is left out")
		return "", false
	}
	if n := utf8.RuneCountInString(text); n > maxTemplate {
		field.fail("has %d characters, and may have %d: split it into several templates", n, maxTemplate)
		return "", false
	}
	if inTemplate, message := checkSyntax(text); message != "" {
		at := field.position()
		if scalar, _ := field.locate(field.path); scalar != nil && scalar.Style&yamlv3.LiteralStyle != 0 && inTemplate > 0 {
			at.Line = scalar.Line + inTemplate
		}
		field.failAt(at, "is not a Go template: %s", message)
		return "", false
	}
	return text, true
}

const templateInErrors = "template"

var templateError = regexp.MustCompile(`^template: ` + templateInErrors + `:(\d+):(?:\d+:)? (.*)$`)

// checkSyntax parses a template without asking whether its functions exist: which there are is the renderer's
// business. An empty message means that all is well; otherwise it comes with the line in the template, or zero.
func checkSyntax(text string) (line int, message string) {
	tree := parse.New(templateInErrors)
	tree.Mode = parse.SkipFuncCheck
	_, err := tree.Parse(text, "", "", map[string]*parse.Tree{})
	if err == nil {
		return 0, ""
	}
	match := templateError.FindStringSubmatch(err.Error())
	if match == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(match[1])
	return line, match[2]
}

var (
	validTemplateName = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$`)
	notInTemplateName = regexp.MustCompile(`[^-a-zA-Z0-9_.]+`)
)

// name is the last step of the node's path, a key.
func (n node) name() string {
	name, _ := n.path[len(n.path)-1].(string)
	return name
}

// templateName is the name of a template in the policy. Iter8 took any, and only errors mention it; one that the
// API doesn't take becomes one that it does and that no other template has been given.
func templateName(entry node, given map[string]bool) string {
	name := entry.name()
	if canName(name) {
		return name
	}
	const longestSuffix = len("-16")
	base := notInTemplateName.ReplaceAllString(name, "-")
	base = strings.Trim(base, "-_.")
	base = strings.TrimRight(base[:min(len(base), maxTemplateName-longestSuffix)], "-_.")
	name = base
	for n := 1; !canName(name) || given[name]; n++ {
		name = strings.TrimPrefix(base+"-"+strconv.Itoa(n), "-")
	}
	given[name] = true
	entry.warn("is not a name that a template can have; in the policy it is called %s", name)
	return name
}

// canName leaves out the one name that Helm doesn't take for a manifest.
func canName(name string) bool {
	return validTemplateName.MatchString(name) && len(name) <= maxTemplateName && name != "NOTES.txt"
}
