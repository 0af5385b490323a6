// Package password makes hashes of passwords, as text for a store, and checks passwords against them.
//
// A hash of today is Argon2id (RFC 9106) in the form of the PHC string format,
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH
//
// with salt and hash in base64 without padding. One that was imported from pgnet, which is lower-case hex of SHA-256 over
// the salt's text and the password, is $pgnet$SALT$HASH, both escaped as in a query of a URL; it is to be replaced at the
// user's next login.
//
// A hash takes some 17 ms of a processor and 19 MiB, which is its purpose: whoever lets strangers ask for one has them
// wait for their turn (internal/turnstile). All functions may be called concurrently.
package password

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"parlor/internal/argon2"
)

// What a hash of today costs: the least of the OWASP Password Storage Cheat Sheet for Argon2id, "19 MiB of memory, an
// iteration count of 2, and 1 degree of parallelism". The sizes are those that RFC 9106 recommends, section 3.1 and 4.
const (
	todaysMemory = 19 * 1024 // KiB
	todaysPasses = 2
	todaysLanes  = 1
	saltSize     = 16 // bytes
	hashSize     = 32
)

// What a hash may cost that is read from a store. Whoever can write there must not be able to have the server take all of its
// memory, or of its time, for one login.
const (
	maxMemory   = 64 * 1024 // KiB: the second of the two recommendations of RFC 9106, section 4
	maxPasses   = 16
	maxWork     = 4 * maxMemory // KiB times passes
	maxLanes    = 4
	minSaltSize = 8 // RFC 9106, section 3.1, says this for Argon2 in general
	maxSaltSize = 64
	minHashSize = 16
	maxHashSize = 64
	maxText     = 512 // bytes of a text that can be within these bounds, and more
)

// ErrMalformed tells of a text that is no hash, or one that costs more than this package spends.
var ErrMalformed = errors.New("not the hash of a password")

// A Cost is what one hash costs. The zero value is what it should today; another is for tests, which have no time for that.
type Cost struct {
	Memory uint32 // KiB, default 19,456
	Passes uint32 // over the memory, default 2
}

func (c Cost) fill() Cost {
	if c.Memory == 0 {
		c.Memory = todaysMemory
	}
	if c.Passes == 0 {
		c.Passes = todaysPasses
	}
	return c
}

// Hash is the hash of a password, with a salt of its own.
func Hash(password string) string { return Cost{}.Hash(password) }

// Hash is as the function of this name, at this cost.
func (c Cost) Hash(password string) string {
	h := c.empty()
	rand.Read(h.salt)
	h.sum = h.of(password)
	return h.String()
}

// Dummy is a hash of this cost that no password has.
func (c Cost) Dummy() string { return c.empty().String() }

// Check tells whether a hash is the password's, and whether it is old: pgnet's, or one that costs less than this, which is
// today's cost; after a login with the right password it should be made anew. The error is ErrMalformed, and says what is wrong
// without any of the text.
//
// How long it takes does not tell how much of the hash fits, nor that it is an old one which does not: for that takes as
// long as one of today, and so long as Dummy, which is checked for names that nobody has.
func (c Cost) Check(text, password string) (fits, old bool, err error) {
	c = c.fill()
	if strings.HasPrefix(text, pgnetPrefix) {
		salt, hash, ok := AsPgnet(text)
		if !ok {
			return false, false, fmt.Errorf("%w: damaged, of pgnet's kind", ErrMalformed)
		}
		sum := sha256.Sum256([]byte(salt + password))
		fits = subtle.ConstantTimeCompare([]byte(hash), []byte(hex.EncodeToString(sum[:]))) == 1
		c.makeUp(fits, 0, password)
		return fits, true, nil
	}
	if clear, ok := AsClear(text); ok {
		return subtle.ConstantTimeCompare([]byte(clear), []byte(password)) == 1, true, nil
	}
	h, err := parse(text)
	if err != nil {
		return false, false, err
	}
	fits = subtle.ConstantTimeCompare(h.sum, h.of(password)) == 1
	c.makeUp(fits, h.memory*h.passes, password)
	return fits, h.memory < c.Memory || h.passes < c.Passes || len(h.salt) < saltSize || len(h.sum) < hashSize, nil
}

// makeUp spends what a hash that did not fit has cost less than one of today, in KiB times passes. One that fits is made anew,
// which costs that.
func (c Cost) makeUp(fits bool, spent uint32, password string) {
	if today := c.Memory * c.Passes; !fits && spent < today {
		(&hash{memory: (today - spent) / c.Passes, passes: c.Passes, lanes: todaysLanes, sum: make([]byte, hashSize)}).of(password)
	}
}

func (c Cost) empty() *hash {
	c = c.fill()
	return &hash{memory: c.Memory, passes: c.Passes, lanes: todaysLanes, salt: make([]byte, saltSize), sum: make([]byte, hashSize)}
}

// hash is an Argon2id hash.
type hash struct {
	memory    uint32 // KiB
	passes    uint32
	lanes     uint8
	salt, sum []byte
}

// of is what the sum is for this password.
func (h *hash) of(password string) []byte {
	m := memories.Get().(*argon2.Memory)
	defer memories.Put(m)
	in := m
	if !in.Fits(h.memory, h.lanes) { // it costs more than today's
		in = argon2.NewMemory(h.memory)
	}
	return in.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum)))
}

// memories are those of hashes that are done, for the next ones; the garbage collector takes what nobody has wanted for a while.
// With one of its own, each hash would make it begin again, which has all others wait.
var memories = sync.Pool{New: func() any { return argon2.NewMemory(todaysMemory) }}

var encoding = base64.RawStdEncoding

func (h *hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.memory, h.passes, h.lanes, encoding.EncodeToString(h.salt), encoding.EncodeToString(h.sum))
}

// parse reads a text as String writes it, and no other.
func parse(text string) (*hash, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: too long", ErrMalformed)
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return nil, fmt.Errorf("%w: of no kind that is known here", ErrMalformed)
	}
	h := new(hash)
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return nil, fmt.Errorf("%w: damaged parameters", ErrMalformed)
	}
	var errSalt, errSum error
	h.salt, errSalt = encoding.DecodeString(parts[4])
	h.sum, errSum = encoding.DecodeString(parts[5])
	if errSalt != nil || errSum != nil || h.String() != text {
		return nil, fmt.Errorf("%w: damaged", ErrMalformed)
	}
	return h, h.check()
}

// check holds a hash that was read to its bounds.
func (h *hash) check() error {
	switch {
	case h.lanes < 1 || h.lanes > maxLanes:
		return fmt.Errorf("%w: p is not from 1 to %d", ErrMalformed, maxLanes)
	case h.memory < 8*uint32(h.lanes) || h.memory > maxMemory: // RFC 9106, section 3.1
		return fmt.Errorf("%w: m is not from 8 times p to %d", ErrMalformed, maxMemory)
	case h.passes < 1 || h.passes > maxPasses || h.passes*h.memory > maxWork:
		return fmt.Errorf("%w: t is not from 1 to %d, or m times t over %d", ErrMalformed, maxPasses, maxWork)
	case len(h.salt) < minSaltSize || len(h.salt) > maxSaltSize:
		return fmt.Errorf("%w: a salt that is not of %d to %d bytes", ErrMalformed, minSaltSize, maxSaltSize)
	case len(h.sum) < minHashSize || len(h.sum) > maxHashSize:
		return fmt.Errorf("%w: a hash that is not of %d to %d bytes", ErrMalformed, minHashSize, maxHashSize)
	}
	return nil
}

const (
	pgnetPrefix = "$pgnet$"
	clearPrefix = "$clear$"
)

// Clear is a password itself, as pgnet's save file has those of games.
func Clear(password string) string { return clearPrefix + password }

// AsClear is what Clear was called with; ok is false for any other text.
func AsClear(text string) (password string, ok bool) { return strings.CutPrefix(text, clearPrefix) }

// Pgnet is the text of a hash that was imported from pgnet: its salt, which is any text, and its hash, which should be hex,
// but whatever it is comes back from AsPgnet.
func Pgnet(salt, hexHash string) string {
	return pgnetPrefix + url.QueryEscape(salt) + "$" + url.QueryEscape(hexHash)
}

// AsPgnet is what Pgnet was called with; ok is false for any other text.
func AsPgnet(text string) (salt, hexHash string, ok bool) {
	rest, isPgnet := strings.CutPrefix(text, pgnetPrefix)
	first, second, both := strings.Cut(rest, "$")
	salt, errSalt := url.QueryUnescape(first)
	hexHash, errHash := url.QueryUnescape(second)
	if !isPgnet || !both || errSalt != nil || errHash != nil || Pgnet(salt, hexHash) != text {
		return "", "", false
	}
	return salt, hexHash, true
}
