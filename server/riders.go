package server

import (
	"strconv"

	"parlor"
	"parlor/internal/pyjson"
)

// riders are pushes of a game that wants it (parlor.HeartbeatPusher) to a user on pgnet's wire, which has none: they ride on the
// answers to her heartbeats (docs/PROTOCOL.md, section 6.4). The session's mutex guards them.
type riders struct {
	game  string // that they are taken of; empty: none
	list  []*parlor.Push
	bytes int // of them
	lost  int // how many had no room since the last answer that took some
}

// The keys of a payload by which they ride.
const (
	keyPushes     = "parlor_pushes"
	keyPushesLost = "parlor_pushes_lost"
)

// board has pushes of a game wait that the user is about to join: the game may welcome her before it is known what it wants.
func (ss *session) board(game string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.alight()
	ss.riders.game = game
}

// stopRiding is for a user who has left, or whose game does not want it.
func (ss *session) stopRiding() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.alight()
}

// alight drops what waits. The lock is held.
func (ss *session) alight() {
	ss.srv.stats.PushesDropped.Add(int64(len(ss.riders.list)))
	ss.riders = riders{}
}

// ride has a push wait for a heartbeat. Beyond the limits the oldest are lost. The lock is held.
func (ss *session) ride(p *parlor.Push) {
	r, l := &ss.riders, &ss.srv.cfg.Limits
	if r.game == "" || r.game != p.Game {
		ss.srv.stats.PushesDropped.Add(1)
		return
	}
	r.list = append(r.list, p)
	r.bytes += sizeOfRider(p)
	for len(r.list) > 0 && (len(r.list) > l.HeartbeatPushes || r.bytes > l.HeartbeatPushBytes) {
		r.removeFirst()
		r.lost++
		ss.srv.stats.PushesLost.Add(1)
	}
}

func (r *riders) removeFirst() {
	r.bytes -= sizeOfRider(r.list[0])
	r.list[0] = nil
	if r.list = r.list[1:]; len(r.list) == 0 {
		r.list = nil
	}
}

func sizeOfRider(p *parlor.Push) int { return 64 + len(p.Message) + len(p.Payload.JSON()) }

// withRiders adds to the answer to a heartbeat what waits, as far as it fits. A payload that is no object, or has the key
// already, is left alone, and they wait for another.
func (ss *session) withRiders(resp parlor.Response) parlor.Response {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	r := &ss.riders
	if len(r.list) == 0 && r.lost == 0 || !resp.Payload.IsObject() {
		return resp
	}
	if _, has := resp.Payload.Get(keyPushes); has {
		return resp
	}
	b, err := resp.Payload.AppendPyJSON(nil)
	if err != nil {
		return resp
	}
	limit := ss.srv.cfg.Limits.ResponseSize - len(pyjson.AppendString(nil, resp.Message)) - 1024 // for the rest of the response
	if b = b[:len(b)-1]; len(b) > 1 {
		b = append(b, ", "...)
	}
	b = append(b, `"`+keyPushes+`": [`...)
	took := false
	for ; len(r.list) > 0; took = true {
		end := len(b)
		if took {
			b = append(b, ", "...)
		}
		if b = appendRider(b, r.list[0]); len(b) > limit {
			b = b[:end]
			break
		}
		r.removeFirst()
	}
	if !took && r.lost == 0 {
		return resp
	}
	b = append(b, ']')
	if r.lost > 0 {
		b = append(b, `, "`+keyPushesLost+`": `...)
		b = strconv.AppendInt(b, int64(r.lost), 10)
		r.lost = 0
	}
	resp.Payload = parlor.Encode(pythonText(append(b, '}')))
	return resp
}

func appendRider(b []byte, p *parlor.Push) []byte {
	b = append(b, `{"message": `...)
	b = pyjson.AppendString(b, p.Message)
	b = append(b, `, "payload": `...)
	b, _ = p.Payload.AppendPyJSON(b) // the room has seen to it that it can be
	b = append(b, `, "game": `...)
	return append(pyjson.AppendString(b, p.Game), '}')
}
