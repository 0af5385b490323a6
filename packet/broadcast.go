package packet

import (
	"errors"
	"fmt"
	"iter"
)

// Broadcast sends a packet to several connections, encoded and compressed once. It does not block, and does for each
// of them what [Conn.Send] does; where hooks, events or the connection type want to see packets, each is encoded
// for itself. Who has ended or ends, for not reading too, is still in its handshake, or has a state or mode in which
// the packet is not valid, is passed over. What went wrong else is told by the first such error, with the number of
// connections that did not get the packet for one.
//
//	moved.Broadcast(slices.Values(server.Conns()), Move{X: 1})
func (t *Type[T]) Broadcast(to iter.Seq[*Conn], body T) error {
	var r readyFrame
	defer r.free()
	var first error
	failed := 0
	for c := range to {
		err := t.sendReady(c, &r, body)
		if err == nil || c.over.Load() || errors.Is(err, ErrInvalidPacket) || !c.opened.Load() || c.side == SideServer && !c.introduced.Load() {
			continue
		}
		if failed++; first == nil {
			first = fmt.Errorf("connection %d: %w", c.cid, err)
		}
	}
	if failed > 1 {
		return fmt.Errorf("%d connections, the first being %w", failed, first)
	}
	return first
}

// readyFrame is a frame for all connections of a server or client.
type readyFrame struct {
	end     *endpoint
	frame   []byte
	err     error
	scratch [2]*buffer
}

func (r *readyFrame) free() {
	for i, buf := range r.scratch {
		if buf != nil {
			putBuffer(buf)
			r.scratch[i] = nil
		}
	}
}

func (t *Type[T]) sendReady(c *Conn, r *readyFrame, body T) error {
	e := t.entry(c.registry.view())
	if e == nil {
		return t.notRegistered()
	}
	if e.checks != nil && !c.settled() {
		return ErrInvalidPacket // a newcomer, whom the checks could throw out
	}
	e, err := c.writable(e)
	if err != nil {
		return err
	}
	if c.watched(e) {
		return c.send(e, t, body, e.internal())
	}
	if r.end != c.end {
		r.free()
		r.end, r.scratch[0] = c.end, getBuffer()
		if r.frame, r.err = t.appendFrame(r.scratch[0], body, c.end); r.err == nil {
			r.frame, r.scratch[1], r.err = c.end.complete(e.id, r.frame)
		}
	}
	if r.err != nil {
		return r.err
	}
	return c.write(e.id, r.frame)
}
