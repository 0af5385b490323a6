package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/client"
)

// news prints what happens beside the answers. Its functions are called one after another, by the client.
type news struct {
	*console
	started bool // a session has begun
	anew    bool // another one, since the link was lost
	game    string
	tried   time.Time // when a try to reconnect was shown last
	beat    string    // the last heartbeat
	drains  bool      // the server has said that it stops, and the link has not ended since

	subscribed atomic.Bool // to the directory

	stopping atomic.Bool   // the server is about to end, as the user here has asked
	up       atomic.Bool   // there is a link
	lost     chan struct{} // has a token when a link has ended
}

func newNews(c *console) *news {
	n := &news{console: c, lost: make(chan struct{}, 1)}
	n.up.Store(true)
	return n
}

// tryEvery is how often a try to reconnect is shown, behind the first one.
const tryEvery = 30 * time.Second

func (n *news) status(text string) {
	if strings.HasPrefix(text, "Reconnecting to ") {
		if n.stopping.Load() || time.Since(n.tried) < tryEvery {
			return
		}
		n.tried = time.Now()
	}
	if n.drains && text == "Connection lost: "+client.ReasonClosed {
		n.drains, text = false, text+" The server has stopped, as it said."
	}
	n.tell("STATUS", text)
}

func (n *news) connection(connected bool) {
	n.tell("CONNECTION", pythonBool(connected))
	n.anew = connected && n.started
	n.started = true
}

// link is told behind what a new link has brought.
func (n *news) link(up bool) {
	n.up.Store(up)
	n.tried = time.Time{}
	switch {
	case !up:
		select {
		case n.lost <- struct{}{}:
		default:
		}
	case n.anew:
		text := "lost: a new one was begun; you are in no game"
		if n.game != "" {
			text = "lost: a new one was begun; you are in the game " + n.game
		}
		if n.subscribed.Swap(false) {
			text += ", and not subscribed to the directory any more"
		}
		n.tell("SESSION", text)
	}
	n.anew = false
}

// expectEnd is called before a request that ends the server is sent, and before all others.
func (n *news) expectEnd(ends bool) {
	select {
	case <-n.lost: // of a link that is back
	default:
	}
	n.stopping.Store(ends)
}

func (n *news) joined(game string) {
	n.game = game
	n.tell("GAME", orNone(game))
}

// maxNews is how many bytes of a push or a heartbeat are printed.
const maxNews = 4000

// push prints what the game says by itself, or the lobby.
func (n *news) push(p *parlor.Push) {
	n.drains = n.drains || p.Game == "" && p.Message == parlor.PushDraining
	from := "PUSH"
	if p.Game == "" {
		from = "LOBBY"
	}
	n.tell(from, cut(said(p.Message, p.Payload), maxNews))
}

// noteSubscription is called with the answers to requests.
func (n *news) noteSubscription(message string, status parlor.Status) {
	if status != parlor.StatusOK {
		return
	}
	switch message {
	case parlor.RequestSubscribe:
		n.subscribed.Store(true)
	case parlor.RequestUnsubscribe:
		n.subscribed.Store(false)
	}
}

func (n *news) pushesLost(count int) {
	n.tell("LOST", fmt.Sprintf("pushes may be lost, %d or more, as more waited than are kept, or the server was started again: ask the game how it stands", count))
}

// heartbeat prints answers that are not as the one before.
func (n *news) heartbeat(beat parlor.Response) {
	if text := said(beat.Message, beat.Payload); text != n.beat {
		n.beat = text
		n.tell("HEARTBEAT", cut(text, maxNews))
	}
}

func said(message string, payload parlor.Payload) string { return message + " " + payload.String() }

// unanswered tells what became of a request that has no answer though the user is connected, as its session was lost.
func (n *news) unanswered(message string, uncertain bool) {
	if uncertain {
		n.tell("NO ANSWER", message+": the session was lost meanwhile, and nobody knows whether it was carried out: look before you send it again")
		return
	}
	n.tell("NOT SENT", message+": the session was lost before")
}

// config has the client tell the news.
func (n *news) config(cfg *client.Config, o connectOptions) {
	cfg.OnStatus, cfg.OnConnection, cfg.OnLink, cfg.OnGame = n.status, n.connection, n.link, n.joined
	if o.pushes {
		cfg.OnPush, cfg.OnLost = n.push, n.pushesLost
	}
	if o.heartbeats { // or the server is not asked for them, where it pushes
		cfg.OnHeartbeat = n.heartbeat
	}
}
