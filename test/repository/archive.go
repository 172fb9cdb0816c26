// Package repository has chart repositories and registries for tests: real servers on loopback, with TLS and
// authentication, that can be made to fail in the ways in which those of the world do.
package repository

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"testing"
	"time"
)

// Chart packs a chart of a Chart.yaml and further files, always to the same bytes.
func Chart(t testing.TB, name, version string, files map[string]string) []byte {
	t.Helper()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n"}
	maps.Copy(all, files)
	var headers []tar.Header
	var contents []string
	for _, file := range slices.Sorted(maps.Keys(all)) {
		headers = append(headers, tar.Header{Name: name + "/" + file, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(all[file]))})
		contents = append(contents, all[file])
	}
	return Archive(t, func(w *tar.Writer) error {
		for i := range headers {
			if err := w.WriteHeader(&headers[i]); err != nil {
				return err
			}
			if _, err := io.WriteString(w, contents[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Archive packs whatever a function writes.
func Archive(t testing.TB, write func(*tar.Writer) error) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	zip.ModTime = time.Time{}
	files := tar.NewWriter(zip)
	for _, err := range []error{write(files), files.Close(), zip.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return packed.Bytes()
}

// Digest is the SHA-256 of something, in hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
