package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultGracePeriod is how long a ConfigMap may be gone before what was made of it goes too.
const DefaultGracePeriod = 10 * time.Second

// Legacy is the compatibility mode: Iter8's ConfigMaps are mirrored into Subjects and RoutingPolicies.
type Legacy struct {
	// Enabled turns the mode on.
	Enabled bool `json:"enabled,omitempty"`

	// NamespaceSelector selects the namespaces whose ConfigMaps are mirrored. Absent means all.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// GracePeriod is how long a ConfigMap may be gone before the Subject and RoutingPolicy made of it are
	// deleted: an immutable ConfigMap is changed by making it again.
	GracePeriod metav1.Duration `json:"gracePeriod,omitzero"`

	// RemoveFinalizers clears the finalizer that Iter8's controller left on the resources that it watched.
	RemoveFinalizers bool `json:"removeFinalizers,omitempty"`

	// ResourceTypes are the kinds behind the short names (gvrShort) in ConfigMaps. A configuration file adds to
	// DefaultResourceTypes, and replaces those of the same short name.
	ResourceTypes map[string]ResourceType `json:"resourceTypes,omitempty"`

	// ChartRepositoryAliases put charts that are built into the operator in place of charts in repositories.
	// Those of a configuration file go in place of DefaultChartRepositoryAliases.
	ChartRepositoryAliases []ChartRepositoryAlias `json:"chartRepositoryAliases,omitempty"`
}

// ResourceType is the kind behind a short name, and what Iter8 called ready in it. Iter8's own form, with a
// capital first letter and without the kind, is understood for the resources of DefaultResourceTypes.
type ResourceType struct {
	// Group of the kind; empty is the core group.
	Group string `json:"group,omitempty"`
	// Version of the kind: v1.
	Version string `json:"version"`
	// Kind in upper camel case: Service.
	Kind string `json:"kind,omitempty"`
	// Resource is the plural name that Iter8's configuration has instead of a kind: services. Beside a kind it
	// says nothing more.
	Resource string `json:"resource,omitempty"`
	// Conditions that must hold for a resource to be ready. None means that it is ready once it exists.
	Conditions []ResourceCondition `json:"conditions,omitempty"`
}

// APIVersion of the kind, as in manifests.
func (t ResourceType) APIVersion() string {
	if t.Group == "" {
		return t.Version
	}
	return t.Group + "/" + t.Version
}

// ResourceCondition is an entry of status.conditions. In a file it may stand as a string, the name.
type ResourceCondition struct {
	// Name is the condition's type: Available.
	Name string `json:"name"`
	// Status that it must have: True, False or Unknown. Absent means True.
	Status metav1.ConditionStatus `json:"status,omitempty"`
}

// UnmarshalJSON reads a condition, or only its name. The status may be a boolean: that is what YAML makes of a
// True without quotes.
func (c *ResourceCondition) UnmarshalJSON(data []byte) error {
	*c = ResourceCondition{Status: metav1.ConditionTrue}
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &c.Name)
	}
	var fields struct {
		Name   string `json:"name"`
		Status any    `json:"status"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fields); err != nil {
		return err
	}
	c.Name = fields.Name
	if fields.Status != nil {
		c.Status = metav1.ConditionStatus(fmt.Sprint(fields.Status))
		c.Status = c.RequiredStatus()
	}
	return nil
}

// ChartRepositoryAlias puts a chart that is built into the operator in place of one in a repository.
type ChartRepositoryAlias struct {
	// Repository is the address as it stands in ConfigMaps; a slash at its end makes no difference.
	Repository string `json:"repository"`
	// Chart is the chart's name there.
	Chart string `json:"chart"`
	// BuiltIn is the name of the built-in chart. Absent means the same name.
	BuiltIn string `json:"builtIn,omitempty"`
	// IgnoreVersion drops the version range of a ConfigMap, which otherwise the built-in chart must be in.
	IgnoreVersion bool `json:"ignoreVersion,omitempty"`
}

// DefaultResourceTypes are those of Iter8's own chart.
func DefaultResourceTypes() map[string]ResourceType {
	types := map[string]ResourceType{
		"svc":       {Version: "v1", Kind: "Service", Resource: "services"},
		"service":   {Version: "v1", Kind: "Service", Resource: "services"},
		"cm":        {Version: "v1", Kind: "ConfigMap", Resource: "configmaps"},
		"deploy":    {Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments"},
		"isvc":      {Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService", Resource: "inferenceservices"},
		"vs":        {Group: "networking.istio.io", Version: "v1beta1", Kind: "VirtualService", Resource: "virtualservices"},
		"httproute": {Group: "gateway.networking.k8s.io", Version: "v1beta1", Kind: "HTTPRoute", Resource: "httproutes"},
	}
	for name, condition := range map[string]string{"deploy": "Available", "isvc": "Ready"} {
		t := types[name]
		t.Conditions = []ResourceCondition{{Name: condition, Status: metav1.ConditionTrue}}
		types[name] = t
	}
	return types
}

// DefaultChartRepositoryAliases stand for Iter8's repository, which is gone quiet.
func DefaultChartRepositoryAliases() []ChartRepositoryAlias {
	return []ChartRepositoryAlias{{Repository: "https://iter8-tools.github.io/iter8", Chart: "mirror", BuiltIn: "mirror"}}
}

// DefaultLegacy is the compatibility mode where a file says nothing of it: off.
func DefaultLegacy() Legacy {
	return Legacy{
		GracePeriod:            metav1.Duration{Duration: DefaultGracePeriod},
		ResourceTypes:          DefaultResourceTypes(),
		ChartRepositoryAliases: DefaultChartRepositoryAliases(),
	}
}

// MaxConditions is how many conditions a resource type may have, and a readyWhen in a Subject too.
const MaxConditions = 8

var (
	shortName     = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	groupName     = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$`)
	versionName   = regexp.MustCompile(`^v[a-z0-9]{1,62}$`)
	kindName      = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)
	conditionName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_./]{0,314}[A-Za-z0-9])?$`)
)

// complete fills in what a file left out, and tells what is wrong with what it holds.
func (l *Legacy) complete() error {
	if l.ChartRepositoryAliases == nil {
		l.ChartRepositoryAliases = DefaultChartRepositoryAliases()
	}
	known := DefaultResourceTypes()
	for _, short := range slices.Sorted(maps.Keys(l.ResourceTypes)) {
		t := l.ResourceTypes[short]
		for _, d := range known {
			if t.Kind == "" && t.Group == d.Group && t.Resource == d.Resource {
				t.Kind = d.Kind
			}
		}
		l.ResourceTypes[short] = t
	}
	return l.Validate()
}

// Validate tells the first thing that is wrong, by its path in the configuration.
func (l Legacy) Validate() error {
	if _, err := metav1.LabelSelectorAsSelector(l.NamespaceSelector); err != nil {
		return fmt.Errorf("legacy.namespaceSelector of the operator's configuration: %w", err)
	}
	if l.GracePeriod.Duration < 0 {
		return fmt.Errorf("legacy.gracePeriod of the operator's configuration is %s, and can't be negative", l.GracePeriod.Duration)
	}
	for _, short := range slices.Sorted(maps.Keys(l.ResourceTypes)) {
		if !shortName.MatchString(short) {
			return fmt.Errorf("legacy.resourceTypes of the operator's configuration: %q is not a short name: letters, digits, '-', '_' and '.', 63 at most", short)
		}
		if err := l.ResourceTypes[short].validate(); err != nil {
			return fmt.Errorf("legacy.resourceTypes.%s of the operator's configuration %w", short, err)
		}
	}
	for i, alias := range l.ChartRepositoryAliases {
		if alias.Chart == "" || !strings.Contains(alias.Repository, "://") {
			return fmt.Errorf("legacy.chartRepositoryAliases[%d] of the operator's configuration takes a repository (https://… or oci://…) and a chart", i)
		}
	}
	return nil
}

func (t ResourceType) validate() error {
	switch {
	case t.Kind == "":
		return fmt.Errorf("takes a kind, beside its resource %q: what kind that is, is only known of Iter8's own resource types", t.Resource)
	case !kindName.MatchString(t.Kind):
		return fmt.Errorf("has the kind %q, and a kind is in upper camel case, such as Deployment", t.Kind)
	case !versionName.MatchString(t.Version):
		return fmt.Errorf("has the version %q, and takes one such as v1", t.Version)
	case !groupName.MatchString(t.Group):
		return fmt.Errorf("has the group %q, and a group is a domain name in lower case, or empty", t.Group)
	case len(t.Conditions) > MaxConditions:
		return fmt.Errorf("has %d conditions, and may have %d", len(t.Conditions), MaxConditions)
	}
	for i, c := range t.Conditions {
		if !conditionName.MatchString(c.Name) {
			return fmt.Errorf("has conditions[%d] named %q, and takes the type of a condition, such as Available", i, c.Name)
		}
		switch c.RequiredStatus() {
		case metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown:
		default:
			return fmt.Errorf("has conditions[%d] with the status %q, and takes True, False or Unknown", i, c.Status)
		}
	}
	return nil
}

// holds compares as Iter8 did, whatever the case; absent is True.
func (c ResourceCondition) holds(status metav1.ConditionStatus) bool {
	return strings.EqualFold(string(c.Status), string(status)) || c.Status == "" && status == metav1.ConditionTrue
}

// RequiredStatus is the status that the condition must have, written as the API writes it; whatever is no status
// stays as it is.
func (c ResourceCondition) RequiredStatus() metav1.ConditionStatus {
	for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
		if c.holds(status) {
			return status
		}
	}
	return c.Status
}
