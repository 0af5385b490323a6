package server_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"parlor"
	"parlor/server"
)

// dies kills a server whose commits were made.
func (a *ages) dies() {
	a.mortal.mu.Lock()
	a.mortal.dead = true
	a.mortal.mu.Unlock()
	a.end()
}

// nanny answers with what JSON has no form for, and Python's has.
type nanny struct{ *tally }

func (g nanny) HandleGamePacket(p parlor.Packet) parlor.Response {
	resp := g.tally.HandleGamePacket(p)
	resp.Payload = parlor.Encode(parlor.Map{"x": math.NaN(), "y": math.Inf(-1)})
	return resp
}

// TestSaveOfStrangeAnswers: a game is saved while a client may not have got an answer that JSON has no form for.
func TestSaveOfStrangeAnswers(t *testing.T) {
	games := map[string]parlor.NewGame{"counting": func(r parlor.Room, save string) (parlor.Game, error) {
		g, err := newTally(r, save)
		return nanny{g.(*tally)}, err
	}}
	inAges(t, server.Config{SaveEvery: 2, Games: games}, func(t *testing.T, a *ages) {
		c := a.stream("alice")
		c.payloads = true
		c.ask(parlor.RequestCreateGame)
		c.link.mu.Lock()
		c.link.dead = true
		c.link.mu.Unlock()
		c.askAll("one", "two")
		synctest.Wait()
		a.dies()
		a.begin(-1, false, nil)
		c.srv = a.srv
		c.connect(-1)
		c.ask("all")
		if c.resumed != 1 || len(c.got) != 4 || !strings.HasSuffix(c.got[2], ` {"x": NaN, "y": -Infinity}`) {
			t.Errorf("she hears %q", c.got)
		}
	})
}
