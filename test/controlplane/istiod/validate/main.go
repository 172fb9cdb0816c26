// istio-validate reads YAML files with objects of Istio's API, validates each as istiod's admission webhook
// does, and prints a line for each warning and each error. It ends with 1 if there is an error: a field that
// Istio doesn't know, a value that it refuses, or an object that is none of its own.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/util/yaml"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
)

// namespace of objects that name none.
const namespace = "default"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: istio-validate FILE...")
		os.Exit(2)
	}
	failed := false
	for _, name := range os.Args[1:] {
		if err := validateFile(name); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func validateFile(name string) error {
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	defer file.Close() // it was only read
	documents := yaml.NewYAMLOrJSONDecoder(file, 4096)
	var errs []error
	for {
		object := &crd.IstioKind{}
		if err := documents.Decode(object); errors.Is(err, io.EOF) {
			return errors.Join(errs...)
		} else if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if object.Kind == "" {
			continue // nothing between two lines of dashes
		}
		warning, err := validate(object)
		if warning != nil {
			fmt.Printf("%s: warning: %s %s: %v\n", name, object.Kind, object.Name, warning)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", object.Kind, object.Name, err))
		}
	}
}

func validate(object *crd.IstioKind) (warning, err error) {
	kind := object.GroupVersionKind()
	schema, known := collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&kind))
	if !known {
		return nil, fmt.Errorf("%s is none of Istio's kinds", kind)
	}
	if object.Namespace == "" {
		object.Namespace = namespace
	}
	converted, err := crd.ConvertObjectInternal(schema, object, "", strictly)
	if err != nil {
		return nil, err
	}
	return schema.ValidateConfig(*converted)
}

// strictly reads a spec, and refuses fields that it doesn't have.
func strictly(schema resource.Schema, json string) (config.Spec, error) {
	spec, err := schema.NewInstance()
	if err != nil {
		return nil, err
	}
	return spec, config.ApplyJSONStrict(spec, json)
}
