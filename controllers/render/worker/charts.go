package worker

import (
	"bytes"
	"encoding/json"
	"fmt"

	"helm.sh/helm/v3/pkg/chart"
)

// maxChart is how many bytes of files a chart that is rendered may have; what charts of routes have is some
// thousands.
const maxChart = 8 << 20

// sentChart is a chart on its way to the child: all that rendering takes.
type sentChart struct {
	Metadata     *chart.Metadata
	Templates    []*chart.File
	Files        []*chart.File
	Schema       []byte
	Values       json.RawMessage
	Dependencies []sentChart
}

// encodeChart fails for a chart that is too large, with ErrTooLarge.
func encodeChart(c *chart.Chart) ([]byte, error) {
	if size := sizeOf(c); size > maxChart {
		return nil, fmt.Errorf("%w: chart %s has files of %d bytes, and at most %d are rendered", ErrTooLarge, c.Name(), size, maxChart)
	}
	sent, err := send(c)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", c.Name(), err)
	}
	data, err := json.Marshal(sent)
	if err == nil && len(data) > maxFrame {
		return nil, fmt.Errorf("%w: chart %s takes %d bytes as JSON, and at most %d are rendered", ErrTooLarge, c.Name(), len(data), maxFrame)
	}
	return data, err
}

func sizeOf(c *chart.Chart) int {
	size := len(c.Schema)
	for _, files := range [][]*chart.File{c.Templates, c.Files} {
		for _, f := range files {
			size += len(f.Name) + len(f.Data)
		}
	}
	for _, dependency := range c.Dependencies() {
		size += sizeOf(dependency)
	}
	return size
}

func send(c *chart.Chart) (sentChart, error) {
	values, err := json.Marshal(c.Values)
	if err != nil {
		return sentChart{}, err
	}
	sent := sentChart{Metadata: c.Metadata, Templates: c.Templates, Files: c.Files, Schema: c.Schema, Values: values}
	for _, dependency := range c.Dependencies() {
		d, err := send(dependency)
		if err != nil {
			return sentChart{}, err
		}
		sent.Dependencies = append(sent.Dependencies, d)
	}
	return sent, nil
}

func decodeChart(data []byte) (*chart.Chart, error) {
	var sent sentChart
	if err := json.Unmarshal(data, &sent); err != nil {
		return nil, fmt.Errorf("reading a chart: %w", err)
	}
	return sent.receive()
}

func (s sentChart) receive() (*chart.Chart, error) {
	c := &chart.Chart{Metadata: s.Metadata, Templates: s.Templates, Files: s.Files, Schema: s.Schema}
	decoder := json.NewDecoder(bytes.NewReader(s.Values))
	decoder.UseNumber() // as Helm reads values.yaml
	if err := decoder.Decode(&c.Values); err != nil {
		return nil, fmt.Errorf("reading the values of chart %s: %w", c.Name(), err)
	}
	for _, d := range s.Dependencies {
		dependency, err := d.receive()
		if err != nil {
			return nil, err
		}
		c.AddDependency(dependency)
	}
	return c, nil
}
