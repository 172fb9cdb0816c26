package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"iter8.tools/operator/controllers/desired"
)

const renderLong = `Render the routes of RoutingPolicies as the operator would, and report on every mirror in them. No cluster is asked.

The RoutingPolicies and their Subjects come from files; all else in these is left alone, but for the weights and Pod labels
of the resources that a Subject names. All variants are available where neither --available nor --all says otherwise, and
those without resources always are. What is rendered goes to stdout, with a comment on the state of the variants before it
and one on each mirror after it. What the operator would report as a failure goes to stderr, with its reason, and the exit
code is then 1.

What only a cluster knows is not looked at: which features gateways lack, what admission refuses, and who else owns an
object. Charts that are not built into the operator are not fetched, but read from --chart-dir.`

const renderExample = `  # The route while every variant is available
  kubectl iter8 render -f subject.yaml -f routingpolicy.yaml

  # The route while only v1 is
  kubectl iter8 render -f deploy/ --available v1

  # What every state of the variants makes of it, for a program
  kubectl iter8 render -f deploy/ --all --output json

  # A chart from a repository, for a cluster with older versions of the APIs
  helm pull --untar --untardir charts oci://ghcr.io/example/charts/canary
  kubectl iter8 render -f deploy/ --chart-dir charts --api-versions gateway.networking.k8s.io/v1beta1/HTTPRoute`

// kubeVersion is the cluster's version, where --kube-version says nothing else: that of the libraries this is built from.
const kubeVersion = "v1.37.0"

// servedVersions are what a cluster serves, where --api-versions says nothing else.
var servedVersions = []string{
	"gateway.networking.k8s.io/v1/HTTPRoute",
	"gateway.networking.k8s.io/v1/GRPCRoute",
	"networking.istio.io/v1/VirtualService",
	"networking.istio.io/v1/DestinationRule",
}

// renderOptions are the flags of render.
type renderOptions struct {
	files       fileOptions
	namespace   string
	states      stateOptions
	configFile  string
	chartDir    string
	kubeVersion string
	apiVersions []string
	output      string
	verbose     bool
}

func newRenderCommand(streams genericiooptions.IOStreams) *cobra.Command {
	var o renderOptions
	command := &cobra.Command{
		Use:     "render -f FILE|FOLDER|-...",
		Short:   "Render the routes of RoutingPolicies, and report on their mirrors",
		Long:    renderLong,
		Example: renderExample,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			o.states.given = command.Flags().Changed("available")
			return o.run(streams)
		},
	}
	flags := command.Flags()
	flags.StringArrayVarP(&o.files.names, "filename", "f", nil, "file or folder with manifests (YAML or JSON), or - for stdin; may be repeated")
	flags.BoolVarP(&o.files.recursive, "recursive", "R", false, "read folders with all that is below them")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of what names none")
	flags.StringSliceVar(&o.states.available, "available", nil, "variants that are available, and no others: v1,v2; \"\" for none. Without it all are")
	flags.BoolVar(&o.states.all, "all", false, "render each set of available variants, of those that trigger the policy; all others are available")
	flags.StringVar(&o.configFile, "config", "", "file with the operator's configuration: its routeKinds and allowCrossNamespaceReferences count")
	flags.StringVar(&o.chartDir, "chart-dir", "", "folder of a chart, or of charts in folders of their names, for policies whose chart is in a repository")
	flags.StringVar(&o.kubeVersion, "kube-version", kubeVersion, "version of Kubernetes that charts and templates see; the operator has them see the cluster's, without its patch")
	flags.StringSliceVar(&o.apiVersions, "api-versions", servedVersions, "kinds of routes that charts and templates see as served, GROUP/VERSION/KIND; may be repeated")
	flags.StringVarP(&o.output, "output", "o", outputYAML, "yaml or json")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "report what is left out because it is neither a Subject nor a RoutingPolicy")
	command.MarkFlagsMutuallyExclusive("available", "all")
	return command
}

func (o *renderOptions) run(streams genericiooptions.IOStreams) error {
	if len(o.files.names) == 0 {
		return errors.New("name the files with the RoutingPolicies and their Subjects: -f FILE, -f FOLDER, or -f - for stdin")
	}
	write, err := writerOf(o.output)
	if err != nil {
		return err
	}
	policies, err := o.newPolicyRenderer()
	if err != nil {
		return err
	}
	policies.report = &report{errOut: streams.ErrOut, verbose: o.verbose}
	policies.manifests = readManifests(o.files, o.namespace, streams.In, policies.report)
	if len(policies.manifests.policies) == 0 && !policies.report.failed {
		return errors.New("there is no RoutingPolicy in the files")
	}
	rendered := []renderedPolicy{}
	for _, policy := range policies.manifests.policies {
		if result, ok := policies.render(policy); ok {
			rendered = append(rendered, result)
		}
	}
	if err := write(streams.Out, rendered); err != nil {
		return err
	}
	if policies.report.failed {
		return errReported
	}
	return nil
}

// newPolicyRenderer returns what renders as the flags say.
func (o *renderOptions) newPolicyRenderer() (*policyRenderer, error) {
	config, err := readConfig(o.configFile)
	if err != nil {
		return nil, err
	}
	if _, err := chartutil.ParseKubeVersion(o.kubeVersion); err != nil {
		return nil, fmt.Errorf("--kube-version takes a version such as %s, not %q", kubeVersion, o.kubeVersion)
	}
	apiVersions, err := withGroupVersions(o.apiVersions)
	if err != nil {
		return nil, err
	}
	charts, err := newChartSource(o.chartDir)
	if err != nil {
		return nil, err
	}
	return &policyRenderer{config: config, charts: charts, states: o.states, cluster: desired.Cluster{APIVersions: apiVersions, KubeVersion: o.kubeVersion}}, nil
}
