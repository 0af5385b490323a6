package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/server"
)

// town is a server with users on both kinds of wires, who do one thing after the other until it dies.
type town struct {
	*ages
	streams map[string]*streamClient
	carol   *guest
	admin   *guest

	lines map[string][]string // what was answered, by game
	in    map[string]string   // where users were told that they are
	moves map[string]bool     // users who have asked for something that changes that, and were not answered
}

func (tn *town) dead() bool {
	tn.mortal.mu.Lock()
	defer tn.mortal.mu.Unlock()
	return tn.mortal.dead
}

// die has no link carry anything more.
func (tn *town) die() {
	for _, c := range tn.streams {
		c.link.mu.Lock()
		c.link.dead = true
		c.link.mu.Unlock()
	}
}

// does has a user on a stream ask for something, and notes what is answered.
func (tn *town) does(user, message, name string) {
	tn.t.Helper()
	if tn.dead() {
		return
	}
	c := tn.streams[user]
	if c == nil {
		c = &streamClient{t: tn.t, name: user, srv: tn.srv}
		tn.streams[user] = c
		c.connect(-1)
		if tn.dead() {
			return
		}
	}
	text := strings.TrimSpace(message + " " + name)
	moves := name != "" || message == parlor.RequestLeaveGame
	tn.moves[user] = moves
	c.asked = append(c.asked, text)
	before := c.answered
	c.send(uint64(len(c.asked)), text)
	if c.answered > before {
		tn.heard(user, message, name, strings.SplitN(c.got[len(c.got)-1], " ", 2)[1])
	}
}

// heard notes an answer.
func (tn *town) heard(user, message, name, answer string) {
	tn.t.Helper()
	switch {
	case strings.HasPrefix(answer, "Created new game: "), strings.HasPrefix(answer, "Joined game: "):
		tn.in[user] = name
		if message == "create" {
			tn.lines[name] = nil
		}
	case strings.HasPrefix(answer, "Left game: "):
		delete(tn.in, user)
	case strings.Contains(answer, " with "):
		game := tn.in[user]
		tn.lines[game] = append(tn.lines[game], message)
	case strings.HasPrefix(answer, "push "):
		return
	default:
		tn.t.Errorf("%s asks %s %s, and hears %q", user, message, name, answer)
	}
	delete(tn.moves, user)
}

// asks is does for a client of pgnet's wire.
func (tn *town) asks(g **guest, user, message, name string) {
	tn.t.Helper()
	if tn.dead() {
		return
	}
	if *g == nil {
		*g = dial(tn.t, tn.srv)
		password := "pw"
		if user == "admin" {
			password = "secret"
		}
		r := (*g).tryLogin(user, password)
		if tn.dead() {
			return
		}
		(*g).wantOK(r, "Authenticated.")
	}
	tn.moves[user] = true
	payload := parlor.Map{"name": name}
	if message == parlor.RequestDeleteUser {
		payload = parlor.Map{"username": name}
	}
	if message == parlor.RequestLeaveGame || !strings.HasPrefix(message, "__") {
		payload = nil
	}
	r := (*g).ask(message, payload)
	if tn.dead() { // what it says then does not leave the process
		return
	}
	switch message {
	case parlor.RequestDestroyGame:
		if r.Status == parlor.StatusOK {
			delete(tn.lines, name)
			for user, game := range tn.in {
				if game == name {
					delete(tn.in, user)
				}
			}
		}
		return
	case parlor.RequestDeleteUser:
		return
	}
	tn.heard(user, message, name, r.Message)
}

// live is what happens until the death.
func (tn *town) live() {
	const create, join, leave = "create", "join", parlor.RequestLeaveGame
	tn.does("alice", create, "one")
	tn.does("bob", join, "one")
	tn.asks(&tn.carol, "carol", parlor.RequestJoinGame, "one")
	tn.does("alice", "a1", "")
	tn.does("bob", "b1", "")
	tn.asks(&tn.carol, "carol", "c1", "")
	tn.does("bob", leave, "")
	tn.does("bob", create, "two")
	tn.does("bob", "b2", "")
	tn.does("alice", leave, "")
	tn.does("alice", join, "two")
	tn.does("alice", "a2", "")
	tn.does("dave", "create plain", "three")
	tn.back("bob")
	tn.does("bob", "b3", "")
	tn.reclaim("bob")
	tn.does("bob", "b4", "")
	tn.asks(&tn.carol, "carol", parlor.RequestLeaveGame, "")
	if !tn.dead() { // it has ended with her
		delete(tn.lines, "one")
	}
	tn.does("alice", leave, "")
	tn.does("alice", create, "one")
	tn.does("alice", "a3", "")
	tn.asks(&tn.admin, "admin", parlor.RequestDestroyGame, "two")
	tn.does("bob", create, "two")
	tn.does("bob", "b5", "")
	tn.does("dave", leave, "")
	tn.does("dave", join, "two")
	tn.does("dave", "d1", "")
	tn.asks(&tn.admin, "admin", parlor.RequestDeleteUser, "dave")
	tn.back("alice")
	tn.does("alice", "a4", "")
}

// back has a user's link cut, and her client resume.
func (tn *town) back(user string) {
	if c := tn.streams[user]; !tn.dead() {
		c.cut()
		if !tn.dead() {
			c.connect(-1)
		}
	}
}

// reclaim has another client of a user take her seat.
func (tn *town) reclaim(user string) {
	if c := tn.streams[user]; !tn.dead() {
		c.cut()
		*c = streamClient{t: c.t, name: c.name, srv: c.srv, link: c.link}
		if !tn.dead() {
			c.connect(-1)
		}
	}
}

// TestCrashAtEveryCommit: whatever users on both kinds of wires were about when the server died, what was answered is there, nothing is there twice, who
// was told that she is in a game can resume, and in the end nothing is left in the store.
func TestCrashAtEveryCommit(t *testing.T) {
	for at, died := 0, true; died; at++ {
		for _, lands := range []bool{false, true} {
			t.Run(fmt.Sprint(at, " lands ", lands), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { died = testCrash(t, at, lands) })
			})
		}
		if at > 200 {
			t.Fatal("it never ends")
		}
	}
}

func testCrash(t *testing.T, at int, lands bool) (died bool) {
	a := &ages{t: t, cfg: server.Config{SaveEvery: 3, DefaultKind: "counting", Games: map[string]parlor.NewGame{
		"counting": newTally, "plain": func(r parlor.Room, _ string) (parlor.Game, error) { return &counting{room: r, quiet: true}, nil },
	}}}
	a.begin(-1, false, nil) // which stores the administrator's password
	a.end()
	tn := &town{ages: a, streams: make(map[string]*streamClient), lines: make(map[string][]string), in: make(map[string]string), moves: make(map[string]bool)}
	a.begin(at, lands, tn.die)
	tn.live()
	died = tn.dead()
	a.end()
	for _, g := range []*guest{tn.carol, tn.admin} {
		if g != nil {
			g.close()
		}
	}
	a.begin(-1, false, nil)
	defer a.end()
	for _, user := range []string{"alice", "bob", "dave"} {
		c := tn.streams[user]
		if c == nil {
			continue
		}
		c.srv = a.srv
		asked := c.asked
		told, durable := len(c.got), tn.in[user] != "" && tn.in[user] != "three" && !tn.moves[user]
		if tn.moves["admin"] { // who was about to destroy her game, or to delete her
			durable = false
		}
		c.loses = true
		resumed := c.resumed
		if c.connect(-1); c.link.welcome == nil {
			if user != "dave" {
				t.Errorf("%s cannot log in", user)
			}
			delete(tn.streams, user)
			continue
		}
		if c.resumed == resumed {
			if durable && asked != nil {
				t.Errorf("%s is in %q, and was not resumed", user, tn.in[user])
			}
			continue
		}
		for _, text := range c.got[told:] {
			if strings.Contains(text, " with ") || strings.Contains(text, "ed game: ") || strings.HasPrefix(text, "push ") ||
				strings.Contains(text, "Left game") || strings.Contains(text, "Created new game") || strings.Contains(text, "Not in game") || strings.Contains(text, "Please create") ||
				strings.Contains(text, "Must leave") || strings.Contains(text, "already exists") {
				continue
			}
			t.Errorf("%s hears %q", user, text)
		}
	}
	looker := dial(t, a.srv)
	looker.wantOK(looker.tryLogin("admin", "secret"), "Authenticated.")
	dir := looker.ask(parlor.RequestGameDir, nil)
	for game, lines := range tn.lines {
		if game == "three" {
			continue
		}
		if !strings.Contains(string(dir.Payload.JSON()), fmt.Sprintf(`"%s": {`, game)) {
			if !tn.moves["admin"] && !tn.moves["carol"] && !tn.someoneLeaves() {
				t.Errorf("the game %q is gone: %s", game, dir.Payload.JSON())
			}
			continue
		}
		looker.wantOK(looker.ask(parlor.RequestJoinGame, parlor.Map{"name": game}), "Joined game: '"+game+"'.")
		all := strings.Split(looker.ask("all", nil).Message, ",")
		for _, line := range lines {
			if !slices.Contains(all, line) && !tn.moves["admin"] {
				t.Errorf("the game %q has %q, and not %q", game, all, line)
			}
		}
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("the game %q has something twice: %q", game, all)
		}
		looker.ask(parlor.RequestLeaveGame, nil)
	}
	looker.close()
	for _, c := range tn.streams {
		c.cut()
	}
	pass(3 * time.Minute)
	if games, _ := a.memory.Games(t.Context()); len(games) != 0 {
		t.Errorf("in the end there are %v", games)
	}
	if sessions, _ := a.memory.Sessions(t.Context()); len(sessions) != 0 {
		t.Errorf("in the end there are %v", sessions)
	}
	if n, tokens := a.srv.Users(), a.srv.Tokens(); n != 0 || tokens != 0 {
		t.Errorf("in the end there are %d users and %d tokens", n, tokens)
	}
	return died
}

func (tn *town) someoneLeaves() bool {
	for user := range tn.moves {
		if tn.moves[user] {
			return true
		}
	}
	return false
}
