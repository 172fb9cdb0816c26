package conversion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Objects are what the result consists of: the Subject before the RoutingPolicy.
func (r Result) Objects() []runtime.Object {
	var objects []runtime.Object
	if r.Subject != nil {
		objects = append(objects, r.Subject)
	}
	if r.Policy != nil {
		objects = append(objects, r.Policy)
	}
	return objects
}

// Manifests are the objects as one would write them: YAML documents without status, parted by ---, and templates
// as blocks of lines.
func (r Result) Manifests() ([]byte, error) {
	var out bytes.Buffer
	for i, object := range r.Objects() {
		if i > 0 {
			out.WriteString("---\n")
		}
		document, err := manifest(object)
		if err != nil {
			return nil, fmt.Errorf("writing a %s as YAML: %w", object.GetObjectKind().GroupVersionKind().Kind, err)
		}
		out.Write(document)
	}
	return out.Bytes(), nil
}

func manifest(object runtime.Object) ([]byte, error) {
	plain, err := marshal(object)
	policy, ok := object.(*iter8v1alpha1.RoutingPolicy)
	if err != nil || !ok || !slices.ContainsFunc(policy.Spec.Templates, needsBlock) {
		return plain, err
	}
	readable, err := marshalWithBlocks(policy)
	if err != nil || !sameYAML(plain, readable) {
		return plain, nil //nolint:nilerr // it is the same, only harder to read
	}
	return readable, nil
}

func marshal(object runtime.Object) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	return yaml.Marshal(fields)
}

// needsBlock tells of a template with spaces at the end of a line, as the routemaps of Iter8's charts have them:
// the YAML library writes such a text between quotes, all in one.
func needsBlock(t iter8v1alpha1.InlineTemplate) bool {
	return strings.Contains(t.Template, " \n") || strings.HasSuffix(t.Template, " ")
}

// marshalWithBlocks writes such templates as blocks, by way of a word in their place.
func marshalWithBlocks(policy *iter8v1alpha1.RoutingPolicy) ([]byte, error) {
	policy = policy.DeepCopy()
	var blocks []string
	for i := range policy.Spec.Templates {
		t := &policy.Spec.Templates[i]
		if !needsBlock(*t) {
			continue
		}
		word := fmt.Sprintf("the-template-%d-of-this-policy", i)
		blocks = append(blocks, "template: "+word+"\n", "template: "+block(t.Template, "      "))
		t.Template = word
	}
	data, err := marshal(policy)
	if err != nil {
		return nil, err
	}
	return []byte(strings.NewReplacer(blocks...).Replace(string(data))), nil
}

// block writes text as a literal block with its lines indented.
func block(text, indent string) string {
	header := "|"
	if strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\n") {
		header += "2" // the indentation of its content over that of its key
	}
	body := strings.TrimRight(text, "\n")
	switch len(text) - len(body) {
	case 0:
		header += "-"
	case 1:
	default:
		header += "+"
		body = strings.TrimSuffix(text, "\n")
	}
	var out strings.Builder
	out.WriteString(header + "\n")
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" {
			out.WriteString(indent + line)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func sameYAML(a, b []byte) bool {
	var left, right any
	if yaml.Unmarshal(a, &left) != nil || yaml.Unmarshal(b, &right) != nil {
		return false
	}
	return reflect.DeepEqual(left, right)
}
