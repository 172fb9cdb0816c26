// Package chart resolves a policy's reference to a chart, exactly one version of it, held in memory.
//
// The charts that are built into the operator are there from the start. Those of repositories are fetched in the
// background by Sources, which a reconcile only asks for what is known:
//
//	Resolve ──► source ──(due)──► attempt: Secrets → index or tags → archive → provenance → memory and disk
//	   ▲                                                                              │
//	   └──────────────────────────── the policies that asked are woken ◄──────────────┘
package chart

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Chart is one version of a chart, checked and in memory. It is shared, and never changed.
type Chart struct {
	// Helm is the chart as Helm's engine takes it.
	Helm *helmchart.Chart
	// Resolved is what a policy's status says of it.
	Resolved iter8v1alpha1.ResolvedChart
}

// BuiltIn are the charts that the operator brings along.
type BuiltIn struct {
	charts map[string]*Chart
}

// LoadBuiltIn reads charts, one in each top-level folder.
func LoadBuiltIn(files fs.FS) (*BuiltIn, error) {
	folders, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the built-in charts: %w", err)
	}
	b := &BuiltIn{charts: map[string]*Chart{}}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		c, err := load(files, folder.Name())
		if err != nil {
			return nil, fmt.Errorf("loading the built-in chart %s: %w", folder.Name(), err)
		}
		b.charts[c.Resolved.Name] = c
	}
	return b, nil
}

// Resolve gives the chart that a policy refers to.
func (b *BuiltIn) Resolve(ref iter8v1alpha1.ChartReference) (*Chart, error) {
	if ref.Repository != "" {
		return nil, fmt.Errorf("%w: %s: this operator renders its built-in charts only (%s); leave spec.chart.repository out to use one",
			ErrRepositoryNotAllowed, ref.Repository, b.names())
	}
	c, ok := b.charts[ref.Name]
	if !ok {
		return nil, fmt.Errorf("%w: no chart %q is built into the operator; there are: %s", ErrChartNotFound, ref.Name, b.names())
	}
	if ref.Version == "" {
		return c, nil
	}
	versions, err := semver.NewConstraint(ref.Version)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.chart.version %q: %w", ErrInvalidVersion, ref.Version, err)
	}
	version, err := semver.NewVersion(c.Resolved.Version)
	if err != nil {
		return nil, fmt.Errorf("%w: the built-in chart %s: %w", ErrInvalidVersion, ref.Name, err)
	}
	if !versions.Check(version) {
		return nil, fmt.Errorf("%w: the built-in chart %s is version %s, which is not in %s",
			ErrVersionNotFound, ref.Name, c.Resolved.Version, ref.Version)
	}
	return c, nil
}

func (b *BuiltIn) names() string {
	names := make([]string, 0, len(b.charts))
	for name := range b.charts {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func load(files fs.FS, folder string) (*Chart, error) {
	var buffered []*loader.BufferedFile
	digest := sha256.New()
	err := fs.WalkDir(files, folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		relative := strings.TrimPrefix(name, folder+"/")
		buffered = append(buffered, &loader.BufferedFile{Name: path.Clean(relative), Data: data})
		// The length before each content keeps one file's end from counting as the next one's beginning.
		fmt.Fprintf(digest, "%s\n%d\n", relative, len(data))
		digest.Write(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Chart{Helm: c, Resolved: iter8v1alpha1.ResolvedChart{
		Name:    c.Name(),
		Version: c.Metadata.Version,
		Digest:  "sha256:" + hex.EncodeToString(digest.Sum(nil)),
	}}, nil
}
