package server_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/link"
	"parlor/server"
)

// plainLink is a link of pgnet's wire: nobody resumes on it.
type plainLink struct{ l *streamLink }

func (p plainLink) Peer() link.Peer                     { return p.l.Peer() }
func (p plainLink) Send(r parlor.Response) error        { return p.l.Send(r) }
func (p plainLink) Close(code link.Code, reason string) { p.l.Close(code, reason) }

// TestChance has users of two wires log in, play, be cut off and resume by chance, while an administrator deletes them, gives their names
// new passwords and destroys their games, the store has moods, and the server restarts. Nobody is let in by a password or a token that
// is not good any more, no move that was answered is missing or there twice, and at the end nothing is left behind.
func TestChance(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testChance(t, seed) })
	}
}

const (
	chanceSteps   = 60
	chancePlayers = 3
)

// chance plays them all.
type chance struct {
	t *testing.T
	a *ages
	r *rand.Rand

	accounts [chancePlayers]account
	visits   []*visit // sessions that may be resumed, if they are still there
	callers  []*caller
	admin    *caller
	games    []string // that somebody has wanted to make
	moves    int
	answered map[string][]string // moves, by the games' own names
	making   atomic.Int64        // nanoseconds that a game takes to be made
	happened []string            // to be told of a failure
}

// account is whoever has a name just now.
type account struct {
	number   int    // of those who have had it
	password string // which is good, if it is known
}

// visit is a session, as its client knows it.
type visit struct {
	who     int // of the accounts
	account int // whose it is
	offer   link.Offer
	asked   []parlor.Packet // by id, from 1
	over    bool            // as somebody else gave her name a new password
}

func (v *visit) name() string { return fmt.Sprint("player", v.who) }

// caller is a client's link.
type caller struct {
	*visit
	link     *streamLink
	plain    bool
	password string
	account  int // whose name it was when she called
	welcomed bool
	heard    string // of plain ones: the last answer
	then     map[uint64]func(parlor.Response)
}

func testChance(t *testing.T, seed uint64) {
	c := &chance{t: t, r: rand.New(rand.NewPCG(seed, 0)), answered: map[string][]string{}}
	games := map[string]parlor.NewGame{"counting": func(room parlor.Room, save string) (parlor.Game, error) {
		time.Sleep(time.Duration(c.making.Load())) // sleep: virtual time, in a bubble of synctest
		g, err := newTally(room, save)
		if err != nil {
			return nil, err
		}
		return named{g.(*tally)}, nil
	}}
	cfg := server.Config{Games: games, Takeover: c.r.IntN(2) == 0, SaveEvery: 1 + c.r.IntN(5)}
	cfg.Limits.RegistrationsPerSecond, cfg.Limits.FailuresPerSecond = -1, -1
	inMoods(t, cfg, func(t *testing.T, a *ages) {
		c.t, c.a = t, a
		c.enterAdmin()
		for range chanceSteps {
			c.step()
			switch {
			case c.r.IntN(3) > 0:
				pass(time.Duration(c.r.IntN(3000)) * time.Millisecond)
			case c.r.IntN(8) == 0:
				pass(30 * time.Second)
			}
			c.listen()
		}
		c.end()
	})
}

// step is one thing that happens.
func (c *chance) step() {
	switch k := c.r.IntN(20); {
	case k < 3:
		who := c.r.IntN(chancePlayers)
		c.call(&visit{who: who, account: c.accounts[who].number}, c.accounts[who].password, c.r.IntN(3) == 0)
	case k < 6 && len(c.visits) > 0:
		v := c.visits[len(c.visits)-1-c.r.IntN(min(len(c.visits), 6))]
		if c.r.IntN(4) == 0 { // or somebody who knows her token, and nothing newer
			stale := *v
			c.visits, v = append(c.visits, &stale), &stale
		}
		c.call(v, "a guess", false)
	case k < 8 && len(c.callers) > 0:
		i := c.r.IntN(len(c.callers))
		c.note("%s is cut off", c.callers[i].name())
		c.callers[i].link.end(c.r.IntN(3) == 0)
		c.callers = slices.Delete(c.callers, i, i+1)
	case k < 13 && len(c.callers) > 0:
		caller := c.callers[c.r.IntN(len(c.callers))]
		for range 1 + c.r.IntN(5) {
			c.play(caller)
		}
	case k == 13:
		c.deleteUser(c.r.IntN(chancePlayers))
	case k == 14:
		c.setPassword(c.r.IntN(chancePlayers))
	case k == 15 && len(c.games) > 0:
		c.note("%s is to be destroyed", c.lastGame())
		c.admin.ask(parlor.RequestDestroyGame, parlor.Map{"name": c.lastGame()}, nil)
	case k < 18:
		c.setMood(max(0, c.r.IntN(10)-3))
	case k == 18 && c.r.IntN(3) == 0:
		c.restart()
	}
}

func (c *chance) note(format string, args ...any) {
	c.happened = append(c.happened, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

func (c *chance) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(c.happened, "\n"))
}

func (c *chance) lastGame() string {
	return c.games[len(c.games)-1-c.r.IntN(min(len(c.games), 2))]
}

func (c *chance) enterAdmin() {
	c.admin = c.open(parlor.AdminName, &visit{}, "secret", false)
	synctest.Wait()
}

// call has a player log in, or resume if the visit has a token.
func (c *chance) call(v *visit, password string, plain bool) {
	if password == "" {
		password = "pw"
	}
	c.note("%s calls with %q, plain: %t, token: %.4x", v.name(), password, plain, v.offer.Token)
	if caller := c.open(v.name(), v, password, plain); caller != nil {
		caller.account = c.accounts[v.who].number
		c.callers = append(c.callers, caller)
	}
}

// open is nil if the server takes no links.
func (c *chance) open(name string, v *visit, password string, plain bool) *caller {
	l := &streamLink{key: name, takes: -1, offer: v.offer}
	caller := &caller{visit: v, link: l, plain: plain, password: password, then: map[uint64]func(parlor.Response){}}
	var end link.Link = l
	if plain {
		end = plainLink{l}
	}
	var err error
	if l.session, err = c.a.srv.Open(end); err != nil {
		return nil
	}
	_ = l.session.Receive(parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": name, "password": password})})
	return caller
}

// ask sends a request, if she is in. then is called with the answer.
func (c *caller) ask(message string, payload parlor.Map, then func(parlor.Response)) {
	p := parlor.Packet{Message: message, Payload: parlor.Encode(payload)}
	if c.plain {
		_ = c.link.session.Receive(p)
		return
	}
	c.link.mu.Lock()
	in := c.link.welcome != nil
	c.link.mu.Unlock()
	if !in {
		return
	}
	c.asked = append(c.asked, p)
	if then != nil {
		c.then[uint64(len(c.asked))] = then
	}
	c.send(uint64(len(c.asked)))
}

func (c *caller) send(id uint64) {
	p := c.asked[id-1]
	_ = c.link.session.Request(&link.Envelope{Kind: link.KindRequest, Ack: c.offer.Seq, ID: id, Message: p.Message, Payload: p.Payload})
}

// play has a player ask for something.
func (c *chance) play(caller *caller) {
	message, payload := "", parlor.Map{}
	var then func(parlor.Response)
	switch k := c.r.IntN(20); {
	case k < 2 || len(c.games) == 0:
		c.games = append(c.games, fmt.Sprint("game", len(c.games)))
		message, payload = parlor.RequestCreateGame, parlor.Map{"name": c.games[len(c.games)-1]}
	case k < 6:
		message, payload = parlor.RequestJoinGame, parlor.Map{"name": c.lastGame()}
	case k == 6:
		message = parlor.RequestLeaveGame
	case k == 7:
		message = parlor.RequestSubscribe
	case k < 12:
		message, then = "all", c.compare(maps.Clone(c.answered))
	default:
		c.moves++
		message = fmt.Sprint("move", c.moves)
	}
	c.note("%s asks for %s %v", caller.name(), message, payload)
	caller.ask(message, payload, then)
}

// compare has a look at all moves that a game has seen. Those that were answered before it was asked are there, and none is twice.
func (c *chance) compare(answered map[string][]string) func(parlor.Response) {
	return func(r parlor.Response) {
		if !strings.HasPrefix(r.Message, ownName) {
			return
		}
		lines := strings.Split(r.Message, ",")
		times := map[string]int{}
		for _, line := range lines {
			if times[line]++; times[line] > 1 && strings.HasPrefix(line, "move") {
				c.fatalf("%s is twice in %s: %s", line, r.Game, r.Message)
			}
		}
		for _, move := range answered[lines[0]] {
			if times[move] == 0 {
				c.fatalf("%s was answered and is not in %s: %s", move, r.Game, r.Message)
			}
		}
	}
}

// named is a tally whose first line is a name of its own, as there may be several games of one name, one behind the other.
type named struct{ *tally }

const ownName = "the game "

func (g named) HandleGamePacket(p parlor.Packet) parlor.Response {
	if len(g.lines) == 0 {
		g.lines = append(g.lines, fmt.Sprint(ownName, g.room.Rand().Uint64()))
	}
	r := g.tally.HandleGamePacket(p)
	if p.Message != "all" {
		r.Message = "answered: " + g.lines[0] + "," + r.Message
	}
	return r
}

func (c *chance) deleteUser(who int) {
	name := (&visit{who: who}).name()
	c.note("%s is to be deleted", name)
	c.accounts[who].password = ""
	c.admin.ask(parlor.RequestDeleteUser, parlor.Map{"username": name}, func(r parlor.Response) {
		if r.Message == "Requested delete user '"+name+"'" {
			c.accounts[who] = account{number: c.accounts[who].number + 1}
		}
	})
}

func (c *chance) setPassword(who int) {
	name := (&visit{who: who}).name()
	password := fmt.Sprint("password", len(c.happened))
	message, done := parlor.RequestSetPassword, "Changed password of '"+name+"'."
	if c.r.IntN(2) == 0 {
		message, done = parlor.RequestCreateUser, "Created user: '"+name+"'."
	}
	c.note("%s is to have %q, by %s", name, password, message)
	c.admin.ask(message, parlor.Map{"username": name, "password": password}, func(r parlor.Response) {
		switch r.Message {
		case done:
			c.accounts[who].password = password
			for _, v := range c.visits {
				v.over = v.over || v.who == who
			}
		case "The server does not know whether this was saved. Look before you try again.":
			c.accounts[who].password = ""
		}
	})
}

// setMood gives the store one of its moods; 0 is none.
func (c *chance) setMood(mood int) {
	c.note("the store is in mood %d", mood)
	m := c.a.moody
	m.mood(func() {
		m.takes, m.gone, m.full, m.unsure, m.hangs = 0, nil, nil, 0, false
		switch mood {
		case 1:
			m.takes = 200 * time.Millisecond
		case 2:
			m.gone = errAway
		case 3:
			m.full = errDisk
		case 4:
			m.unsure = 1
		case 5:
			m.unsure = -1
		case 6:
			m.hangs = true
		}
	})
}

// restart ends the server, in half of the cases one whose store has gone, and starts the next one on what is stored.
func (c *chance) restart() {
	c.listen()
	making := []time.Duration{0, 0, time.Second, 20 * time.Second}[c.r.IntN(4)]
	c.making.Store(int64(making)) // a server that is there may just be making one
	c.note("restart; a game takes %v to be made", making)
	if c.r.IntN(2) == 0 {
		c.setMood(2)
	}
	began := time.Now()
	c.a.end()
	if took := time.Since(began); took > time.Minute {
		c.fatalf("the end took %v", took)
	}
	c.hangUp()
	pass(30 * time.Second)
	if n := c.a.srv.Users(); n > 0 {
		c.fatalf("behind the end there are %d users", n)
	}
	c.setMood(0)
	c.a.begin(-1, false, nil)
	c.enterAdmin()
}

// hangUp ends all links.
func (c *chance) hangUp() {
	for _, caller := range append(c.callers, c.admin) {
		go caller.link.end(true) // ends at once
	}
	c.callers = nil
}

// listen takes what has come on all links. No time passes before all of it is taken: what has become of accounts would not have gone first.
func (c *chance) listen() {
	synctest.Wait()
	var strangers []*caller
	for _, caller := range append([]*caller{c.admin}, c.callers...) { // what has become of accounts goes first
		l := caller.link
		l.mu.Lock()
		messages, welcome, answer := l.messages, l.welcome, l.answer.Message
		l.messages = nil
		l.mu.Unlock()
		if caller.plain {
			if answer != caller.heard {
				caller.heard = answer
				c.note("%s hears %s", caller.name(), answer)
			}
			continue
		}
		if welcome != nil && !caller.welcomed {
			caller.welcomed = true
			if !c.welcomed(caller, *welcome) {
				strangers = append(strangers, caller)
			}
		}
		for _, m := range messages {
			caller.offer.Seq = m.Seq
			if m.Response == nil {
				continue
			}
			caller.offer.ID = m.ID
			if caller != c.admin {
				c.note("%s hears %d %s", caller.name(), m.ID, m.Response.Message)
			}
			if _, rest, answered := strings.Cut(m.Response.Message, "answered: "); answered {
				name, move, _ := strings.Cut(rest, ",")
				move, _, _ = strings.Cut(move, " ")
				c.answered[name] = append(c.answered[name], move)
			}
			if then := caller.then[m.ID]; then != nil {
				then(*m.Response)
			}
		}
	}
	for _, caller := range c.callers {
		if caller.welcomed && caller.visit.over {
			strangers = append(strangers, caller)
		}
	}
	if len(strangers) > 0 { // out again soon, as a new password does to who came by the old one just before; who was deleted has Limits.DeleteWait
		pass(2 * time.Second)
	}
	for _, caller := range strangers {
		if !caller.link.over() {
			c.fatalf("%s is in with %q, or the token %.4x, which is not good", caller.name(), caller.password, caller.offer.Token)
		}
	}
	c.callers = slices.DeleteFunc(c.callers, func(caller *caller) bool { return caller.link.over() })
}

// welcomed looks whether she may be in, and sends again what the server does not have. It is false if her password is known not to be good.
func (c *chance) welcomed(caller *caller, w link.Welcome) (good bool) {
	if caller == c.admin {
		return true
	}
	c.note("%s is in, resumed: %t, token: %.4x", caller.name(), w.Resumed, w.Token)
	if w.Resumed {
		caller.offer.Token = w.Token
		if caller.visit.account != caller.account {
			c.fatalf("a token of the account %d of %s is good for the account %d", caller.visit.account, caller.name(), caller.account)
		}
		for id := w.ID + 1; id <= uint64(len(caller.asked)); id++ {
			caller.send(id)
		}
		return true
	}
	fresh := &visit{who: caller.who, account: c.accounts[caller.who].number, offer: link.Offer{Token: w.Token}}
	caller.visit = fresh
	c.visits = append(c.visits, fresh)
	password := c.accounts[caller.who].password
	if password != "" && password != caller.password {
		c.note("good is %q", password)
		return false
	}
	return true
}

// over tells whether the server has closed the link.
func (l *streamLink) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.closed) > 0 || l.aborted
}

// end has everybody go, and looks whether anything is left.
func (c *chance) end() {
	c.setMood(0)
	pass(30 * time.Second)
	c.listen()
	c.hangUp()
	pass(3 * time.Minute)
	srv, memory := c.a.srv, &c.a.memory
	if _, err := srv.CreateInvite(""); err != nil { // rows of sessions that have ended go with the next commit
		c.t.Fatal(err)
	}
	if users, tokens := srv.Users(), srv.Tokens(); users != 0 || tokens != 0 {
		c.fatalf("left are %d users and %d tokens", users, tokens)
	}
	ctx := c.t.Context()
	stored, err := memory.CountUsers(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if known, rest := srv.Accounts(); known != stored || rest != "" {
		c.fatalf("the server knows %d users, of %d; left: %s", known, stored, rest)
	}
	sessions, err := memory.Sessions(ctx)
	if err != nil || len(sessions) > 0 {
		c.fatalf("stored sessions: %v, %v", sessions, err)
	}
	games, err := memory.Games(ctx)
	if err != nil || len(games) > 0 {
		c.fatalf("stored games: %v, %v", games, err)
	}
}
