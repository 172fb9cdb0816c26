package charts

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	release   = "iter8-operator"
	namespace = "iter8-system"

	moreKinds = `
appResources:
- {group: "", resource: configmaps}
- {group: example.com, resource: models}
readiness:
- {group: example.com, kind: Model, conditions: [Loaded, Warm]}
routes:
- {group: gateway.networking.k8s.io, kind: TLSRoute, resource: tlsroutes}
`
	legacy = `
legacy:
  enabled: true
  removeFinalizers: true
  gracePeriod: 30s
  namespaceSelector: {matchLabels: {iter8: operator}}
  resourceTypes: {model: {group: example.com, version: v1, kind: Model, conditions: [Loaded]}}
  chartRepositoryAliases: [{repository: "https://charts.example.com", chart: shadow, builtIn: mirror}]
`
	everything = `
fullnameOverride: iter8
image: {repository: registry.example.com/iter8/operator, digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
imagePullSecrets: [{name: pull}]
crds: {keep: false}
watchNamespaces: [team-a, team-b]
allowCrossNamespaceReferences: true
impersonation: {enabled: false}
serviceAccount: {name: iter8, annotations: {example.com/role: iter8}}
userRoles: {create: false}
replicas: 3
logLevel: debug
extraArgs: [--concurrent-policies=16]
resources: {limits: {cpu: 1, memory: 1Gi}}
podAnnotations: {example.com/scrape: "true"}
podLabels: {team: routing}
priorityClassName: system-cluster-critical
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: example.com/infra, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints:
- {topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {team: routing}}}
` + moreKinds
)

// chartSources are all that there is to say of repositories.
const chartSources = `
charts:
  allowedRepositories: ["https://charts.example.com/**", "http://charts.test"]
  allowInsecure: true
  allowedAddresses: [127.0.0.1, "::1"]
  deniedAddresses: [10.0.0.0/8]
  secrets: [{namespace: default, names: [repository]}]
  memory: 64Mi
  limits: {indexSize: 10Mi, timeout: 3s}
  cacheSize: 1Gi
  cacheClaim: charts
`

// valueSets are what the chart is installed with in the tests that hold whatever the values are.
var valueSets = map[string]string{
	"by default":                         "",
	"for some namespaces":                "watchNamespaces: [team-a, team-b]",
	"without impersonation":              "impersonation: {enabled: false}",
	"without CRDs":                       "crds: {enabled: false}",
	"with more kinds":                    moreKinds,
	"with Iter8's objects":               legacy,
	"with charts from some repositories": chartSources,
	"with all values set":                everything,
}

var chartFolder = inRepository("charts", "iter8-operator")

// installed is what helm install would create with values, given as YAML.
func installed(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := install(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func install(t *testing.T, values string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	c, err := loader.LoadDir(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	if err := chartutil.ProcessDependencies(c, given); err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(file) != ".yaml" {
			continue
		}
		for _, document := range documents(t, []byte(files[file])) {
			if content := object(t, document); len(content) > 0 {
				objects = append(objects, &unstructured.Unstructured{Object: content})
			}
		}
	}
	return objects, nil
}

// kinds are the objects of a kind. A field that the kind doesn't have fails the test.
func kinds[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var found []T
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		found = append(found, typed)
	}
	return found
}

func deployment(t *testing.T, values string) appsv1.Deployment {
	t.Helper()
	deployments := kinds[appsv1.Deployment](t, installed(t, values), "Deployment")
	if len(deployments) != 1 {
		t.Fatalf("%d Deployments", len(deployments))
	}
	return deployments[0]
}
