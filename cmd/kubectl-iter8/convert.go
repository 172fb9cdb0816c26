package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	"iter8.tools/operator/conversion"
)

const convertLong = `Write the Subjects and RoutingPolicies that Iter8's ConfigMaps stand for, as YAML that kubectl apply takes.

The ConfigMaps come from files, or without -f from the cluster. Those are taken that carry the label
app.kubernetes.io/managed-by: iter8: subjects and routing policies, and routemaps of every version. Warnings and errors
go to stderr with their file and line. The exit code is 1 when anything could not be converted; the rest is written
all the same.`

const convertExample = `  # What there is in a file
  kubectl iter8 convert -f routemap.yaml

  # What there is in a folder and below it, into one file
  kubectl iter8 convert -R -f deploy/ > iter8.yaml

  # What there is in all namespaces of the cluster
  kubectl iter8 convert -A

  # With the resource types and chart repositories of the operator's configuration
  kubectl iter8 convert -f routemap.yaml --config operator.yaml`

// convertOptions are the flags of convert.
type convertOptions struct {
	files      fileOptions
	configFile string
	verbose    bool
	cluster    clusterOptions
}

func newConvertCommand(streams genericiooptions.IOStreams) *cobra.Command {
	var o convertOptions
	command := &cobra.Command{
		Use:     "convert [-f FILE|FOLDER|-]...",
		Short:   "Write Iter8's ConfigMaps as Subjects and RoutingPolicies",
		Long:    convertLong,
		Example: convertExample,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), streams)
		},
	}
	flags := command.Flags()
	flags.StringArrayVarP(&o.files.names, "filename", "f", nil, "file or folder with manifests (YAML or JSON), or - for stdin; may be repeated. Without it the cluster is read")
	flags.BoolVarP(&o.files.recursive, "recursive", "R", false, "read folders with all that is below them")
	flags.StringVar(&o.configFile, "config", "", "file with the operator's configuration: its legacy.resourceTypes and legacy.chartRepositoryAliases count")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "report what is left out because it is not Iter8's")
	flags.StringVarP(&o.cluster.namespace, "namespace", "n", "", "namespace to read; for files, the one of ConfigMaps that name none")
	flags.BoolVarP(&o.cluster.allNamespaces, "all-namespaces", "A", false, "read all namespaces of the cluster")
	flags.StringVar(&o.cluster.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster")
	flags.StringVar(&o.cluster.context, "context", "", "context of the kubeconfig")
	return command
}

// A source is a ConfigMap and where it was found.
type source struct {
	configMap *corev1.ConfigMap
	// locate gives a prefix for messages about a place in the ConfigMap, such as FILE:LINE, and what is left of
	// the place to be told.
	locate func(conversion.Position) (prefix string, rest conversion.Position)
}

func (o *convertOptions) run(ctx context.Context, streams genericiooptions.IOStreams) error {
	config, err := readConfig(o.configFile)
	if err != nil {
		return err
	}
	options := conversion.OptionsFrom(config.Legacy)
	r := &report{errOut: streams.ErrOut, verbose: o.verbose}
	var sources []source
	if len(o.files.names) > 0 {
		if o.cluster.allNamespaces {
			return errors.New("-A reads the cluster, and -f files; give one of them")
		}
		sources = readConfigMaps(o.files, streams.In, r)
	} else if sources, err = readCluster(ctx, o.cluster); err != nil {
		return err
	}
	printed := 0
	for _, s := range sources {
		if s.configMap.Namespace == "" {
			s.configMap.Namespace = o.cluster.namespace
		}
		documents, ok := convert(s, options, r)
		if !ok {
			continue
		}
		printed++
		if printed > 1 {
			documents = append([]byte("---\n"), documents...)
		}
		if _, err := streams.Out.Write(documents); err != nil {
			return err
		}
	}
	if printed == 0 && !r.failed {
		fmt.Fprintln(streams.ErrOut, "No ConfigMaps of Iter8's found.")
	}
	if r.failed {
		return errReported
	}
	return nil
}

// convert gives what one ConfigMap becomes, and tells of warnings and errors.
func convert(s source, options conversion.Options, r *report) ([]byte, bool) {
	result, err := conversion.Convert(s.configMap, options)
	for _, warning := range result.Warnings {
		prefix, rest := s.locate(warning.Position)
		r.warn(prefix, conversion.Warning{Position: rest, Message: warning.Message}.String())
	}
	var problems conversion.Errors
	switch {
	case errors.Is(err, conversion.ErrNotIter8):
		prefix, _ := s.locate(conversion.Position{})
		r.note(prefix, fmt.Sprintf("ConfigMap %s is left out: it is not one of Iter8's", s.configMap.Name))
		return nil, false
	case errors.As(err, &problems):
		for _, problem := range problems {
			prefix, rest := s.locate(problem.Position)
			r.fail(prefix, conversion.Error{Position: rest, Message: problem.Message}.Error())
		}
		return nil, false
	}
	// They are the user's own from here on: with the marks of a mirror they would go when the ConfigMap goes.
	if result.Subject != nil {
		result.Subject.Annotations = nil
	}
	if result.Policy != nil {
		result.Policy.Annotations = nil
	}
	documents, err := result.Manifests()
	if err != nil {
		prefix, _ := s.locate(conversion.Position{})
		r.fail(prefix, err.Error())
		return nil, false
	}
	return documents, true
}

// readConfig reads a configuration of the operator; the default one without a file.
func readConfig(file string) (configv1alpha1.OperatorConfiguration, error) {
	if file == "" {
		return configv1alpha1.Default(), nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return configv1alpha1.OperatorConfiguration{}, fmt.Errorf("--config: %w", err)
	}
	config, err := configv1alpha1.Parse(data)
	if err != nil {
		return configv1alpha1.OperatorConfiguration{}, fmt.Errorf("--config %s: %w", file, err)
	}
	return config, nil
}
