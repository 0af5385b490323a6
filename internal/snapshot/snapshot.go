// Package snapshot is what pgnet's save file has a form for: users with pgnet's hashes of their passwords, invites, whether new users may
// register, and the saves of games. [Changes] makes a store hold it, [Of] makes it of what a store holds; store/pgnetfile is the file.
package snapshot

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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
	Version  int    // the game's own, of Data
	Creator  string // the user who created it; empty if that is not known
}

// Invite is a code that lets a name register while registration is off.
type Invite struct {
	Code string
	User string // the name that it is for; empty for any
	// Expires is when the code is good no more, in seconds since 1970; 0 is never.
	Expires int64
}
