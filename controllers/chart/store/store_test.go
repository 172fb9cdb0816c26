package store

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/chart/fault"
)

func open(t *testing.T, dir string, size int64) *Store {
	t.Helper()
	s, err := Open(dir, size)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s
}

// put makes an entry of parts.
func put(t *testing.T, s *Store, owner, key string, parts ...string) error {
	t.Helper()
	d, err := s.Draft(owner)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer d.Discard()
	for _, part := range parts {
		if _, err := io.WriteString(d, part); err != nil {
			return err
		}
		d.EndPart()
	}
	return d.Commit(key, map[string]string{"of": key})
}

// read gives the parts of an entry, joined, or nothing.
func read(t *testing.T, s *Store, key string) string {
	t.Helper()
	e := s.Get(key)
	if e == nil {
		return ""
	}
	defer e.Close()
	var parts []string
	for i := range e.Parts() {
		data, err := io.ReadAll(e.Part(i))
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		parts = append(parts, string(data))
	}
	var meta map[string]string
	NewWithT(t).Expect(json.Unmarshal(e.Meta, &meta)).To(Succeed())
	NewWithT(t).Expect(meta).To(HaveKeyWithValue("of", key))
	return strings.Join(parts, "|")
}

func TestAnEntrySurvivesARestart(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "a", "b")
	first := open(t, dir, 1<<20)
	g.Expect(put(t, first, "team", "key", "archive", "provenance")).To(Succeed())
	g.Expect(read(t, first, "key")).To(Equal("archive|provenance"))

	second := open(t, dir, 1<<20)
	g.Expect(read(t, second, "key")).To(Equal("archive|provenance"))
	g.Expect(second.Key("a question")).To(Equal(first.Key("a question")))
	g.Expect(second.Touch("key")).To(BeTrue())
	g.Expect(second.Touch("other")).To(BeFalse())
	g.Expect(second.Keys()).To(Equal([]string{"key"}))
}

func TestWhatIsKeptIsForTheOperatorOnly(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "cache")
	s := open(t, dir, 1<<20)
	g.Expect(put(t, s, "team", "key", "archive")).To(Succeed())
	g.Expect(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		info, _ := d.Info()
		g.Expect(info.Mode().Perm()&0o077).To(BeZero(), path)
		return err
	})).To(Succeed())
}

func TestKeysTellQuestionsApart(t *testing.T) {
	g := NewWithT(t)
	s, other := open(t, t.TempDir(), 1<<20), open(t, t.TempDir(), 1<<20)
	g.Expect(s.Key("a", "b")).To(And(Equal(s.Key("a", "b")), MatchRegexp(`^[0-9a-f]{64}$`)))
	g.Expect(s.Key("a", "b")).NotTo(Or(Equal(s.Key("ab")), Equal(s.Key("ab", "")), Equal(s.Key("a", "b", "")), Equal(s.Key("1\na1\nb"))))
	g.Expect(s.Key("a", "b")).NotTo(Equal(other.Key("a", "b")), "what is in a key can't be tried out elsewhere")
}

func TestAnEntryThatIsNotWhatWasWrittenIsRemoved(t *testing.T) {
	for name, spoil := range map[string]func(path string, data []byte) error{
		"a bit":            func(path string, data []byte) error { data[2] ^= 1; return os.WriteFile(path, data, 0o600) },
		"a bit of the end": func(path string, data []byte) error { data[len(data)-1] ^= 1; return os.WriteFile(path, data, 0o600) },
		"a bit of the meta": func(path string, data []byte) error {
			data[len("archive")+9] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"a half":        func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
		"nothing":       func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"more in front": func(path string, data []byte) error { return os.WriteFile(path, append([]byte("x"), data...), 0o600) },
		"more behind":   func(path string, data []byte) error { return os.WriteFile(path, append(data, 'x'), 0o600) },
		"that of another": func(path string, _ []byte) error {
			return os.Rename(filepath.Join(filepath.Dir(path), "other"), path)
		},
		"a length of 4 GiB": func(path string, data []byte) error {
			return os.WriteFile(path, append(data[:40], 255, 255, 255, 255), 0o600)
		},
		"a folder":           func(path string, _ []byte) error { os.Remove(path); return os.Mkdir(path, 0o700) },
		"nothing, with zero": func(path string, _ []byte) error { return os.WriteFile(path, make([]byte, 100), 0o600) },
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted: %t", name, restarted), func(t *testing.T) {
				g := NewWithT(t)
				dir := t.TempDir()
				s := open(t, dir, 1<<20)
				g.Expect(put(t, s, "team", "key", "archive")).To(Succeed())
				g.Expect(put(t, s, "team", "other", "another archive")).To(Succeed())
				path := filepath.Join(dir, "entries", "key")
				data, err := os.ReadFile(path)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(spoil(path, data)).To(Succeed())
				if restarted {
					s = open(t, dir, 1<<20)
				}
				g.Expect(read(t, s, "key")).To(BeEmpty())
				g.Expect(path).NotTo(BeAnExistingFile())
				g.Expect(s.Keys()).NotTo(ContainElement("key"))
				g.Expect(put(t, s, "team", "key", "again")).To(Succeed())
				g.Expect(read(t, s, "key")).To(Equal("again"))
			})
		}
	}
}

func TestADraftThatIsNotFinishedLeavesNothing(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	d, err := s.Draft("team")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(io.WriteString(d, "half an arch")).To(Equal(12))
	scratch, err := s.Scratch()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(scratch).To(BeADirectory())
	g.Expect(s.total).To(BeEquivalentTo(12))

	s = open(t, dir, 1<<20) // the process died
	g.Expect(filepath.Glob(filepath.Join(dir, "tmp", "*"))).To(BeEmpty())
	g.Expect(s.Keys()).To(BeEmpty())
	d.Discard()
	g.Expect(s.total).To(BeZero())
}

func TestWhatWasUsedLeastRecentlyMakesRoom(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := open(t, dir, 16<<10) // a quarter of it for each owner
	for i := range 3 {
		g.Expect(put(t, s, "team", fmt.Sprint(i), strings.Repeat("x", 1000))).To(Succeed())
		// What is used in the order of its number, as far as a file system can tell.
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		s.entries[fmt.Sprint(i)].last = at
		g.Expect(os.Chtimes(s.path(fmt.Sprint(i)), at, at)).To(Succeed())
	}
	g.Expect(read(t, s, "0")).NotTo(BeEmpty()) // is used
	g.Expect(put(t, s, "team", "3", strings.Repeat("x", 1000))).To(Succeed())
	g.Expect(s.Keys()).To(Equal([]string{"0", "2", "3"}))

	s = open(t, dir, 2<<10) // less room than before
	g.Expect(s.Keys()).To(Equal([]string{"3"}))
	g.Expect(s.total).To(BeNumerically("<", 2<<10))
}

func TestNobodyPushesOutWhatOthersHave(t *testing.T) {
	g := NewWithT(t)
	s := open(t, t.TempDir(), 16<<10)
	g.Expect(put(t, s, "good", "good", strings.Repeat("x", 1000))).To(Succeed())
	for i := range 100 {
		g.Expect(put(t, s, "greedy", fmt.Sprint("greedy", i), strings.Repeat("x", 1000))).To(Succeed())
	}
	g.Expect(s.used["greedy"]).To(BeNumerically("<=", 4<<10))
	for owner := range 5 {
		for i := range 10 {
			g.Expect(put(t, s, fmt.Sprint(owner), fmt.Sprint(owner, i), strings.Repeat("x", 1000))).To(Succeed())
		}
	}
	g.Expect(s.total).To(BeNumerically("<=", 16<<10))
	g.Expect(read(t, s, "good")).To(HaveLen(1000), "those who have more make room")
}

func TestADraftThatDoesNotFitIsRefused(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := open(t, dir, 16<<10)
	g.Expect(put(t, s, "good", "good", "kept")).To(Succeed())
	err := put(t, s, "greedy", "key", strings.Repeat("x", 1000), strings.Repeat("x", 4000))
	g.Expect(err).To(MatchError(fault.ErrCacheUnavailable))
	g.Expect(err).To(MatchError("cache unavailable: " + dir + " may hold 4Ki of charts and indexes for each namespace, and this is more; charts.cacheSize of the operator's configuration sets it"))
	g.Expect(s.used).To(And(HaveLen(1), HaveKey("good")))

	var drafts []*Draft
	for owner := range 4 {
		d, err := s.Draft(fmt.Sprint(owner))
		g.Expect(err).NotTo(HaveOccurred())
		_, err = io.WriteString(d, strings.Repeat("x", 4000))
		g.Expect(err).NotTo(HaveOccurred())
		drafts = append(drafts, d)
	}
	g.Expect(put(t, s, "good", "other", strings.Repeat("x", 1000))).To(MatchError("cache unavailable: all 16Ki of " + dir + " are in use; charts.cacheSize of the operator's configuration sets it"))
	for _, d := range drafts {
		d.Discard()
	}
	g.Expect(put(t, s, "good", "other", strings.Repeat("x", 1000))).To(Succeed())
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "file")
	g.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	_, err := Open(filepath.Join(file, "cache"), 1<<20)
	g.Expect(err).To(MatchError(fault.ErrCacheUnavailable))
	g.Expect(err).To(MatchError("cache unavailable: " + file + "/cache: not a directory; mount a volume there that the operator can write, or set charts.cacheDir of its configuration"))

	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	g.Expect(os.RemoveAll(dir)).To(Succeed())
	_, err = s.Draft("team")
	g.Expect(err).To(MatchError("cache unavailable: " + dir + ": no such file or directory; mount a volume there that the operator can write, or set charts.cacheDir of its configuration"))
}

func TestManyAtOnce(t *testing.T) {
	g := NewWithT(t)
	s := open(t, t.TempDir(), 64<<10)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				key := fmt.Sprint((i + j) % 5)
				if err := put(t, s, fmt.Sprint(i%3), key, strings.Repeat(key, 2000)); err != nil {
					continue // too many drafts at once
				}
				if got := read(t, s, key); got != "" {
					g.Expect(got).To(Equal(strings.Repeat(key, 2000)))
				}
			}
		})
	}
	all.Wait()
	var sum int64
	for _, k := range s.entries {
		sum += k.size
	}
	g.Expect(s.total).To(Equal(sum))
}
