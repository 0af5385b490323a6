package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/crash/program/game"
)

// underWay is how many moves a player has under way, where the wire lets her.
const underWay = 4

// player goes from game to game and makes moves, whatever becomes of the servers. Her client resumes its session by itself,
// where the wire can.
type player struct {
	world *world
	wire  int
	name  string
	rand  *rand.Rand
	count *counts

	lastID uint64        // of her moves
	slots  chan struct{} // one for each move that is under way

	seated  atomic.Bool // in a durable game, which outlives servers: so must her session
	session atomic.Int64

	mu   sync.Mutex      // guards what follows
	seen map[string]seen // the last that she was told of each game
	must bool            // her link has ended while she was seated
}

func newPlayer(w *world, wire int, name string) *player {
	p := &player{
		world: w, wire: wire, name: name, rand: w.rand(name), count: &w.counts[wire],
		slots: make(chan struct{}, underWay), seen: make(map[string]seen),
	}
	if wire == pgnet {
		p.slots = make(chan struct{}, 1)
	}
	return p
}

// run plays until the players are to leave.
func (p *player) run() {
	came := sync.OnceFunc(func() { p.world.absent.Add(-1) })
	for !p.world.over() {
		cfg, address := p.world.config(p.world.host, p.wire, p.name)
		cfg.OnPush, cfg.OnLost = p.pushed, func(n int) { p.count.lost.Add(int64(n)) }
		cfg.OnLink, cfg.OnConnection = p.link, p.connection
		if p.wire == pgnet {
			cfg.OnHeartbeat = p.beat
		}
		c, err := client.New(address, cfg)
		if err != nil {
			p.world.wrong(err)
			return
		}
		if err = c.Connect(p.world.ctx); err == nil {
			came()
			p.play(c)
		}
		c.Close()
		c.Wait()
		switch text := refusal(err); {
		case text == "":
		case text == "Username already connected.", text == textBlocked: // until the server notices, or the clerk opens it
		case strings.Contains(text, "could not"):
			p.count.refused.Add(1)
		default:
			p.world.wrong(fmt.Errorf("%s may not log in: %s", p.name, text))
		}
		p.world.pause(20 * time.Millisecond)
	}
}

// play goes from game to game until the client is disconnected, or the players are to leave.
func (p *player) play(c *client.Client) {
	stopped := context.AfterFunc(p.world.ctx, c.Disconnect)
	defer stopped()
	for c.Connected() && !p.world.over() {
		r := p.world.rooms[p.rand.IntN(len(p.world.rooms))]
		session := p.session.Load()
		err := c.JoinGame(p.world.ctx, r.name, client.GameOptions{Kind: r.kind})
		if text := refusal(err); text == "Must leave game first." { // the answer to her leave was lost
			_ = c.LeaveGame(p.world.ctx) // or the next time
			continue
		}
		if err != nil {
			p.refusedOrLost(err, "join "+r.name)
			continue
		}
		p.seated.Store(r.kind != game.Kept && p.session.Load() == session)
		for range 10 + p.rand.IntN(80) {
			if !p.world.pause(time.Duration(p.rand.IntN(int(60*time.Millisecond)))) || p.world.over() || p.session.Load() != session || !c.Connected() {
				break
			}
			p.move(c, r.name)
		}
		p.settle()
		p.seated.Store(false)
		if err := c.LeaveGame(p.world.ctx); err != nil {
			p.refusedOrLost(err, "leave "+r.name)
		}
	}
}

// refusedOrLost looks at why there was no yes to a request.
func (p *player) refusedOrLost(err error, what string) {
	switch text := refusal(err); {
	case strings.Contains(text, "could not"):
		p.count.refused.Add(1)
		p.world.pause(10 * time.Millisecond)
	case text == "", text == "Not in game.":
		p.world.pause(10 * time.Millisecond)
	default:
		p.world.wrong(fmt.Errorf("%s: %s: %s", p.name, what, text))
	}
}

// move makes a move, when there are not too many under way.
func (p *player) move(c *client.Client, room string) {
	select {
	case p.slots <- struct{}{}:
	case <-p.world.ctx.Done():
		return
	}
	p.lastID++
	id, life := p.lastID, p.world.life.Load()
	p.world.ledger.Sent(room, p.name, id)
	err := c.Send(parlor.Packet{Message: game.Move, Payload: parlor.Encode(parlor.Map{"ID": id})}, func(resp parlor.Response, err error) {
		defer func() { <-p.slots }()
		switch {
		case err != nil, resp.Message == textUnknown:
			p.count.unknown.Add(1)
			return
		case resp.Status != parlor.StatusOK:
			p.count.refused.Add(1)
			p.world.ledger.Refused(p.name, id)
			return
		}
		var place game.Place
		if err := resp.Payload.Bind(&place); err != nil {
			p.world.wrong(err)
			return
		}
		if p.world.life.Load() != life {
			p.count.resent.Add(1)
		}
		p.see(room, place, fmt.Sprintf("the answer to move %d", id))
		p.world.wrong(p.world.ledger.Answered(room, p.name, id, place))
		p.count.moves.Add(1)
	})
	if err != nil { // it was not sent
		<-p.slots
		p.world.ledger.Refused(p.name, id)
	}
}

// settle waits until no move is under way.
func (p *player) settle() {
	for range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-p.world.ctx.Done():
			return
		}
	}
}

// see looks whether the places in a game that she is told of are in order. What tells of an event is the only one to tell her; it
// is empty if it is the answer to a heartbeat.
func (p *player) see(room string, place game.Place, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.seen[room]
	p.seen[room] = seen{place, what}
	if last.Run == place.Run && (place.N < last.N || what != "" && place.N == last.N) {
		p.world.wrong(fmt.Errorf("%s was told by %s of event %d of game %s, when %s had told her of %d", p.name, what, place.N, room, last.what, last.N))
	}
}

// seen is what a player was told last.
type seen struct {
	game.Place
	what string
}

// pushed takes the news of a game.
func (p *player) pushed(push *parlor.Push) {
	if push.Message != game.News {
		return
	}
	p.count.pushes.Add(1)
	var place game.Place
	if err := push.Payload.Bind(&place); err != nil {
		p.world.wrong(err)
		return
	}
	p.see(push.Game, place, "a push")
	p.world.wrong(p.world.ledger.Told(push.Game, p.name, place))
}

// beat takes what the answer to a heartbeat brings: on pgnet's wire.
func (p *player) beat(resp parlor.Response) {
	if resp.Status != parlor.StatusOK {
		return
	}
	var beat struct {
		game.Beat
		Pushes []struct {
			Payload parlor.Payload `json:"payload"`
			Game    string         `json:"game"`
		} `json:"parlor_pushes"`
		Lost int `json:"parlor_pushes_lost"`
	}
	if err := resp.Payload.Bind(&beat); err != nil {
		p.world.wrong(err)
		return
	}
	p.count.lost.Add(int64(beat.Lost))
	for _, push := range beat.Pushes {
		p.count.pushes.Add(1)
		var place game.Place
		if err := push.Payload.Bind(&place); err != nil {
			p.world.wrong(err)
			return
		}
		// They come later than the answers to moves that were made meanwhile: not in their order.
		p.world.wrong(p.world.ledger.Told(push.Game, p.name, place))
	}
	if beat.Room != "" {
		p.see(beat.Room, beat.Place, "")
		p.world.wrong(p.world.ledger.Told(beat.Room, p.name, beat.Place))
	}
}

// link is told that the link of her session has ended, or that there is another one.
func (p *player) link(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !up {
		p.must = p.seated.Load()
		return
	}
	if p.must {
		p.count.resumed.Add(1)
	}
	p.must = false
}

// connection is told that a session has begun or ended.
func (p *player) connection(up bool) {
	if up {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session.Add(1)
	p.seated.Store(false)
	if p.must && !p.world.over() {
		p.world.wrong(fmt.Errorf("%s had a seat in a durable game, but her session is lost", p.name))
	}
	p.must = false
	p.count.sessions.Add(1)
}
