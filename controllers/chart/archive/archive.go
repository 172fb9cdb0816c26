// Package archive reads the archives of charts that somebody else made.
//
// An archive is walked once, as a stream, with everything counted as it comes out of the decompression: nothing is
// written to disk, and nothing is held that passes a limit. What is held goes to Helm's loader. Charts that are
// packed within a chart are unpacked on the way, on the same account, so that Helm's loader meets no archive.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"iter8.tools/operator/controllers/chart/bound"
	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/controllers/chart/fetch"
)

// Limits of one archive.
type Limits struct {
	// Expanded is how many bytes may come out of the decompression.
	Expanded int64
	// Entries is how many files and folders there may be.
	Entries int
	// Held is how many bytes of memory the files may take, with what those are decoded to that are in YAML.
	Held int64
}

const (
	// maxName is the longest path in an archive. It also bounds how deep charts are in charts.
	maxName = 256
	// maxNested is how often an archive may be packed within an archive.
	maxNested = 4
)

// Load reads a chart, and gives how many bytes of memory it takes.
func Load(r io.Reader, limits Limits) (*helmchart.Chart, int64, error) {
	w := &walk{limits: limits, seen: map[string]bool{}}
	if err := w.archive(r, "", 0); err != nil {
		return nil, 0, err
	}
	c, err := loader.LoadFiles(w.files)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %s", fault.ErrInvalidArchive, printable(err.Error()))
	}
	return c, w.held, nil
}

// walk is one pass over an archive and those within.
type walk struct {
	limits  Limits
	entries int
	held    int64
	files   []*loader.BufferedFile
	seen    map[string]bool
}

var (
	nested  = regexp.MustCompile(`^charts/([^/]+)\.tgz$`)
	decoded = regexp.MustCompile(`(^|/)(Chart\.(yaml|lock)|requirements\.(yaml|lock)|values\.yaml)$`)
	drive   = regexp.MustCompile(`^[A-Za-z]:`)
	// bom may stand at the beginning of a file, and means nothing there.
	bom = []byte{0xEF, 0xBB, 0xBF}
)

// archive walks a compressed archive whose files get a prefix to their names.
func (w *walk) archive(r io.Reader, prefix string, depth int) error {
	if depth > maxNested {
		return invalid("charts are packed in charts more than %d times", maxNested)
	}
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return w.broken(err)
	}
	defer unzipped.Close() //nolint:errcheck // only read
	unpacked := tar.NewReader(&counted{w: w, r: unzipped})
	for {
		header, err := unpacked.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.broken(err)
		}
		if err := w.entry(unpacked, header, prefix, depth); err != nil {
			return err
		}
	}
}

func (w *walk) entry(r io.Reader, header *tar.Header, prefix string, depth int) error {
	w.entries++
	if w.entries > w.limits.Entries {
		return fmt.Errorf("%w: the chart has more than %d files and folders, which is what charts.limits of the operator's configuration allows",
			fault.ErrTooLarge, w.limits.Entries)
	}
	name, err := clean(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink, tar.TypeLink:
		return invalid("it holds a link, %q", name)
	default:
		return invalid("it holds something that is neither a file nor a folder, %q", name)
	}
	// What the chart's own folder is called says nothing.
	_, inside, ok := strings.Cut(name, "/")
	if !ok {
		return invalid("%q is outside of the chart's folder", name)
	}
	full := prefix + inside
	if len(full) > maxName {
		return invalid("the name of a file is longer than %d bytes, %q…", maxName, full[:64])
	}
	if w.seen[full] {
		return invalid("it holds %q twice", full)
	}
	w.seen[full] = true
	if m := nested.FindStringSubmatch(inside); len(m) > 1 && !strings.ContainsAny(m[1][:1], "._") {
		// Its files stand in a folder, as those of a chart do that is not packed.
		return w.archive(r, prefix+"charts/"+m[1]+"/", depth+1)
	}
	return w.hold(r, full, header.Size)
}

// hold keeps a file of so many bytes.
func (w *walk) hold(r io.Reader, name string, size int64) error {
	if err := w.count(size); err != nil {
		return err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return w.broken(err)
	}
	if decoded.MatchString(name) {
		if err := w.count(bound.YAML(data)); err != nil {
			return err
		}
	}
	w.files = append(w.files, &loader.BufferedFile{Name: name, Data: bytes.TrimPrefix(data, bom)})
	return nil
}

// count adds to what the chart takes.
func (w *walk) count(size int64) error {
	if size > w.limits.Held-w.held {
		return fmt.Errorf("%w: the chart's files, and what its values are decoded to, take more memory than the %s that a namespace may have; charts.memory of the operator's configuration sets it",
			fault.ErrTooLarge, fetch.Size(w.limits.Held))
	}
	w.held += size
	return nil
}

// clean gives a name with slashes, if it stays where the archive is.
func clean(name string) (string, error) {
	name = strings.ReplaceAll(name, `\`, "/") // packed on Windows
	if path.IsAbs(name) || drive.MatchString(name) {
		return "", invalid("it holds a file with an absolute path, %q", shortened(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", invalid("it holds a file with a path that leads out of it, %q", shortened(name))
		}
		if drive.MatchString(part) {
			return "", invalid("it holds a file with the name of a drive, %q", shortened(name))
		}
	}
	return path.Clean(name), nil
}

// counted is what comes out of the decompression of an archive, however deep that is in another.
type counted struct {
	w *walk
	r io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	if c.w.limits.Expanded <= 0 {
		return 0, errExpanded
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.w.limits.Expanded)])
	c.w.limits.Expanded -= int64(n)
	return n, err
}

var errExpanded = errors.New("expanded beyond the limit")

// broken tells what ended a walk.
func (w *walk) broken(err error) error {
	switch {
	case errors.Is(err, errExpanded):
		return fmt.Errorf("%w: the chart expands to more than charts.limits of the operator's configuration allows", fault.ErrTooLarge)
	case errors.Is(err, fault.ErrTooLarge), errors.Is(err, fault.ErrInvalidArchive):
		return err
	default:
		return invalid("it is not an archive that helm package makes, a .tgz, or it is damaged")
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{fault.ErrInvalidArchive}, args...)...)
}

func shortened(name string) string { return name[:min(len(name), 64)] }

// printable cuts what an archive has Helm say: it goes into a status.
func printable(text string) string {
	const most = 512
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
