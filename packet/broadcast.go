package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// Broadcast sends a packet to several connections, encoded and compressed once. It does not block, and does for each
// of them what [Conn.Send] does; where hooks, events or the connection type want to see packets, each is encoded
// for itself. Who has ended or ends, for not reading too, or is still in its handshake, is passed over, as the Close
// hook tells of them. The error joins those of the others, such as ErrInvalidPacket; who has none got the packet.
//
//	moved.Broadcast(slices.Values(server.Conns()), Move{X: 1})
func (t *Type[T]) Broadcast(to iter.Seq[*Conn], body T) error {
	var r readyFrame
	defer r.free()
	var failed []error
	for c := range to {
		err := t.sendReady(c, &r, body)
		if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotConnected) && !errors.Is(err, ErrWriteQueueFull) {
			failed = append(failed, fmt.Errorf("connection %d: %w", c.cid, err))
		}
	}
	return errors.Join(failed...)
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
	if c.watched(e) {
		return c.send(e, t, body, e.internal())
	}
	e, err := c.writable(e)
	if err != nil {
		return err
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
	binary.BigEndian.PutUint32(r.frame[lengthSize:], uint32(e.id))
	return c.write(r.frame)
}
