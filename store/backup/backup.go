// Package backup is everything that a store holds as one stream: of one moment, of any kind of store, and for any other kind.
//
// [Write] makes it of what a store exports, [Restore] puts it into a store that is empty. Both hold little of it in memory. A stream that
// was cut, or in which a bit is another, is refused as a whole.
//
// # The stream
//
//	"parlor backup\n" version  records  length checksum
//
// The version is an unsigned varint, 1. A record is its length as an unsigned varint, and so many bytes: one for its kind, and its fields one
// behind the other (record.go). Numbers are varints, signed ones zigzag; texts and bytes have their length before them as a varint. The first record is the
// head, the last is the end, which has the number of those between. Behind it come the length of all that is before it in 8 bytes, the most significant
// first, and the SHA-256 of all that is before that; and then nothing.
package backup

import (
	"bufio"
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

const (
	magic   = "parlor backup\n"
	version = 1
	// maxRecord is as much as a store can have in one piece, and what is around it.
	maxRecord = 1<<30 + 1<<20
)

var (
	// ErrDamaged says that what was read is not what was written, or not all of it.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrForeign says that what was read is no backup.
	ErrForeign = errors.New("this is no backup")
	// ErrNewer says that a newer version of this program has written it.
	ErrNewer = errors.New("the backup was written by a newer version of this program")
)

// Head is what a backup has beside what is stored.
type Head struct {
	Created time.Time // to the second
	From    string    // the store's path
	Key     string    // the text of the server's key file; empty if it is not in it
	Logins  []byte    // the file of logins that the server has seen
}

// Counts are how many there are of each in a backup.
type Counts struct {
	Users, Invites, Games, Saves, Pieces, Sessions int
	Bytes                                          int64 // of the stream
}

func (c *Counts) add(change store.Change) {
	switch change.(type) {
	case store.PutUser:
		c.Users++
	case store.PutInvite:
		c.Invites++
	case store.PutGame:
		c.Games++
	case store.PutSave:
		c.Saves++
	case store.Append:
		c.Pieces++
	case store.PutSession:
		c.Sessions++
	}
}

// String is for people.
func (c Counts) String() string {
	return fmt.Sprintf("%d users, %d invite codes, %d games with %d saves and %d pieces of journals, %d sessions",
		c.Users, c.Invites, c.Games, c.Saves, c.Pieces, c.Sessions)
}

// Write writes a backup of what a store exports. An error is w's or that of the export; what was written is no backup then.
func Write(w io.Writer, head Head, export iter.Seq2[store.Change, error]) (Counts, error) {
	out := writer{out: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
	out.write([]byte(magic))
	out.write(binary.AppendUvarint(nil, version))
	out.record(kindHead, headFields(&record{head: head, created: head.Created.Unix()}))
	var counts Counts
	var n uint64
	for c, err := range export {
		if err != nil {
			return Counts{}, err
		}
		kind, fields, ok := fieldsOf(c)
		if !ok {
			return Counts{}, fmt.Errorf("a backup has no place for a %T", c)
		}
		counts.add(c)
		n++
		if out.record(kind, fields); out.err != nil {
			return Counts{}, out.err
		}
	}
	out.record(kindEnd, []any{&n})
	out.write(binary.BigEndian.AppendUint64(nil, uint64(out.length)))
	out.write(out.sum.Sum(nil))
	if out.err == nil {
		out.err = out.out.Flush()
	}
	counts.Bytes = out.length
	return counts, out.err
}

// writer counts and sums what it writes, until its first error.
type writer struct {
	out    *bufio.Writer
	sum    hash.Hash
	length int64
	body   []byte // of a record, used again
	err    error
}

func (w *writer) write(b []byte) {
	if w.err != nil {
		return
	}
	_, w.err = w.out.Write(b)
	w.sum.Write(b)
	w.length += int64(len(b))
}

func (w *writer) record(kind byte, fields []any) {
	w.body = appendFields(append(w.body[:0], kind), fields)
	if len(w.body) > maxRecord && w.err == nil {
		w.err = fmt.Errorf("a piece of %d bytes is larger than a backup can hold, %d", len(w.body), maxRecord)
	}
	w.write(binary.AppendUvarint(nil, uint64(len(w.body))))
	w.write(w.body)
	if cap(w.body) > 1<<20 {
		w.body = nil // it was a large one
	}
}
