package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"
)

// Draft is an entry that is being written. It ends with Commit or Discard.
type Draft struct {
	store *Store
	owner string
	file  *os.File
	size  int64
	parts []part
	// since the last part's end: what was written and its hash.
	current part
	hash    hash.Hash
}

// Draft begins an entry on somebody's account.
func (s *Store) Draft(owner string) (*Draft, error) {
	f, err := os.CreateTemp(s.temporary(), "draft-")
	if err != nil {
		return nil, s.explain(err)
	}
	return &Draft{store: s, owner: owner, file: f, hash: sha256.New()}, nil
}

// Write adds to the part that is being written.
func (d *Draft) Write(p []byte) (int, error) {
	if err := d.store.reserve(d.owner, int64(len(p))); err != nil {
		return 0, err
	}
	d.size += int64(len(p))
	n, err := d.file.Write(p)
	if err != nil {
		return n, d.store.explain(err)
	}
	d.current.Size += int64(n)
	d.hash.Write(p[:n])
	return n, nil
}

// EndPart ends a part, and gives its SHA-256 in hexadecimal digits.
func (d *Draft) EndPart() string {
	d.current.SHA256 = hex.EncodeToString(d.hash.Sum(nil))
	d.parts = append(d.parts, d.current)
	d.current = part{}
	d.hash.Reset()
	return d.parts[len(d.parts)-1].SHA256
}

// Part gives a part that was ended.
func (d *Draft) Part(i int) *io.SectionReader { return section(d.file, d.parts, i) }

// Commit makes an entry of the draft, in the place of one that has the key already. meta is what it says of itself.
func (d *Draft) Commit(key string, meta any) error {
	defer d.Discard()
	raw, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	end, err := json.Marshal(footer{Key: key, Owner: d.owner, Meta: raw, Parts: d.parts})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(end)
	end = append(end, sum[:]...)
	end = binary.BigEndian.AppendUint32(end, uint32(len(end)-sha256.Size))
	if _, err := d.Write(end); err != nil {
		return err
	}
	s := d.store
	if err := d.file.Close(); err != nil {
		return s.explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(d.file.Name(), s.path(key)); err != nil {
		return s.explain(err)
	}
	k := &kept{owner: d.owner, size: d.size, last: time.Now()}
	s.note(key, k)
	if err := os.Chtimes(s.path(key), k.last, k.last); err != nil { // a file system's own clock is coarser
		return s.explain(err)
	}
	return nil
}

// Discard ends a draft, and does nothing to one that was committed but close it.
func (d *Draft) Discard() {
	if d.file == nil {
		return
	}
	d.file.Close()           //nolint:errcheck // Commit has closed it, or it goes
	os.Remove(d.file.Name()) //nolint:errcheck // not there after a Commit; and what stays is removed by Open
	d.file = nil
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.store.release(d.owner, d.size)
}

// Entry is open for reading, and must be closed.
type Entry struct {
	file  *os.File
	parts []part
	// Meta is what was committed of the entry.
	Meta json.RawMessage
}

// Get opens an entry whose parts all have the digests that they were written with; without one it gives nothing.
func (s *Store) Get(key string) *Entry {
	e, err := s.get(key)
	if err == nil {
		s.Touch(key)
		return e
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.Delete(key)
	}
	return nil
}

func (s *Store) get(key string) (*Entry, error) {
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil, err
	}
	end, _, err := readFooter(f, key)
	if err != nil {
		f.Close() //nolint:errcheck // only read
		return nil, err
	}
	for i, p := range end.Parts {
		digest := sha256.New()
		if _, err := io.Copy(digest, section(f, end.Parts, i)); err != nil || hex.EncodeToString(digest.Sum(nil)) != p.SHA256 {
			f.Close() //nolint:errcheck // only read
			return nil, errCorrupt
		}
	}
	return &Entry{file: f, parts: end.Parts, Meta: end.Meta}, nil
}

// Parts is how many parts the entry has.
func (e *Entry) Parts() int { return len(e.parts) }

// Part gives one of them.
func (e *Entry) Part(i int) *io.SectionReader { return section(e.file, e.parts, i) }

// Close ends the reading.
func (e *Entry) Close() { e.file.Close() } //nolint:errcheck // only read

func section(r io.ReaderAt, parts []part, i int) *io.SectionReader {
	var offset int64
	for _, p := range parts[:i] {
		offset += p.Size
	}
	return io.NewSectionReader(r, offset, parts[i].Size)
}

var errCorrupt = errors.New("not what was written")

// maxFooter is more than a footer ever has.
const maxFooter = 1 << 20

// readFooter gives the end of a file, if the file is as long as that says.
func readFooter(f *os.File, key string) (footer, os.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return footer{}, nil, err
	}
	var length [4]byte
	tail := info.Size() - int64(len(length))
	if tail < sha256.Size {
		return footer{}, nil, errCorrupt
	}
	if _, err := f.ReadAt(length[:], tail); err != nil {
		return footer{}, nil, err
	}
	n := int64(binary.BigEndian.Uint32(length[:])) + sha256.Size
	if n > maxFooter || n > tail {
		return footer{}, nil, errCorrupt
	}
	data := make([]byte, n)
	if _, err := f.ReadAt(data, tail-n); err != nil {
		return footer{}, nil, err
	}
	text, sum := data[:n-sha256.Size], data[n-sha256.Size:]
	var end footer
	if want := sha256.Sum256(text); !bytes.Equal(sum, want[:]) || json.Unmarshal(text, &end) != nil || end.Key != key {
		return footer{}, nil, errCorrupt
	}
	var size int64
	for _, p := range end.Parts {
		if p.Size < 0 {
			return footer{}, nil, errCorrupt
		}
		size += p.Size
	}
	if size != tail-n {
		return footer{}, nil, errCorrupt
	}
	return end, info, nil
}
