// Package index reads the index.yaml of a chart repository.
//
// An index has whatever size the repository has, and decoded it takes twenty times that. So it is read as a stream: what
// Helm writes is cut by its indentation into charts and versions, and only versions of wanted charts are decoded, one
// at a time. An index in JSON, which is rare, is decoded as a whole, and has a lower limit.
package index

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/bound"
	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/controllers/chart/fetch"
)

// Version is an entry of an index.
type Version struct {
	// Version as it is written there.
	Version string
	// URL of the archive; it may be relative to the index.
	URL string
	// Digest is the archive's SHA-256 in hexadecimal digits, if the index has it.
	Digest string
}

const (
	maxJSON = 2 << 20
	// maxEntry is the size of what is decoded of one version's entry; larger ones are passed over.
	maxEntry = 32 << 10
	// maxDecoded is what decoding the entries of one chart may take, which is half a second.
	maxDecoded = 100 << 20
	// maxVersions of one chart.
	maxVersions = 20_000
	maxURL      = 4 << 10
	// maxLine is what decoding the line of a chart's name may take, which has its versions in rare cases.
	maxLine = 1 << 20
)

// Scan calls visit with each valid version of each chart that is wanted, in the index's order. Entries that are
// null, or not what Helm could install, are passed over. A chart that has too many of them fails by itself: it is among
// the errors that are given by the charts' names.
func Scan(r io.Reader, wanted func(name string) bool, visit func(name string, v Version)) (map[string]error, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if start, err := in.Peek(3); err == nil && bytes.Equal(start, []byte{0xEF, 0xBB, 0xBF}) {
		in.Discard(3) //nolint:errcheck // it was there a moment ago
	}
	s := &scanner{in: in, wanted: wanted, visit: visit, counts: map[string]int{}, decoded: map[string]int64{}, failed: map[string]error{}}
	for {
		c, err := in.ReadByte()
		if err != nil {
			return nil, invalid("it is empty")
		}
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return nil, err
		}
		if c == '{' {
			return s.failed, s.json()
		}
		return s.failed, s.yaml()
	}
}

// entry is what an index says of a version.
type entry struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	URLs    []string `json:"urls"`
	Digest  string   `json:"digest"`
}

var sha256Digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// offer passes an entry on, if it is one.
func (s *scanner) offer(name string, e *entry) {
	if s.failed[name] != nil || e == nil || e.Version == "" || len(e.Version) > iter8v1alpha1.MaxVersion || e.Name != "" && e.Name != name || len(e.URLs) == 0 ||
		e.URLs[0] == "" || len(e.URLs[0]) > maxURL {
		return
	}
	digest := strings.TrimPrefix(strings.ToLower(e.Digest), "sha256:")
	if digest != "" && !sha256Digest.MatchString(digest) {
		return
	}
	s.counts[name]++
	if s.counts[name] > maxVersions {
		s.failed[name] = fmt.Errorf("%w: the index has more than %d versions of %s", fault.ErrTooLarge, maxVersions, name)
		return
	}
	s.visit(name, Version{Version: e.Version, URL: e.URLs[0], Digest: digest})
}

// json reads an index that is one JSON object. Keys may come twice.
func (s *scanner) json() error {
	data, err := io.ReadAll(io.LimitReader(s.in, maxJSON+1))
	if err != nil {
		return err
	}
	if len(data) > maxJSON {
		return fmt.Errorf("%w: an index in JSON, or in YAML's flow style, may have %s; helm repo index writes block style, which is read as it comes",
			fault.ErrTooLarge, fetch.Size(maxJSON))
	}
	var index struct {
		APIVersion string                     `json:"apiVersion"`
		Entries    map[string]json.RawMessage `json:"entries"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return invalid("it begins as JSON does, and isn't")
	}
	if index.APIVersion == "" {
		return invalid("it has no apiVersion")
	}
	for name, raw := range index.Entries {
		if !s.wanted(name) {
			continue
		}
		var versions []json.RawMessage
		if err := json.Unmarshal(raw, &versions); err != nil {
			continue
		}
		for _, v := range versions {
			var e *entry
			if err := json.Unmarshal(v, &e); err != nil {
				continue
			}
			s.offer(name, e)
		}
	}
	return nil
}

// decode reads a piece of YAML that is a list of entries.
func (s *scanner) decode(piece []byte) []*entry {
	s.decoded[s.chart] += bound.YAML(piece)
	if s.decoded[s.chart] > maxDecoded {
		s.failed[s.chart] = fmt.Errorf("%w: the index has more of %s than can be read in a moment", fault.ErrTooLarge, s.chart)
		return nil
	}
	var entries []*entry
	if err := yaml.Unmarshal(piece, &entries); err != nil {
		return nil
	}
	return entries
}

func invalid(what string) error {
	return fmt.Errorf("%w: index.yaml is not what helm repo index writes: %s", fault.ErrInvalidIndex, what)
}
