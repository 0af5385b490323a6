// Package snapshot is the contract for what outlives the server's process: users, invites, settings and the
// saves of games.
//
// A store keeps one [Snapshot]. The server writes a whole snapshot for every change that it answers, and
// joins changes that come together into one write. Implementations: [Memory], and store/pgnetfile for
// pgnet's save file.
package snapshot

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"sync"
)

// Snapshot is everything that is kept, at one moment.
type Snapshot struct {
	Users        []User   // in order of registration, without the administrator
	Games        []Game   // persistent games with a save, in order of creation
	Registration bool     // whether new users may register
	Invites      []Invite // in order of creation
}

// User is a registered user. The password is kept as a salted hash in pgnet's form (section 10.2).
type User struct {
	Name string
	Salt string // any text; new ones are 40 hex digits
	Hash string // lower-case hex of SHA-256 over salt and password
}

// NewUser makes a user with a password and a random salt.
func NewUser(name, password string) User {
	var salt [20]byte
	rand.Read(salt[:])
	u := User{Name: name, Salt: hex.EncodeToString(salt[:])}
	u.Hash = hashPassword(u.Salt, password)
	return u
}

// Check tells whether the password is the user's. Its time does not depend on how much of the hash fits.
func (u User) Check(password string) bool {
	return subtle.ConstantTimeCompare([]byte(u.Hash), []byte(hashPassword(u.Salt, password))) == 1
}

func hashPassword(salt, password string) string {
	sum := sha256.Sum256([]byte(salt + password))
	return hex.EncodeToString(sum[:])
}

// Game is a saved game.
type Game struct {
	Name     string
	Password string // in clear, as pgnet keeps it; empty for none
	Kind     string // which of the server's kinds of game it is; empty for the default
	Data     string // the save
	Creator  string // the user who created it; empty if that is not known
}

// Invite is a code that lets a name register while registration is off.
type Invite struct {
	Code string
	User string // the name that it is for; empty for any
	// Expires is when the code is good no more, in seconds since 1970; 0 is never.
	Expires int64
}

// Store keeps a snapshot. Its methods are called by one goroutine at a time.
type Store interface {
	// Load returns what was stored last, and whether anything was. Stored data that is damaged is an error,
	// and stays as it is.
	Load() (s Snapshot, found bool, err error)
	// Save stores a snapshot. When it returns nil, the snapshot is there whatever is killed afterwards, and
	// when it returns an error, the one before still is. It blocks for the disk.
	Save(s Snapshot) error
	// Path names the place for people, as it was configured.
	Path() string
	// Close lets go of the place. It may be called again.
	Close() error
}

// Memory is a store that ends with the process, for tests and games on one machine. Its zero value is
// ready, and it may be handed from one server to the next.
type Memory struct {
	mu    sync.Mutex // guards the fields below
	snap  Snapshot
	found bool
}

// Load returns the last snapshot.
func (m *Memory) Load() (Snapshot, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap, m.found, nil
}

// Save keeps the snapshot, which must not be changed afterwards.
func (m *Memory) Save(s Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snap, m.found = s, true
	return nil
}

// Path is "memory".
func (m *Memory) Path() string { return "memory" }

// Close does nothing.
func (m *Memory) Close() error { return nil }
