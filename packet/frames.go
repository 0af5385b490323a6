package packet

import (
	"context"
	"fmt"
)

// FrameHead is how many bytes a frame has before its body.
const FrameHead = frameHead

// SetFrameHead writes the head of a frame whose body is there already, behind FrameHead bytes that were left for it.
func SetFrameHead(frame []byte, id ID, flags Flags) { setHead(frame, id, flags) }

// WriteFrames writes whole frames, one behind the other, that the caller has made: with AppendFrame or SetFrameHead. As
// WritePacket it is for connection types with a protocol of their own, and looks at nothing: not at the registry, checks, hooks and
// events, nor at Config.MaxFrame, and it does not compress. It does not block, and keeps nothing of frames.
//
// ErrWriteQueueFull means that Config.WriteQueue waits already; the connection is closed then. Where less does, all of
// frames may wait, whatever there is. Other errors are ErrClosed, ErrNotConnected, and ErrInvalidFrame for what is no frame, on a
// connection that does not join them.
func (c *Conn) WriteFrames(frames []byte) error {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	return c.writeFrames(frames)
}

// WriteMissed is WriteFrames for what the other side missed on a connection before this one. Of what is written like this none
// counts for Config.WriteQueue, or who has missed much could not be sent anything new until it has read all of that.
func (c *Conn) WriteMissed(frames []byte) error {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.waiting()
	err := c.writeFrames(frames)
	if err == nil {
		o.missed += max(0, o.waiting()-before)
	}
	return err
}

// writeFrames is WriteFrames with the lock held.
func (c *Conn) writeFrames(frames []byte) error {
	if len(frames) == 0 {
		return nil
	}
	o := &c.out
	if err := c.mayWrite(len(frames), o.waiting() < c.end.cfg.WriteQueue); err != nil {
		return err
	}
	o.sent++
	if c.joins() {
		c.putLater(frames)
		return nil
	}
	for len(frames) > 0 {
		size, err := frameSize(frames, MaxPacketLength)
		if err == nil && (size == 0 || size > len(frames)) {
			err = fmt.Errorf("%w: only a part of one", ErrInvalidFrame)
		}
		if err != nil {
			return err
		}
		c.put(frames[:size])
		frames = frames[size:]
	}
	return nil
}

// WaitWritten waits until what was sent has gone out, so that who has much to send does not run into Config.WriteQueue. What
// a burst holds back is not waited for. It returns the error of ctx when that ends first, and ErrClosed when the connection has
// ended before all was written.
func (c *Conn) WaitWritten(ctx context.Context) error {
	o := &c.out
	o.mu.Lock()
	for o.busy {
		if o.idle == nil {
			o.idle = make(chan struct{})
		}
		idle := o.idle
		o.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return contextError(ctx)
		}
		o.mu.Lock()
	}
	lost := o.lost
	o.mu.Unlock()
	if lost {
		return c.closedError()
	}
	return nil
}

// Reads is a number that changes whenever something was read from the socket, be it a part of a frame: who watches a
// connection for silence compares it with what it was before.
func (c *Conn) Reads() uint32 { return c.in.turns.Load() }

// SetMaxFrame bounds the frames that come from now on, and what they inflate to, below what Config allows: for those who
// have not logged in, for instance. 0 takes the bound away. Over it the connection is closed with ReasonFrameTooLarge or
// ReasonBodyTooLarge.
func (c *Conn) SetMaxFrame(n int) { c.most.Store(int64(n)) }

// bounded is the lower one of a limit and that of SetMaxFrame.
func (c *Conn) bounded(limit int) int {
	if n := c.most.Load(); n > 0 {
		return int(min(int64(limit), n))
	}
	return limit
}
