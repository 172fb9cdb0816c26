package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/chart"
)

// chartSource has the charts that are built into the operator, and stands in for repositories by a folder.
type chartSource struct {
	builtIn *chart.BuiltIn
	// folder of a chart, or of charts in folders of their names; empty where none is given.
	folder string
}

func newChartSource(folder string) (*chartSource, error) {
	builtIn, err := chart.LoadBuiltIn(charts.FS)
	if err != nil {
		return nil, err
	}
	if folder != "" {
		if info, err := os.Stat(folder); err != nil {
			return nil, fmt.Errorf("--chart-dir: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--chart-dir takes a folder, and %s is a file; helm pull --untar makes one", folder)
		}
	}
	return &chartSource{builtIn, folder}, nil
}

// resolve returns the chart that a policy refers to, and a warning where it isn't in the range of versions.
func (s *chartSource) resolve(ref iter8v1alpha1.ChartReference) (c *chart.Chart, warning string, err error) {
	if ref.Repository == "" {
		c, err = s.builtIn.Resolve(ref)
		if err != nil {
			return nil, "", failure{chart.Reason(err), err.Error()}
		}
		return c, "", nil
	}
	name, _, _ := strings.Cut(ref.Name, "@")
	if s.folder == "" {
		return nil, "", fmt.Errorf("its chart %s comes from %s, and nothing is fetched: get it with helm pull --untar, and name its folder with --chart-dir",
			name, ref.Repository)
	}
	if c, err = s.load(name); err != nil {
		return nil, "", err
	}
	warning, err = outOfRange(ref, c.Resolved.Version)
	return c, warning, err
}

// load reads a chart from the folder.
func (s *chartSource) load(name string) (*chart.Chart, error) {
	folder := s.folder
	if !isChart(folder) {
		folder = filepath.Join(folder, filepath.Base(name))
	}
	if !isChart(folder) {
		return nil, fmt.Errorf("--chart-dir %s is neither the folder of chart %s nor has one of that name: there is no %s",
			s.folder, name, filepath.Join(folder, chartutil.ChartfileName))
	}
	helm, err := loader.LoadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("loading the chart in %s: %w", folder, err)
	}
	if helm.Name() != name {
		return nil, fmt.Errorf("the chart in %s is %s, and the policy's is %s", folder, helm.Name(), name)
	}
	return &chart.Chart{Helm: helm, Resolved: iter8v1alpha1.ResolvedChart{Name: name, Version: helm.Metadata.Version}}, nil
}

func isChart(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, chartutil.ChartfileName))
	return !errors.Is(err, fs.ErrNotExist)
}

// outOfRange returns a warning where a version isn't one that the policy takes.
func outOfRange(ref iter8v1alpha1.ChartReference, version string) (string, error) {
	if ref.Version == "" {
		return "", nil
	}
	accepted, err := semver.NewConstraint(ref.Version)
	if err != nil {
		return "", failure{iter8v1alpha1.ReasonInvalidVersion, fmt.Sprintf("spec.chart.version %q: %s", ref.Version, err)}
	}
	if v, err := semver.NewVersion(version); err == nil && accepted.Check(v) {
		return "", nil
	}
	return fmt.Sprintf("chart %s in --chart-dir is version %s, which is not in %s", ref.Name, version, ref.Version), nil
}
