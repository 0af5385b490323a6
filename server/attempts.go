package server

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"parlor/internal/turnstile"
	"parlor/link"
)

// maxLoginDelay bounds how long the answer to a login is held back: pgnet's clients give up after 5 s, and the
// login may have to wait for its name as well (Limits.LeaveWait).
const maxLoginDelay = 3500 * time.Millisecond

// maxLoginWait bounds how long a login waits for its turn.
const maxLoginWait = 4250 * time.Millisecond

// maxKeyLen bounds what is remembered of a name that may be anything.
const maxKeyLen = 64

// attempts slows down the guessing of passwords and codes (defect 40). Failed logins of one address, and of
// one name, use up a budget; beyond it logins are delayed, by maxLoginDelay at most, and answered then. When
// as many wait as may fail at once, further ones of the address are refused unseen, with a text that says so;
// a name is never refused, or its user could be locked out from many addresses. A user at an address that she
// has logged in from before has a budget of her own there: neither what others do to her name nor what others
// do from her address holds her up.
//
// The turnstile remembers who that is, for the life of the server. After a restart all are strangers in a storm; it serves its networks one after the
// other, so there would have to be a hundred of them for a user to wait longer than clients do, and a session that is resumed needs no
// hash. For that, where people live is not written down.
type attempts struct {
	rate  float64 // failures a second that are not slowed down; negative for no limit
	burst float64
	max   int
	known *turnstile.Turnstile // who has logged in before, and where

	mu      sync.Mutex // guards the fields below
	buckets map[attemptKey]*bucket
	swept   time.Time
}

// bucket is a budget of failures. x/time/rate cannot give back what was taken without a delay.
type bucket struct {
	left float64 // below zero: logins wait until it would be zero
	at   time.Time
	low  bool // it was below zero since it was full
}

// attemptKey names a bucket: an address, a user name, or a user at an address of hers.
type attemptKey struct {
	addr netip.Addr
	user string
}

func newAttempts(l Limits, known *turnstile.Turnstile) *attempts {
	return &attempts{
		rate: l.FailuresPerSecond, burst: float64(l.FailureBurst), max: l.Addresses, known: known,
		buckets: make(map[attemptKey]*bucket),
	}
}

// attempt is one login under way: it has taken from the budgets, and gives back if it succeeds.
type attempt struct {
	owner *attempts
	addr  netip.Addr
	user  string
	taken []taking
	slows bool // it is the first of its address to be held up, since the budget was full
}

// taking is what was taken from a budget: less than one where there was no more to take.
type taking struct {
	from *bucket
	n    float64
}

// begin takes from the budgets of an address and a name, and says how long the login shall wait before it is
// looked at; ok is false if it shall be refused unseen. Peers in this process are not limited.
func (a *attempts) begin(addr netip.Addr, user string) (t *attempt, wait time.Duration, ok bool) {
	t = &attempt{owner: a, addr: addr, user: user}
	if !addr.IsValid() || a.rate < 0 {
		return t, 0, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	network, name := link.Network(addr), strings.Clone(user[:min(len(user), maxKeyLen)])
	keys := []attemptKey{{addr: network}, {user: name}}
	if a.known.Knows(turnstile.Key{Network: network, Name: user}) {
		keys = []attemptKey{{addr: network, user: name}}
	}
	for _, key := range keys {
		b := a.bucket(key, time.Now())
		floor := -maxLoginDelay.Seconds()*a.rate - 1
		if key.addr.IsValid() {
			floor = min(floor, -a.burst)
			if b.left-1 < floor {
				t.giveBack()
				return t, 0, false
			}
		}
		n := min(1, b.left-floor)
		b.left -= n
		t.taken = append(t.taken, taking{b, n})
		wait = max(wait, time.Duration(-b.left/a.rate*float64(time.Second)))
		if key.addr.IsValid() {
			t.slows = b.left < 0 && !b.low
			b.low = b.low || t.slows
		}
	}
	return t, min(wait, maxLoginDelay), true
}

// succeeded gives back what was taken and remembers the address.
func (t *attempt) succeeded() {
	t.cancel()
	t.owner.known.Remember(turnstile.Key{Network: link.Network(t.addr), Name: t.user})
}

// cancel gives back what was taken for a login that was not refused for a wrong password or code.
func (t *attempt) cancel() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	t.giveBack()
}

// giveBack is for those who hold the lock.
func (t *attempt) giveBack() {
	for _, of := range t.taken {
		of.from.left += of.n
	}
	t.taken = nil
}

// bucket finds or makes a budget, filled up to now. When there are too many, those that are full again are
// dropped, as they say nothing; that is looked for once a second at most. Failing that, any one goes.
func (a *attempts) bucket(key attemptKey, now time.Time) *bucket {
	b := a.buckets[key]
	if b == nil {
		if len(a.buckets) >= a.max {
			a.shrink(now)
		}
		b = &bucket{left: a.burst, at: now}
		a.buckets[key] = b
	}
	a.refill(b, now)
	return b
}

func (a *attempts) refill(b *bucket, now time.Time) {
	b.left = min(a.burst, b.left+now.Sub(b.at).Seconds()*a.rate)
	b.at = now
	b.low = b.low && b.left < a.burst
}

func (a *attempts) shrink(now time.Time) {
	if now.Sub(a.swept) > time.Second {
		a.swept = now
		for key, b := range a.buckets {
			if a.refill(b, now); b.left >= a.burst {
				delete(a.buckets, key)
			}
		}
	}
	for key := range a.buckets {
		if len(a.buckets) < a.max {
			return
		}
		delete(a.buckets, key)
	}
}
