package room

import (
	"sync"
	"sync/atomic"
	"time"

	"parlor"
)

// message is one entry of the mailbox: a function, or packets of a member.
type message struct {
	do      func()
	from    Member
	packets []parlor.Packet  // of the caller's, who lends them
	packet  [1]parlor.Packet // or else one of the message's own
}

// Packet asks the game for an answer to a member's packet. ErrBusy means that the mailbox is full; the
// member gets no answer then.
func (r *Room) Packet(p parlor.Packet, from Member) error {
	r.mu.Lock()
	if r.space(&r.packets, 1) == 0 {
		r.mu.Unlock()
		return ErrBusy
	}
	r.put(message{packet: [1]parlor.Packet{p}, from: from})
	return nil
}

// Packets is Packet for several of one member at once, which are answered in their order. As many are taken as
// there is room for, the first ones; ErrBusy means that it was not all of them. No copy is made: ps must not be
// changed before the last of those taken is answered. How much they hold is for the caller to bound.
func (r *Room) Packets(ps []parlor.Packet, from Member) (taken int, err error) {
	r.mu.Lock()
	taken = r.space(&r.packets, len(ps))
	if taken < len(ps) {
		err = ErrBusy
	}
	if taken == 0 {
		r.mu.Unlock()
		return 0, err
	}
	r.put(message{packets: ps[:taken], from: from})
	return taken, err
}

// space takes room for n packets or joins in the mailbox, or for as many as there is, and counts those that there
// is none for. The lock is held.
func (r *Room) space(waiting *atomic.Int64, n int) (taken int) {
	taken = max(0, min(n, r.cfg.Mailbox-int(waiting.Load())))
	waiting.Add(int64(taken))
	if taken < n {
		r.stats.Busy.Add(int64(n - taken))
	}
	return taken
}

func (r *Room) post(do func()) {
	r.mu.Lock()
	r.put(message{do: do})
}

// mailbox is what waits. An empty room has none.
type mailbox struct{ list []message }

// mailboxes are those that no room uses, with the space that they have grown.
var mailboxes = sync.Pool{New: func() any { return new(mailbox) }}

// put appends to the mailbox and wakes the goroutine. It is called with the lock held, and releases it.
func (r *Room) put(m message) {
	if r.mailbox == nil {
		r.mailbox = mailboxes.Get().(*mailbox)
	}
	r.mailbox.list = append(r.mailbox.list, m)
	wake := !r.awake
	r.awake = true
	r.mu.Unlock()
	if wake {
		r.cfg.Workers.run(r)
	}
}

// run is the room's goroutine.
func (r *Room) run() {
	for {
		r.mu.Lock()
		batch := r.mailbox
		r.mailbox = nil
		r.awake = batch != nil
		r.mu.Unlock()
		if batch == nil {
			return
		}
		behind := false // a message of packets
		for i := range batch.list {
			behind = r.handle(&batch.list[i], behind)
			batch.list[i] = message{}
		}
		batch.list = batch.list[:0]
		mailboxes.Put(batch)
		r.saveIfWanted()
		if r.durable != nil {
			r.durable.flush()
		}
	}
}

// handle works on a message, and tells whether it was one of packets. Behind one of these the time that a packet
// takes counts from the end of the one before, so that the clock is looked at once for each: that is a third of
// what a packet costs here.
func (r *Room) handle(m *message, behindPackets bool) (packets bool) {
	if m.do != nil {
		m.do()
		return false
	}
	if !behindPackets {
		r.hookEnd = time.Since(r.opened)
	}
	ps := m.packets
	if ps == nil {
		ps = m.packet[:]
	}
	if r.durable != nil {
		r.durable.packets(ps, m.from)
		return true
	}
	var s *seat
	for i := range ps {
		r.packets.Add(-1)
		p := &ps[i]
		if s == nil || s.member != m.from || s.user != p.Username {
			s = r.seatFor(p.Username, m.from)
		}
		if s == nil {
			m.from.Answer(parlor.Response{}, ErrClosed)
			continue
		}
		m.from.Answer(r.answer(s, p), nil)
	}
	return true
}

// answer hands a packet to the game. A response that disconnects takes the user out of the game and leaves
// the connection (section 8.3).
func (r *Room) answer(s *seat, p *parlor.Packet) parlor.Response {
	resp := r.ask(p)
	if resp.Disconnecting {
		resp.Disconnecting = false
		r.remove(s)
	}
	return resp
}

// ask has the game answer a packet.
func (r *Room) ask(p *parlor.Packet) parlor.Response {
	var resp parlor.Response
	if !r.guardFrom(r.hookEnd, "packet", func() { resp = r.dispatch(p) }) {
		resp = parlor.Bad("The game failed to handle the request.")
	}
	if err := resp.Payload.Err(); err != nil {
		r.logger.Error("a response of the game cannot be sent", "message", resp.Message, "err", err)
		resp = parlor.Bad("The game's answer could not be sent.")
	}
	return resp
}

// heartbeatsOnlyLook tells whether heartbeats change nothing of the game.
func (r *Room) heartbeatsOnlyLook() (look bool) {
	if l, ok := r.game.(parlor.HeartbeatLooker); ok {
		r.aside(func() { r.guard("heartbeats only look", func() { look = l.HeartbeatsOnlyLook() }) })
		return look
	}
	_, packets := r.game.(parlor.PacketHandler)
	_, heartbeats := r.game.(parlor.HeartbeatHandler)
	return !packets && !heartbeats
}

func (r *Room) dispatch(packet *parlor.Packet) parlor.Response {
	p := *packet
	if r.durable != nil { // what the journal does not have of it is not there when it is played again
		p = parlor.Packet{Message: p.Message, Payload: p.Payload, CreatedOn: p.CreatedOn, Username: p.Username}
	}
	if h, ok := r.game.(parlor.PacketHandler); ok {
		return h.HandlePacket(p)
	}
	if p.Message != parlor.RequestHeartbeat {
		return r.game.HandleGamePacket(p)
	}
	if h, ok := r.game.(parlor.HeartbeatHandler); ok {
		return h.HandleHeartbeat(p)
	}
	return parlor.UnhandledHeartbeat(r.game)
}
