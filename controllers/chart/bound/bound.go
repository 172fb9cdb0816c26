// Package bound tells what YAML takes when it is decoded, before anybody decodes it: a list of short maps takes three
// hundred times its text, and an alias whatever it stands for.
package bound

import (
	"bytes"
	"regexp"
)

const (
	// bytesPerNode is what a node takes that was decoded, and stays: more than the average that was measured.
	bytesPerNode = 200
	// maxNodes is where the decoder itself gives up on aliases.
	maxNodes = 400_000
	// maxAliases are counted in a line; more make no difference.
	maxAliases = 1000
)

var (
	anchor = regexp.MustCompile(`(^|[\s\[{,:?-])&[^\s,\]}]`)
	alias  = regexp.MustCompile(`(^|[\s\[{,:?-])\*[^\s,\]}]`)
)

// YAML is how many bytes a text may take when it is decoded, at most. Comments take none.
func YAML(text []byte) int64 {
	nodes, anchors, aliases := int64(1), false, int64(0)
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		nodes++
		for _, c := range line {
			switch c {
			case ',', '[', '{', ':', '-', '?':
				nodes++
			case '&':
				anchors = anchors || anchor.Match(line)
			}
		}
		if anchors && bytes.IndexByte(line, '*') >= 0 {
			aliases += int64(len(alias.FindAllIndex(line, maxAliases)))
		}
	}
	if aliases > 0 {
		nodes = max(nodes, min(nodes*(1+aliases), maxNodes))
	}
	return nodes * bytesPerNode
}
