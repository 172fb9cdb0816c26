package conversion

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What the API takes of a chart's name and version, and of a repository's address.
const (
	maxChartName  = 253
	maxRepository = 2048
)

var (
	triggerUpdate     = regexp.MustCompile(`^variant/([1-9]\d*)$`)
	repositoryAddress = regexp.MustCompile(`^(https?|oci)://.+`)
)

// convertRoutingPolicy reads the subject and the variant that trigger, the chart, and its values:
//
//	trigger:
//	  owner: httpbin
//	  update: variant/2
//	repo: https://iter8-tools.github.io/iter8
//	chart: mirror
//	version: 0.14.x
//	values: {…}
func (c *conversion) convertRoutingPolicy(root node) {
	root.warnOfOthers("trigger", "repo", "chart", "version", "values")
	owner, variants := trigger(root)
	spec := iter8v1alpha1.RoutingPolicySpec{
		SubjectRef: iter8v1alpha1.SubjectReference{Name: owner},
		Chart:      c.chart(root),
		Values:     values(root),
	}
	if len(variants) > 0 {
		spec.Trigger = &iter8v1alpha1.Trigger{Variants: variants}
	}
	c.setPolicy(spec)
}

// trigger reads the subject's name, and the variants that decide; none means all.
func trigger(root node) (owner string, variants []string) {
	field, ok := root.field("trigger")
	if !ok {
		field.fail("is missing: write the subject's name as trigger.owner")
		return "", nil
	}
	if _, ok := field.mapping(); !ok {
		return "", nil
	}
	field.warnOfOthers("owner", "update")
	ownerField, owner, ok := field.required("owner", "the subject's name")
	if ok {
		checkName(ownerField, owner)
	}
	if update, ok := field.field("update"); ok {
		if variant, ok := triggeringVariant(update); ok {
			variants = append(variants, variant)
		}
	}
	return owner, variants
}

// triggeringVariant reads variant/N.
func triggeringVariant(update node) (string, bool) {
	text, ok := update.string()
	if !ok {
		return "", false
	}
	match := triggerUpdate.FindStringSubmatch(text)
	if match == nil {
		update.fail("%q names no variant: write variant/N, with the variant's place in the subject, from 1", shorten(text))
		return "", false
	}
	number, err := strconv.Atoi(match[1])
	if err != nil || number > maxVariants {
		update.fail("%q names no variant: a subject has %d at most", shorten(text), maxVariants)
		return "", false
	}
	return variantName(number), true
}

func (c *conversion) chart(root node) *iter8v1alpha1.ChartReference {
	nameField, name, _ := root.required("chart", "the chart's name, such as mirror")
	repositoryField, repository := root.optional("repo")
	versionField, version := root.optional("version")
	atMost(nameField, name, maxChartName)
	atMost(repositoryField, repository, maxRepository)
	atMost(versionField, version, maxChartName)
	for _, alias := range c.options.ChartRepositoryAliases {
		if name != alias.Chart || strings.TrimRight(repository, "/") != strings.TrimRight(alias.Repository, "/") {
			continue
		}
		if alias.BuiltIn != "" {
			name = alias.BuiltIn
		}
		if alias.IgnoreVersion {
			version = ""
		}
		return &iter8v1alpha1.ChartReference{Name: name, Version: version}
	}
	if repository != "" && !repositoryAddress.MatchString(repository) {
		repositoryField.fail("%q is not the address of a chart repository: write https://… or oci://…", shorten(repository))
	}
	return &iter8v1alpha1.ChartReference{Repository: repository, Name: name, Version: version}
}

func atMost(field node, text string, most int) {
	if n := utf8.RuneCountInString(text); n > most {
		field.fail("has %d characters, and may have %d", n, most)
	}
}

// values keeps the chart's values as they are.
func values(root node) *apiextensionsv1.JSON {
	field, ok := root.field("values")
	if !ok {
		return nil
	}
	fields, ok := field.mapping()
	if !ok {
		return nil
	}
	if _, taken := fields[iter8v1alpha1.ReservedValuesKey]; taken {
		field.child(iter8v1alpha1.ReservedValuesKey, nil).fail("is reserved for the state of the variants; remove it")
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		field.fail("can't be written as JSON: %s", err)
		return nil
	}
	return &apiextensionsv1.JSON{Raw: raw}
}
