package store

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// NewInvite is a new code, of 128 random bits as 32 hex digits, that lets so many users register: of this name or, if it is empty, of any,
// until life is over from now; 0 is for ever.
func NewInvite(user string, uses int, now time.Time, life time.Duration) Invite {
	var raw [16]byte
	rand.Read(raw[:])
	in := Invite{Code: hex.EncodeToString(raw[:]), User: user, Left: uses}
	if life > 0 {
		in.Expires = now.Add(life).Unix()
	}
	return in
}
