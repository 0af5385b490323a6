// Package store is the contract for what outlives the server's process: users, invites, settings, games with their saves
// and journals, and the sessions that can be resumed after a restart.
//
// Everything is written by one call, [Store.Commit], whose changes are there together or not at all: so the server joins
// what many ask for into one write to the disk, and an answer leaves when that is done. Implementations: [Memory],
// store/sqlite and store/postgres; store/storetest is the suite that each of them passes.
package store

import (
	"context"
	"iter"
)

// Store keeps what outlives the process, for one server at a time: opening it takes the lease, which Close gives back.
// So what that server has found out, such as that a name is free, still holds when it commits.
//
// What a store cannot do is one of the errors of this package, for errors.Is. All methods may be called
// concurrently, and block for the disk or the network until they are done or ctx ends.
type Store interface {
	// Commit writes changes, all of them or none, in their order. When it returns nil, they are there whatever is
	// killed afterwards. After an error nothing of them is there; only ErrUnknown, when ctx ended before that could be
	// found out, leaves it open, until a later one has returned nil: what is read before then may not tell. Without changes it does no more than
	// that, and sees to it that no other server has taken over.
	Commit(ctx context.Context, changes ...Change) error

	// User is a user by her name, or ErrNotFound.
	User(ctx context.Context, name string) (User, error)
	// Imitated tells whether a user has a name that is folded to this one (User.Folded).
	Imitated(ctx context.Context, folded string) (bool, error)
	// Users are so many users at most, in the order of their registration, behind the one with a number; 0 is before all.
	Users(ctx context.Context, after int64, limit int) ([]User, error)
	// CountUsers is how many there are.
	CountUsers(ctx context.Context) (int, error)

	// Invites are all codes, in the order of their creation.
	Invites(ctx context.Context) ([]Invite, error)
	// Settings are all settings, by their names.
	Settings(ctx context.Context) (map[string]string, error)

	// Games are all games, in the order of their numbers.
	Games(ctx context.Context) ([]Game, error)
	// Save is the newest save of a game, or ErrNotFound.
	Save(ctx context.Context, game int64) (Save, error)
	// Journal yields the pieces of a game's journal in order, from the one on that has an entry behind after. An error
	// is the last that it yields.
	Journal(ctx context.Context, game int64, after uint64) iter.Seq2[Piece, error]
	// Sessions are all sessions that are stored, in any order.
	Sessions(ctx context.Context) ([]Session, error)

	// Export yields everything as of one moment, as changes that make the same of an empty store when they are
	// committed in their order. An error is the last that it yields.
	Export(ctx context.Context) iter.Seq2[Change, error]

	// Path names the place for people, without secrets.
	Path() string
	// Close gives the lease back and lets go of the place. It may be called again.
	Close() error
}

// User is a registered user.
type User struct {
	Number int64  // in the order of registration, from 1; the store gives a new user the next one
	Name   string // unique
	Folded string // what the names of others must not be folded to
	Secret string // the hash of her password
}

// The settings.
const (
	SettingRegistration = "registration" // on or off
	SettingAdmin        = "admin"        // the hash of the administrator's password
	SettingRestoring    = "restoring"    // since when, while a backup is restored: no server may use the store (store/backup)
)

// Invite is a code that lets names register while registration is off.
type Invite struct {
	Code    string
	User    string // the name that it is for; empty for any
	Expires int64  // when it is good no more, in seconds since 1970; 0 is never
	Left    int    // how many may still register with it
}

// Game is a game of the directory.
type Game struct {
	Number  int64 // in the order of creation, given by the server
	Name    string
	Kind    string // empty for the default
	Secret  string // the hash of its password; empty for none
	Creator string // the user who created it; empty if that is not known
	Durable bool   // it has a journal
	Saved   int    // bytes of its newest save, 0 if there is none; set by what is read
}

// Save is a game's state.
type Save struct {
	Game    int64
	Entry   uint64 // the last entry of the journal that is in it; 0 is none
	Version int    // the game's own, of Data
	Data    string // what the game gave
	Room    []byte // what the room keeps beside it; empty if the game is not durable
}

// Piece is a run of entries of a game's journal.
type Piece struct {
	Game        int64
	First, Last uint64 // numbers of entries, from 1
	Data        []byte
}

// Session is what lets a client resume after a restart.
type Session struct {
	ID     string // unique
	User   string
	Key    string   // the client's public key
	Game   int64    // in which it has a seat
	Tokens [][]byte // hashes of those that are good
}

// Change is something to write: one of the types below, by value.
type Change interface{ change() }

// The changes. A Put makes what is not there and replaces what is; a Delete of what is not there changes nothing.
type (
	// PutUser replaces by the name; a Number that is not 0 is kept.
	PutUser    User
	DeleteUser struct{ Name string }

	PutInvite    Invite
	DeleteInvite struct{ Code string }

	// PutSetting with an empty Value deletes it.
	PutSetting struct{ Name, Value string }

	// PutGame replaces by the number. Saved is not looked at.
	PutGame Game
	// DeleteGame takes its save, its journal and its sessions along.
	DeleteGame struct{ Number int64 }

	// PutSave is the newest save, and drops the pieces of the journal that end with its entry or before, if
	// KeepJournal is not set.
	PutSave struct {
		Save
		KeepJournal bool
	}
	// Append is written behind the entries of the game that are in its journal or its save, the last of which is the one
	// before First; with neither, First may be any.
	Append Piece

	PutSession    Session
	DeleteSession struct{ ID string }
)

func (PutUser) change()       {}
func (DeleteUser) change()    {}
func (PutInvite) change()     {}
func (DeleteInvite) change()  {}
func (PutSetting) change()    {}
func (PutGame) change()       {}
func (DeleteGame) change()    {}
func (PutSave) change()       {}
func (Append) change()        {}
func (PutSession) change()    {}
func (DeleteSession) change() {}
