package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"

	"parlor/store"
)

// Reader reads a backup.
type Reader struct {
	Head Head

	in     *bufio.Reader
	sum    hash.Hash
	length int64
	count  uint64 // records of changes so far
	body   bytes.Buffer
}

// NewReader reads the head of a backup. Errors are ErrForeign, ErrNewer, ErrDamaged and those of in.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 1<<16), sum: sha256.New()}
	start := make([]byte, len(magic))
	if err := r.full(start); err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if string(start) != magic {
		return nil, fmt.Errorf("%w: a backup of parlor begins with %q", ErrForeign, magic)
	}
	v, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if v != version {
		return nil, fmt.Errorf("%w: it has version %d, and this one knows %d", ErrNewer, v, version)
	}
	rec, kind, err := r.record()
	if err != nil {
		return nil, err
	}
	if kind != kindHead {
		return nil, r.damaged(errors.New("it has no head"))
	}
	r.Head = rec.head
	r.Head.Created = time.Unix(rec.created, 0)
	return r, nil
}

// Changes yields what makes the same of an empty store. It can be called once. The last that it yields is an error, if there is one: only when
// there was none, all that came before is what was written.
func (r *Reader) Changes() iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for {
			rec, kind, err := r.record()
			if err == nil && kind == kindEnd {
				err = r.end(rec.count)
				if err == nil {
					return
				}
			}
			var c store.Change
			if err == nil {
				if c = rec.change(kind); c == nil {
					err = r.damaged(errors.New("a second head"))
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			r.count++
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Backup is one that was verified.
type Backup struct {
	Head   Head
	Counts Counts

	in io.ReadSeeker
}

// Verify reads all of a backup. Errors are those of NewReader and Reader.Changes.
func Verify(in io.ReadSeeker) (*Backup, error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	b := &Backup{Head: r.Head, in: in}
	for c, err := range r.Changes() {
		if err != nil {
			return nil, err
		}
		b.Counts.add(c)
	}
	b.Counts.Bytes = r.length
	return b, nil
}

// end reads what is behind the last record.
func (r *Reader) end(count uint64) error {
	length := r.length
	var tail [8 + sha256.Size]byte
	if err := r.full(tail[:8]); err != nil {
		return err
	}
	sum := r.sum.Sum(nil)
	if err := r.full(tail[8:]); err != nil {
		return err
	}
	switch {
	case binary.BigEndian.Uint64(tail[:8]) != uint64(length) || count != r.count:
		return r.damaged(errors.New("it has another length than was written"))
	case !bytes.Equal(sum, tail[8:]):
		return r.damaged(errors.New("its checksum is that of something else"))
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		if err != nil {
			return err
		}
		return r.damaged(errors.New("something stands behind its end"))
	}
	return nil
}

// record reads one.
func (r *Reader) record() (rec record, kind byte, err error) {
	size, err := r.uvarint()
	if err != nil {
		return rec, 0, err
	}
	if size == 0 || size > maxRecord {
		return rec, 0, r.damaged(fmt.Errorf("a record of %d bytes", size))
	}
	// Memory is taken as the bytes come: the size may be anything.
	r.body.Reset()
	if r.body.Cap() > 1<<20 {
		r.body = bytes.Buffer{}
	}
	if _, err := io.CopyN(io.MultiWriter(&r.body, r.sum), r.in, int64(size)); err != nil {
		return rec, 0, r.cut(err)
	}
	r.length += int64(size)
	kind = r.body.Bytes()[0]
	fields := rec.fields(kind)
	if fields == nil {
		return rec, 0, r.damaged(fmt.Errorf("a record of the unknown kind %q", kind))
	}
	if err := parseFields(r.body.Bytes()[1:], fields); err != nil {
		return rec, 0, r.damaged(err)
	}
	return rec, kind, nil
}

func (r *Reader) uvarint() (n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		var b [1]byte
		if err := r.full(b[:]); err != nil {
			return 0, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, r.damaged(errors.New("a number that does not end"))
}

// full reads all of b.
func (r *Reader) full(b []byte) error {
	n, err := io.ReadFull(r.in, b)
	r.sum.Write(b[:n])
	r.length += int64(n)
	return r.cut(err)
}

// cut says of an end that comes too early that it does.
func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged(errors.New("it ends too early"))
	}
	return err
}

func (r *Reader) damaged(err error) error {
	return fmt.Errorf("%w: %w, at byte %d or before", ErrDamaged, err, r.length)
}
