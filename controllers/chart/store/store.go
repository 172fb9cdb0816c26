// Package store keeps what was fetched on disk, in a folder of bounded size that survives a restart.
//
// An entry is one file: its parts, one after the other, then a footer in JSON that says what they are, the footer's
// SHA-256 and its length. A file gets its name when it is complete, and whatever isn't as the footer says when it is
// read is removed.
package store

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/controllers/chart/fetch"
)

// share of the size that one owner's entries may take, so that none pushes out what all others have.
const share = 4

// Store is a folder of entries.
type Store struct {
	dir  string
	size int64
	salt []byte

	mu      sync.Mutex
	entries map[string]*kept
	// used are the bytes of entries and drafts by their owners, and of all in all.
	used  map[string]int64
	total int64
}

// kept is what is known of an entry without reading it.
type kept struct {
	owner string
	size  int64
	last  time.Time
}

// footer is the end of an entry's file.
type footer struct {
	// Key is the file's name, so that no file passes for another one.
	Key   string          `json:"key"`
	Owner string          `json:"owner"`
	Meta  json.RawMessage `json:"meta"`
	Parts []part          `json:"parts"`
}

// part of an entry.
type part struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Open takes a folder over, which is made where there is none. Entries beyond size bytes go, the ones that were used
// least recently first.
func Open(dir string, size int64) (*Store, error) {
	s := &Store{dir: dir, size: size, entries: map[string]*kept{}, used: map[string]int64{}}
	if err := s.open(); err != nil {
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *Store) open() error {
	for _, folder := range []string{s.dir, s.temporary(), s.folder()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	// Drafts that a process before this one didn't finish.
	leftovers, err := os.ReadDir(s.temporary())
	if err != nil {
		return err
	}
	for _, l := range leftovers {
		if err := os.RemoveAll(filepath.Join(s.temporary(), l.Name())); err != nil {
			return err
		}
	}
	if s.salt, err = s.readSalt(); err != nil {
		return err
	}
	files, err := os.ReadDir(s.folder())
	if err != nil {
		return err
	}
	for _, file := range files {
		s.adopt(file.Name())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.total > s.size && s.evict("") {
		continue
	}
	return nil
}

// adopt takes note of an entry that was there already.
func (s *Store) adopt(key string) {
	f, err := os.Open(s.path(key))
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // only read
	end, info, err := readFooter(f, key)
	if err != nil {
		os.Remove(s.path(key)) //nolint:errcheck // it will be found invalid again
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(key, &kept{owner: end.Owner, size: info.Size(), last: info.ModTime()})
}

// readSalt gives the random bytes that keys are made with, so that they tell nothing of the credentials in them.
func (s *Store) readSalt() ([]byte, error) {
	path := filepath.Join(s.dir, "salt")
	salt, err := os.ReadFile(path)
	if err == nil && len(salt) == sha256.Size {
		return salt, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	salt = make([]byte, sha256.Size)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	draft := filepath.Join(s.temporary(), "salt")
	if err := os.WriteFile(draft, salt, 0o600); err != nil {
		return nil, err
	}
	return salt, os.Rename(draft, path)
}

// Key names an entry by what it is the answer to. It doesn't give away any of it.
func (s *Store) Key(question ...string) string {
	mac := hmac.New(sha256.New, s.salt)
	for _, q := range question {
		fmt.Fprintf(mac, "%d\n%s", len(q), q)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// Touch tells whether there is an entry, and has it count as used.
func (s *Store) Touch(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.entries[key]
	if !ok {
		return false
	}
	k.last = time.Now()
	if err := os.Chtimes(s.path(key), k.last, k.last); err != nil {
		s.forget(key)
		return false
	}
	return true
}

// Delete removes an entry.
func (s *Store) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
}

// Scratch makes a folder for files that a library wants to have as files. Whoever asked for it removes it.
func (s *Store) Scratch() (string, error) {
	dir, err := os.MkdirTemp(s.temporary(), "scratch-")
	if err != nil {
		return "", s.explain(err)
	}
	return dir, nil
}

// reserve makes room for bytes of an owner.
func (s *Store) reserve(owner string, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used[owner]+n > s.size/share {
		if !s.evict(owner) {
			return fmt.Errorf("%w: %s may hold %s of charts and indexes for each namespace, and this is more; charts.cacheSize of the operator's configuration sets it",
				fault.ErrCacheUnavailable, s.dir, fetch.Size(s.size/share))
		}
	}
	for s.total+n > s.size {
		if !s.evict("") {
			return fmt.Errorf("%w: all %s of %s are in use; charts.cacheSize of the operator's configuration sets it",
				fault.ErrCacheUnavailable, fetch.Size(s.size), s.dir)
		}
	}
	s.used[owner] += n
	s.total += n
	return nil
}

// release gives bytes back.
func (s *Store) release(owner string, n int64) {
	s.total -= n
	if s.used[owner] -= n; s.used[owner] == 0 {
		delete(s.used, owner)
	}
}

// evict removes the entry that was used least recently: of one owner, or of the one that has the most.
func (s *Store) evict(owner string) bool {
	least := ""
	for key, k := range s.entries {
		if owner != "" && k.owner != owner {
			continue
		}
		if least == "" || s.before(key, least, owner == "") {
			least = key
		}
	}
	if least == "" {
		return false
	}
	s.remove(least)
	return true
}

func (s *Store) before(a, b string, byOwner bool) bool {
	x, y := s.entries[a], s.entries[b]
	order := cmp.Or(x.last.Compare(y.last), cmp.Compare(a, b))
	if byOwner {
		order = cmp.Or(cmp.Compare(s.used[y.owner], s.used[x.owner]), order)
	}
	return order < 0
}

func (s *Store) remove(key string) {
	if err := os.Remove(s.path(key)); err == nil || errors.Is(err, fs.ErrNotExist) {
		s.forget(key)
	}
}

func (s *Store) note(key string, k *kept) {
	s.forget(key)
	s.entries[key] = k
	s.used[k.owner] += k.size
	s.total += k.size
}

func (s *Store) forget(key string) {
	if k, ok := s.entries[key]; ok {
		delete(s.entries, key)
		s.release(k.owner, k.size)
	}
}

// Keys of all entries, in order.
func (s *Store) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(s.entries))
	for key := range s.entries {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (s *Store) folder() string         { return filepath.Join(s.dir, "entries") }
func (s *Store) temporary() string      { return filepath.Join(s.dir, "tmp") }
func (s *Store) path(key string) string { return filepath.Join(s.folder(), key) }

// explain leaves out the random names of drafts.
func (s *Store) explain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return fmt.Errorf("%w: %s: %w; mount a volume there that the operator can write, or set charts.cacheDir of its configuration",
		fault.ErrCacheUnavailable, s.dir, err)
}
