package index

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/chart/bound"
)

// scanner cuts an index in YAML's block style, which looks like this, into pieces that can be decoded alone:
//
//	apiVersion: v1
//	entries:
//	  mirror:              ← a chart: the first indentation below entries
//	  - version: 0.14.2    ← a version of it: a dash, here or further in
//	    urls: […]          ← what belongs to it is further in than the dash
//	generated: …           ← no indentation: the end of the entries
type scanner struct {
	in     *bufio.Reader
	wanted func(string) bool
	visit  func(string, Version)
	counts map[string]int

	apiVersion bool
	inEntries  bool
	// charts is the indentation of charts' names, dashes that of the present chart's versions; -1 is not known yet.
	charts, dashes int
	// chart is the one whose lines are read, and whether it is wanted.
	chart string
	keep  bool
	// piece is what counts of the entry that is being read, unless it got too large.
	piece []byte
	over  bool
	// keys is the indentation of the entry's keys, -1 if it isn't known, and skip tells that the present one doesn't
	// count.
	keys int
	skip bool
	// decoded is what was decoded of each chart, and failed what ended that.
	decoded map[string]int64
	failed  map[string]error
	// long holds a line that is longer than the reader's buffer.
	long []byte
}

func (s *scanner) yaml() error {
	s.charts = -1
	for {
		line, err := s.line()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end, failed := s.take(line)
		if failed != nil {
			return failed
		}
		if end || err != nil {
			break
		}
	}
	s.flush()
	if !s.apiVersion {
		return invalid("it has no apiVersion")
	}
	return nil
}

// line reads a line, or as much of one as an entry may have.
func (s *scanner) line() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	s.long = append(s.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.in.ReadSlice('\n')
		if len(s.long) <= maxEntry {
			s.long = append(s.long, line...)
		}
	}
	return s.long, err
}

// take looks at a line, and tells whether the index ends with it.
func (s *scanner) take(line []byte) (bool, error) {
	text := bytes.TrimLeft(line, " ")
	indent := len(line) - len(text)
	text = bytes.TrimRight(text, "\r\n\t ")
	switch {
	case len(text) == 0 || text[0] == '#':
		return false, nil // within a text too: nothing that counts goes over lines
	case indent == 0 && bytes.HasPrefix(text, []byte("---")):
		if s.apiVersion { // another document
			return true, nil
		}
		return false, nil
	case indent == 0 && !isDash(text):
		s.flush()
		s.inEntries, s.chart, s.keep = false, "", false
		return false, s.top(text)
	case !s.inEntries:
		return false, nil
	}
	if s.charts < 0 {
		s.charts = indent
	}
	switch {
	case indent < s.charts:
		return false, invalid("the indentation below entries is not the same throughout")
	case indent == s.charts && !isDash(text):
		s.name(text)
		return false, nil
	case !s.keep:
		return false, nil
	}
	if s.dashes < 0 {
		s.dashes = indent
	}
	if indent == s.dashes && isDash(text) {
		s.flush()
		s.begin(line, indent, text)
		return false, nil
	}
	s.proceed(line, indent, text)
	return false, nil
}

// key is the beginning of a line that begins a value.
var key = regexp.MustCompile(`^["']?([A-Za-z]+)["']?\s*:(\s|$)`)

// counts are the keys that an entry is made of. The others, which are most of an index, are left out.
func counts(text []byte) bool {
	m := key.FindSubmatch(text)
	if m == nil {
		return true // in another style; whatever it is, it is decoded
	}
	switch string(m[1]) {
	case "name", "version", "urls", "digest":
		return true
	default:
		return false
	}
}

// begin takes the line of a dash.
func (s *scanner) begin(line []byte, indent int, text []byte) {
	first := bytes.TrimLeft(text[1:], " ")
	s.keys, s.skip = -1, false
	if len(first) > 0 && key.Match(first) {
		s.keys = indent + len(text) - len(first)
		s.skip = !counts(first)
	}
	if !s.skip {
		s.add(line)
		return
	}
	s.add(bytes.Repeat([]byte(" "), indent))
	s.add([]byte("-"))
	s.add(bytes.Repeat([]byte(" "), s.keys-indent-1))
	s.add([]byte("_: 0\n")) // something has to stand behind the dash
}

// proceed takes a further line of an entry.
func (s *scanner) proceed(line []byte, indent int, text []byte) {
	if s.keys < 0 && len(bytes.TrimSpace(s.piece)) == 1 {
		s.keys = indent // the dash had a line of its own
	}
	if indent == s.keys && !isDash(text) {
		s.skip = !counts(text)
	}
	if !s.skip {
		s.add(line)
	}
}

// top takes a key of the index itself.
func (s *scanner) top(text []byte) error {
	key, value, ok := bytes.Cut(text, []byte(":"))
	switch name := strings.Trim(string(key), `"' `); {
	case !ok:
		return nil // the rest of a value that goes over lines
	case name == "apiVersion":
		s.apiVersion = true
	case name == "entries":
		switch rest := content(value); rest {
		case "":
			s.inEntries = true
		case "{}", "null", "~":
		default:
			return invalid("its entries are not in block style")
		}
	}
	return nil
}

// name takes the key of a chart.
func (s *scanner) name(text []byte) {
	s.flush()
	s.chart, s.keep, s.dashes = "", false, -1
	if len(text) > maxEntry {
		return
	}
	// A line such as mirror: or "mirror": [] is YAML by itself.
	var line map[string][]*entry
	if bound.YAML(text) > maxLine || yaml.Unmarshal(text, &line) != nil {
		return // whatever chart that may be, nobody can ask for it
	}
	for name, entries := range line {
		s.chart, s.keep = name, s.wanted(name)
		for _, e := range entries {
			if s.keep {
				s.offer(name, e)
			}
		}
	}
}

// add keeps a line of the present entry.
func (s *scanner) add(line []byte) {
	if !s.keep || s.over {
		return
	}
	if len(s.piece)+len(line) > maxEntry {
		s.piece, s.over = s.piece[:0], true
		return
	}
	s.piece = append(s.piece, line...)
}

// flush decodes what was kept.
func (s *scanner) flush() {
	piece := s.piece
	s.piece, s.over = s.piece[:0], false
	if !s.keep || s.failed[s.chart] != nil || len(bytes.TrimSpace(piece)) == 0 {
		return
	}
	for _, e := range s.decode(piece) {
		s.offer(s.chart, e)
	}
}

func isDash(text []byte) bool { return text[0] == '-' && (len(text) == 1 || text[1] == ' ') }

// content is a value without the comment that follows it.
func content(value []byte) string {
	text := strings.TrimSpace(string(value))
	if strings.HasPrefix(text, "#") {
		return ""
	}
	before, _, _ := strings.Cut(text, " #")
	return strings.TrimSpace(before)
}
