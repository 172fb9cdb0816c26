package conversion

import (
	"errors"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// ErrNotIter8 is returned for a ConfigMap that Recognise doesn't recognise.
var ErrNotIter8 = errors.New("the ConfigMap is not one of Iter8's")

// Options are what the formats leave to the configuration of a controller.
type Options struct {
	// ResourceTypes by short name. Nil means configv1alpha1.DefaultResourceTypes.
	ResourceTypes map[string]configv1alpha1.ResourceType
	// ChartRepositoryAliases, of which the first that fits counts. Nil means
	// configv1alpha1.DefaultChartRepositoryAliases.
	ChartRepositoryAliases []configv1alpha1.ChartRepositoryAlias
}

// OptionsFrom gives the options that the operator's configuration holds.
func OptionsFrom(legacy configv1alpha1.Legacy) Options {
	return Options{ResourceTypes: legacy.ResourceTypes, ChartRepositoryAliases: legacy.ChartRepositoryAliases}
}

// Result is what one ConfigMap becomes.
type Result struct {
	// Subject and Policy are nil where the ConfigMap makes none.
	Subject *iter8v1alpha1.Subject
	Policy  *iter8v1alpha1.RoutingPolicy
	// Warnings in the order of their lines. They are there beside an error too.
	Warnings []Warning
}

// Convert makes a Subject, a RoutingPolicy, or both, of one of Iter8's ConfigMaps. They have the ConfigMap's name
// and namespace, and carry annotations that tell what they were made of. The error is ErrNotIter8 or Errors; with
// one there are no objects.
func Convert(configMap *corev1.ConfigMap, options Options) (Result, error) {
	format, ok := Recognise(configMap)
	if !ok {
		return Result{}, ErrNotIter8
	}
	if options.ResourceTypes == nil {
		options.ResourceTypes = configv1alpha1.DefaultResourceTypes()
	}
	if options.ChartRepositoryAliases == nil {
		options.ChartRepositoryAliases = configv1alpha1.DefaultChartRepositoryAliases()
	}
	c := &conversion{configMap: configMap, options: options}
	c.checkNames()
	c.checkLabels()
	if root, ok := c.read(); ok {
		switch format {
		case FormatSubject:
			c.convertSubject(root)
		case FormatRoutingPolicy:
			c.convertRoutingPolicy(root)
		case FormatSubjectWithTemplates, FormatRoutemap:
			c.convertRoutemap(root, format)
		default:
			root.failAt(Position{Key: root.key}, "is in none of Iter8's formats: a subject has gvrs and variants, "+
				"a routing policy trigger and chart, a routemap versions and routingTemplates")
		}
	}
	c.sort()
	if len(c.errors) > 0 {
		return Result{Warnings: c.warnings}, c.errors
	}
	c.result.Warnings = c.warnings
	return c.result, nil
}

// conversion is one ConfigMap on its way.
type conversion struct {
	findings
	configMap *corev1.ConfigMap
	options   Options
	// labels of the ConfigMap that an object can have.
	labels map[string]string
	result Result
}

func (c *conversion) checkNames() {
	if problems := validation.IsDNS1123Subdomain(c.configMap.Name); len(problems) > 0 {
		c.failAt(Position{Path: "metadata.name"}, "%q is not a name that an object can have: %s", shorten(c.configMap.Name), problems[0])
	}
	if c.configMap.Namespace == "" {
		return // in a file it may be absent
	}
	if problems := validation.IsDNS1123Label(c.configMap.Namespace); len(problems) > 0 {
		c.failAt(Position{Path: "metadata.namespace"}, "%q is not a name that a namespace can have: %s", shorten(c.configMap.Namespace), problems[0])
	}
}

// checkLabels leaves out labels that no apiserver ever stored: in files there are some.
func (c *conversion) checkLabels() {
	c.labels = maps.Clone(c.configMap.Labels)
	for _, name := range slices.Sorted(maps.Keys(c.labels)) {
		if len(validation.IsQualifiedName(name)) > 0 || len(validation.IsValidLabelValue(c.labels[name])) > 0 {
			c.warnAt(Position{Path: path{"metadata", "labels", name}.String()},
				"%q is left out: no apiserver takes this label, whose value consists of letters, digits, '-', '_' and '.', 63 at most", shorten(c.labels[name]))
			delete(c.labels, name)
		}
	}
}

// read parses what the ConfigMap holds.
func (c *conversion) read() (node, bool) {
	key, text, ok := specOf(c.configMap)
	if !ok {
		there := slices.Sorted(maps.Keys(c.configMap.Data))
		c.failAt(Position{Path: "data"}, "has neither spec nor strSpec, and Iter8's ConfigMaps hold everything in one of them; it has %s", list(there, "nothing"))
		return node{}, false
	}
	if _, both := c.configMap.Data[specKey]; both && key != specKey {
		c.warnAt(Position{Key: specKey}, "is left out: data.%s counts", key)
	}
	d := &document{findings: &c.findings, key: key, text: text}
	return d.read()
}

// metadata is the ConfigMap's, as far as it is the made object's too: without the labels named.
func (c *conversion) metadata(leaveOut ...string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:        c.configMap.Name,
		Namespace:   c.configMap.Namespace,
		Annotations: map[string]string{iter8v1alpha1.ConvertedFromAnnotation: c.configMap.Name},
	}
	if uid := c.configMap.UID; uid != "" {
		meta.Annotations[iter8v1alpha1.ConvertedFromUIDAnnotation] = string(uid)
	}
	for name, value := range c.labels {
		if slices.Contains(leaveOut, name) {
			continue
		}
		if meta.Labels == nil {
			meta.Labels = map[string]string{}
		}
		meta.Labels[name] = value
	}
	return meta
}

func (c *conversion) setSubject(spec iter8v1alpha1.SubjectSpec) {
	c.result.Subject = &iter8v1alpha1.Subject{
		TypeMeta:   metav1.TypeMeta{APIVersion: iter8v1alpha1.GroupVersion.String(), Kind: "Subject"},
		ObjectMeta: c.metadata(iter8v1alpha1.ManagedByLabel, KindLabel, VersionLabel),
		Spec:       spec,
	}
}

// setPolicy keeps the labels that tell what the ConfigMap was: its templates may read them.
func (c *conversion) setPolicy(spec iter8v1alpha1.RoutingPolicySpec) {
	c.result.Policy = &iter8v1alpha1.RoutingPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: iter8v1alpha1.GroupVersion.String(), Kind: "RoutingPolicy"},
		ObjectMeta: c.metadata(iter8v1alpha1.ManagedByLabel),
		Spec:       spec,
	}
}

// list names things in a message.
func list(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	const most = 30
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
