package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// A row of the table recent has notes. Each is a game and the first entry of a piece, followed by how many entries the piece has besides that, how
// many bytes, and these; or a game, 0, and the entry up to which pieces are dropped. A row of the table journal has pieces of one
// game that follow each other, without the game and their first entries. All numbers are varints.

// appendPiece adds a note of a piece that is appended.
func appendPiece(b []byte, p store.Piece) []byte {
	b = binary.AppendUvarint(b, uint64(p.Game))
	b = binary.AppendUvarint(b, p.First)
	return appendEntries(b, p)
}

// appendDrop adds a note that the pieces of a game are dropped that end with an entry or before.
func appendDrop(b []byte, game int64, last uint64) []byte {
	b = binary.AppendUvarint(b, uint64(game))
	b = append(b, 0) // no piece has this as its first entry
	return binary.AppendUvarint(b, last)
}

// appendEntries adds a piece without its game and first entry.
func appendEntries(b []byte, p store.Piece) []byte {
	b = binary.AppendUvarint(b, p.Last-p.First)
	b = binary.AppendUvarint(b, uint64(len(p.Data)))
	return append(b, p.Data...)
}

// notes reads what the functions above have made.
type notes struct {
	b   []byte
	err error // the first; there is nothing more to read then
}

func (n *notes) fail() {
	n.b, n.err = nil, fmt.Errorf("%w: a row of the journals", sqlite3.CORRUPT)
}

func (n *notes) more() bool { return len(n.b) > 0 }

func (n *notes) number() uint64 {
	v, size := binary.Uvarint(n.b)
	if size <= 0 {
		n.fail()
		return 0
	}
	n.b = n.b[size:]
	return v
}

// entries reads a piece that begins with an entry; it shares its bytes.
func (n *notes) entries(game int64, first uint64) store.Piece {
	before, size := n.number(), n.number()
	if n.err != nil || size > uint64(len(n.b)) || first == 0 || first > math.MaxInt64 || before > math.MaxInt64-first {
		n.fail()
		return store.Piece{}
	}
	p := store.Piece{Game: game, First: first, Last: first + before, Data: n.b[:size:size]}
	n.b = n.b[size:]
	return p
}

// note reads a note: a piece, or a First of 0 if those up to Last are dropped.
func (n *notes) note() store.Piece {
	game, first := int64(n.number()), n.number()
	if first == 0 {
		return store.Piece{Game: game, Last: n.number()}
	}
	return n.entries(game, first)
}

// readRun reads pieces of a row of the table journal.
func readRun(game int64, last, before uint64, data []byte) (all []store.Piece, err error) {
	first := last - before
	n := notes{b: data}
	for n.more() {
		p := n.entries(game, first)
		all = append(all, p)
		first = p.Last + 1
	}
	if n.err == nil && first != last+1 {
		n.fail()
	}
	return all, n.err
}
