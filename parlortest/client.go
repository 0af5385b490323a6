package parlortest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/internal/memnet"
)

// Client is a user's client, and what it has seen. What goes wrong in its own methods ends the test; those of client.Client
// return errors.
type Client struct {
	*client.Client
	l     *Lobby
	user  string
	phone *phone

	mu     sync.Mutex    // guards what follows
	seen   []string      // since Saw, Expect or Await has looked
	news   chan struct{} // closed when there is more; nil while nobody waits
	pushes []*parlor.Push
	beat   parlor.Response
}

// patience bounds what a client's methods wait for, in virtual time.
const patience = time.Minute

// Client logs a user in on the native wire. A name that is new is registered.
func (l *Lobby) Client(user string) *Client {
	l.t.Helper()
	return l.Dial(Native, client.Config{Username: user})
}

// Dial logs a user in on any wire, as a configuration says; see New.
func (l *Lobby) Dial(wire Wire, cfg client.Config) *Client {
	l.t.Helper()
	c := l.New(wire, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		l.t.Fatalf("parlortest: %s logs in on the %s wire: %v", cfg.Username, wire, err)
	}
	return c
}

// New makes a client that has not connected yet, for a login that is to be refused, or a network that is bad from the
// beginning: client.Client.Connect logs in, and returns why not. The Dialer and ServerKey of the configuration are set here, the
// Password of the user admin where it is empty, the Logger where there is none, and Reconnect.Jitter, which is the same in each run. Its functions are called besides what is noted for
// Expect. The client is closed at the end of the test.
func (l *Lobby) New(wire Wire, cfg client.Config) *Client {
	l.t.Helper()
	if wire < 0 || int(wire) >= len(wireNames) {
		l.t.Fatalf("parlortest: there is no %s", wire)
	}
	key, err := box.NewKey()
	if err != nil {
		l.t.Fatal(err)
	}
	c := &Client{l: l, user: cfg.Username, phone: &phone{lobby: l, wire: wire, key: key}}
	l.phones = append(l.phones, c.phone)
	cfg.Dialer = c.phone
	if cfg.ServerKey = l.key.Public(); wire == Packet || wire == PacketTLS { // which have no keys
		cfg.ServerKey = ""
	}
	if wire == PacketTLS {
		l.secure()
	}
	if cfg.Username == parlor.AdminName && cfg.Password == "" {
		cfg.Password = l.cfg.AdminPassword
	}
	if cfg.Reconnect.Jitter == nil {
		rng := rand.New(rand.NewPCG(1, uint64(len(l.phones))))
		cfg.Reconnect.Jitter = func(below time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(below))) }
	}
	if cfg.Logger == nil {
		cfg.Logger = l.cfg.Logger
	}
	c.watch(&cfg)
	if c.Client, err = client.New("127.0.0.1", cfg); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.end)
	return c
}

// end closes the client. What the author has given it may be stuck.
func (c *Client) end() {
	c.Close()
	ended := make(chan struct{})
	go func() { // ends with the events; if it does not, Run says so
		c.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		c.l.t.Errorf("parlortest: a function of %s's configuration, or a callback, does not return", c.user)
	}
}

// watch notes what the client is told.
func (c *Client) watch(cfg *client.Config) {
	cfg.OnConnection = both(cfg.OnConnection, func(connected bool) { c.note(pick(connected, "connected", "disconnected")) })
	cfg.OnLink = both(cfg.OnLink, func(up bool) { c.note(pick(up, "link up", "link down")) })
	cfg.OnGame = both(cfg.OnGame, func(game string) { c.note(pick(game != "", "in game "+game, "in no game")) })
	cfg.OnLost = both(cfg.OnLost, func(n int) { c.note(fmt.Sprintf("lost %d pushes", n)) })
	cfg.OnPush = both(cfg.OnPush, func(p *parlor.Push) {
		c.mu.Lock()
		c.pushes = append(c.pushes, p)
		c.mu.Unlock()
		c.note(strings.TrimSpace("push " + p.Message + " " + text(p.Payload)))
	})
	if c.phone.wire == Pgnet || cfg.OnHeartbeat != nil || cfg.HeartbeatPayload != nil { // others would begin to beat by this
		cfg.OnHeartbeat = both(cfg.OnHeartbeat, func(r parlor.Response) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.beat = r
		})
	}
}

// both calls the author's function, if any, and then ours.
func both[T any](theirs, ours func(T)) func(T) {
	return func(v T) {
		if theirs != nil {
			theirs(v)
		}
		ours(v)
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// text is a payload as JSON, empty for one without anything in it.
func text(p parlor.Payload) string {
	if s := string(p.JSON()); s != "{}" {
		return s
	}
	return ""
}

func (c *Client) note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, line)
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

// Join joins a game, or creates it.
func (c *Client) Join(game string) {
	c.l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.JoinGame(ctx, game, client.GameOptions{}); err != nil {
		c.l.t.Fatalf("parlortest: %s joins game %q: %v", c.user, game, err)
	}
}

// Ask makes a request and returns the answer, whatever its status. The payload is any value that parlor.Encode takes.
func (c *Client) Ask(message string, payload any) parlor.Response {
	c.l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Request(ctx, message, payload)
	if err != nil {
		c.l.t.Fatalf("parlortest: %s asks %q: %v", c.user, message, err)
	}
	return r
}

// Saw returns what the client has seen since the last call of Saw, Expect or Await, when nothing more happens at the moment:
//
//	connected           it has logged in; disconnected likewise
//	in game NAME        the game has changed; "in no game" likewise
//	push NAME PAYLOAD   with the payload as JSON; nothing stands for an empty object
//	link down           the link has ended, and the session waits; link up when it goes on
//	lost N pushes       the server, or the client, could not keep more
//
// Answers are what Ask returns, and are not among them. Pushes and the rest come in the order in which the client hears of them: one that
// the game makes in UserJoined goes out before the answer to the join, and so stands before "in game NAME".
func (c *Client) Saw() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

// Expect is an error of the test if the client has not seen just this, as Saw describes it, since the last call of Saw, Expect or
// Await.
func (c *Client) Expect(want ...string) {
	c.l.t.Helper()
	if got := c.Saw(); !slices.Equal(got, want) {
		c.l.t.Errorf("%s has seen\n\t%s\nwant\n\t%s", c.user, list(got), list(want))
	}
}

// Await lets time pass until the client has seen a line that is this, or begins with it and a space, and returns that line. What
// was seen before it is forgotten, what came behind it is not; lines since the last call of Saw, Expect or Await count too. When it has not
// come within a minute the test ends.
func (c *Client) Await(want string) string {
	c.l.t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		for i, line := range c.seen {
			if line == want || strings.HasPrefix(line, want+" ") {
				c.seen = slices.Clone(c.seen[i+1:])
				c.mu.Unlock()
				return line
			}
		}
		if c.news == nil {
			c.news = make(chan struct{})
		}
		news := c.news
		c.mu.Unlock()
		select {
		case <-news:
		case <-late:
			c.l.t.Fatalf("%s has seen\n\t%s\nand within %v no\n\t%s", c.user, list(c.Saw()), patience, want)
		}
	}
}

// list shows what was seen.
func list(lines []string) string {
	if len(lines) == 0 {
		return "(nothing)"
	}
	return strings.Join(lines, "\n\t")
}

// Pushes returns all pushes that have come so far, when nothing more happens at the moment.
func (c *Client) Pushes() []*parlor.Push {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pushes)
}

// Heartbeat returns the last answer to a heartbeat; clients on other wires than Pgnet send heartbeats only if their configuration
// has one of the functions for them.
func (c *Client) Heartbeat() parlor.Response {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beat
}

// Cut cuts the client's link, without a word to either side. It returns when both have noticed; the client connects again by
// itself after some time, on pgnet's wire it does not.
func (c *Client) Cut() {
	c.phone.set(func() {}, true)
	synctest.Wait()
}

// CutAfter cuts the client's link in a while, when a request is on its way perhaps. It returns at once.
func (c *Client) CutAfter(d time.Duration) {
	time.AfterFunc(d, func() { c.phone.set(func() {}, true) })
}

// Offline cuts the link, and keeps the client from getting another one until Online. Who is offline for longer than the client's
// Reconnect.For (5 minutes, or more if the server keeps the session for longer) has given up then: it is told "disconnected", and Online does
// not bring it back. For longer tunnels set it, with Dial; or connect again with client.Client.Connect, which is a new session.
func (c *Client) Offline() {
	c.phone.set(func() { c.phone.offline = true }, true)
	synctest.Wait()
}

// Online ends what Offline began. The client connects again when its next try is due, within Reconnect.Max (10 s), unless it has given up.
func (c *Client) Online() { c.phone.set(func() { c.phone.offline = false }, false) }

// Lag is how long a byte is under way from now on, in each direction. It has no effect on a Local client.
func (c *Client) Lag(d time.Duration) {
	c.phone.set(func() {
		c.phone.lag = d
		if s := c.phone.socket; s != nil {
			s.Out().SetPath(memnet.Path{Latency: d})
			s.In().SetPath(memnet.Path{Latency: d})
		}
	}, false)
}
