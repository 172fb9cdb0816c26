// Package render turns a chart, values and the state of variants into manifests. It is a pure function of
// these: it talks to nobody, and its inputs stay as they are.
package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/reason"
)

// ErrInvalidValues is wrapped by the errors that only other values can mend.
var ErrInvalidValues = reason.New(iter8v1alpha1.ReasonInvalidValues, "invalid values")

// MaxOutput is how many bytes templates may render, before any of it is read as YAML.
const MaxOutput = 4 << 20

// Input is all that manifests depend on.
type Input struct {
	// Chart to render, or nil: then Templates are.
	Chart *chart.Chart
	// BuiltIn charts are the operator's own, and trusted with its process.
	BuiltIn bool
	// Templates are a policy's own.
	Templates []iter8v1alpha1.InlineTemplate
	// Values of the user, without the reserved key.
	Values map[string]any
	// Namespace and Policy are the RoutingPolicy's: the chart's .Release.Namespace and .Release.Name.
	Namespace, Policy string
	// Labels are the RoutingPolicy's, which its own templates get to see.
	Labels map[string]string
	// Subject whose variants are rendered.
	Subject types.NamespacedName
	// Variants in the order of the Subject.
	Variants []Variant
	// APIVersions that the cluster serves, as "group/version" and "group/version/Kind": the chart's
	// .Capabilities.APIVersions.
	APIVersions []string
	// KubeVersion of the cluster, the chart's .Capabilities.KubeVersion: v1.33.0. Empty means the one that Helm's
	// SDK has for a program that sets none.
	KubeVersion string `json:",omitempty"`
}

// Variant is the state of a variant as the chart gets to see it.
type Variant struct {
	Name string
	// Number is the variant's position in the Subject, from 1.
	Number int
	// Available is always true for a variant that the policy isn't triggered by.
	Available bool
	// Weight is 1 where none is given, which Weighted tells apart.
	Weight    int32
	Weighted  bool
	Resources []Resource
}

// Resource is a resource of a variant.
type Resource struct {
	Kind, Name string
}

// Renderer renders in this process. It remembers nothing but the compiled schemas of charts, and may be used from several
// goroutines.
type Renderer struct {
	schemas schemaCache
}

// NewRenderer returns a Renderer that has compiled no schema yet.
func NewRenderer() *Renderer { return &Renderer{newSchemaCache()} }

// Manifests renders the chart: its manifests in the order of their files and of their place therein. Errors
// name the template and, where Helm tells, the line; those about values wrap ErrInvalidValues.
func (r *Renderer) Manifests(in Input) ([]*unstructured.Unstructured, error) {
	values, err := r.renderValues(in)
	if err != nil {
		return nil, err
	}
	files, err := renderFiles(in, values)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	size := 0
	for name, content := range files {
		if path.Base(name) != "NOTES.txt" {
			names = append(names, name)
			size += len(content)
		}
	}
	if size > MaxOutput {
		return nil, fmt.Errorf("%w: the templates render %d bytes, and at most %d are allowed", ErrLimit, size, MaxOutput)
	}
	slices.Sort(names)

	var manifests []*unstructured.Unstructured
	for _, name := range names {
		parsed, err := parse(files[name])
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
		manifests = append(manifests, parsed...)
	}
	return manifests, nil
}

// renderFiles returns what each template rendered, by its name.
func renderFiles(in Input, values chartutil.Values) (map[string]string, error) {
	if in.Chart == nil {
		return renderInline(in, values)
	}
	rendered, err := engine.Engine{}.Render(in.Chart, values)
	if err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	files := make(map[string]string, len(rendered))
	for name, content := range rendered {
		files[strings.TrimPrefix(name, in.Chart.Name()+"/templates/")] = content
	}
	return files, nil
}

// renderValues are what Helm hands to templates: the user's values over the chart's, checked against the
// chart's schema, with the state of the variants under the reserved key.
func (r *Renderer) renderValues(in Input) (chartutil.Values, error) {
	if _, taken := in.Values[iter8v1alpha1.ReservedValuesKey]; taken {
		return nil, fmt.Errorf("%w: the key %q is reserved for the state of the variants; remove it from spec.values",
			ErrInvalidValues, iter8v1alpha1.ReservedValuesKey)
	}
	values := make(map[string]any, len(in.Values)+1)
	for k, v := range in.Values {
		values[k] = v
	}
	values[iter8v1alpha1.ReservedValuesKey] = state(in)

	c := in.Chart
	if c == nil {
		c = &chart.Chart{Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: in.Policy}}
	}
	capabilities, err := capabilities(in)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: in.Policy, Namespace: in.Namespace, Revision: 1, IsInstall: true}
	rendered, err := chartutil.ToRenderValuesWithSchemaValidation(c, values, release, capabilities, true)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidValues, err)
	}
	if err := r.schemas.validate(c, rendered["Values"].(chartutil.Values)); err != nil {
		return nil, err
	}
	return rendered, nil
}

// state is the value of the reserved key.
func state(in Input) map[string]any {
	variants := make([]any, 0, len(in.Variants))
	for _, v := range in.Variants {
		resources := make([]any, 0, len(v.Resources))
		for _, r := range v.Resources {
			resources = append(resources, map[string]any{"kind": r.Kind, "name": r.Name})
		}
		variants = append(variants, map[string]any{
			"name":      v.Name,
			"number":    int64(v.Number),
			"available": v.Available,
			"weight":    int64(v.Weight),
			"weighted":  v.Weighted,
			"resources": resources,
		})
	}
	return map[string]any{
		"subject":  map[string]any{"name": in.Subject.Name, "namespace": in.Subject.Namespace},
		"policy":   map[string]any{"name": in.Policy},
		"variants": variants,
	}
}

// capabilities are what Helm tells templates of the cluster.
func capabilities(in Input) (*chartutil.Capabilities, error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), in.APIVersions...)
	if in.KubeVersion != "" {
		version, err := chartutil.ParseKubeVersion(in.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("the version of Kubernetes, %q: %w", in.KubeVersion, err)
		}
		capabilities.KubeVersion = *version
	}
	return capabilities, nil
}
