package room

import (
	"errors"
	"fmt"
)

// Journal is where a room writes what its game must not lose. Its methods may be called concurrently, and do not block. Their
// callbacks come on any goroutine, in the order of the calls.
type Journal interface {
	// Append writes the entries from first to last, behind those before; those of a new game come before any save. Done is told when
	// they are on disk. An error means that they are not; all that is written later fails too then, until Read is called.
	Append(first, last uint64, entries []byte, done func(error))
	// Save writes a save behind what was appended before, and drops the entries that are in it, if it does not say to keep them.
	Save(s Save, done func(error))
	// Read gives what is stored: the newest save, if there is one, and the entries behind it.
	Read(done func(Stored, error))
}

// Save is the state of a game.
type Save struct {
	Version int    // the game's own, of Data
	Data    string // what the game gave; empty for a new game

	// Of a durable game:

	Entry uint64 // the last one of the journal that is in it
	Room  []byte // the room's own state; empty if there is no save
	Keep  bool   // the entries before it are to be kept
}

// Stored is what a durable game is made of again.
type Stored struct {
	Save   Save    // the newest one; none if Room is empty, and the journal begins with the game then
	Pieces []Piece // in order; those at the beginning may be in the save already
}

// Piece is a run of entries, as Append was given them.
type Piece struct {
	First   uint64 // the number of the first one; they are counted from 1
	Entries []byte
}

// Divergence is what becomes of a durable game that does something else than its journal says when it is made again.
type Divergence int

const (
	// ReadOnly is that the game can be seen in the directory, and not played. Nothing is written, so that it can be opened with the
	// code that has written it.
	ReadOnly Divergence = iota
	// FromSave is that it goes on from its newest save, and what was done since is undone. From then on its journal is kept, with what
	// was undone.
	FromSave
)

// String is read-only or from-save.
func (d Divergence) String() string {
	if d == FromSave {
		return "from-save"
	}
	return "read-only"
}

// Set is the way back.
func (d *Divergence) Set(text string) error {
	switch text {
	case "read-only":
		*d = ReadOnly
	case "from-save":
		*d = FromSave
	default:
		return fmt.Errorf("%q is neither read-only nor from-save", text)
	}
	return nil
}

// Type is what messages about flags call it.
func (Divergence) Type() string { return "divergence" }

// ErrNotStored is what those are told whose requests of a durable game could not be stored. Nothing has come of them.
var ErrNotStored = errors.New("it could not be stored")

// ErrUnknown is what a Journal says of a write of which it could not find out whether it is there: who waits for it waits until Read tells.
var ErrUnknown = errors.New("it is not known whether it was stored")

// textNotStored is what users are answered then.
const textNotStored = "The server could not store this. Please try again later."

// DivergedError means that a game, given the same as in its journal, did something else: its code has changed, or it uses what is not
// the room's own, such as the clock of the machine, or the order of a map.
type DivergedError struct {
	Game  string
	Entry uint64
	What  string
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("game %q does not do again what its journal says, from entry %d on: %s", e.Game, e.Entry, e.What)
}

// UnplayableError is what those are told who want to join a durable game that could not be made again.
type UnplayableError struct{ Err error }

func (e *UnplayableError) Error() string {
	var d *DivergedError
	if errors.As(e.Err, &d) {
		return fmt.Sprintf("This game can only be looked at: it could not be made again from entry %d of its journal on. "+
			"Please tell whoever runs the server, whose log says more.", d.Entry)
	}
	return "This game can only be looked at: it could not be made again. Please tell whoever runs the server, whose log says more."
}

func (e *UnplayableError) Unwrap() error { return e.Err }
