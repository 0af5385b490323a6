package wslink

import (
	"context"
	"errors"
	"fmt"

	"github.com/coder/websocket"

	"parlor"
	"parlor/box"
	"parlor/link"
	"parlor/msgpack"
)

// maxFrame is how long the envelopes of a frame may be together, in bytes.
const maxFrame = parlor.MaxMessageSize - box.ChannelOverhead

var _ link.StreamConn = (*clientConn)(nil)

// Login logs in, and says that this side speaks the native wire (docs/PROTOCOL.md, section 3.1).
func (c *clientConn) Login(ctx context.Context, p parlor.Packet, o link.Offer) (parlor.Response, *link.Welcome, error) {
	if c.pgnetOnly {
		r, err := c.exchange(ctx, p)
		return r, nil, err
	}
	handshake, noise, err := c.key.Initiate(c.tunnel.Peer())
	if err != nil {
		return parlor.Response{}, nil, fmt.Errorf("%w: %w", link.ErrMalformedKey, err)
	}
	p.Payload = link.WithOffer(p.Payload, o, noise)
	r, err := c.exchange(ctx, p)
	if err != nil || r.Status != parlor.StatusOK {
		return r, nil, err
	}
	w, noise := link.WelcomeOf(r.Payload)
	if w == nil {
		return r, nil, nil
	}
	if c.channel, err = handshake.Complete(noise); err != nil {
		return r, nil, fmt.Errorf("%w: %w", link.ErrUndecryptable, err)
	}
	return r, w, nil
}

func (c *clientConn) exchange(ctx context.Context, p parlor.Packet) (parlor.Response, error) {
	if err := c.Send(ctx, p); err != nil {
		return parlor.Response{}, err
	}
	return c.Receive(ctx)
}

// Write seals envelopes, as many in a frame as it takes, and writes them.
func (c *clientConn) Write(ctx context.Context, envelopes ...*link.Envelope) error {
	var frames [][]byte
	var frame []byte
	n := 0 // envelopes in frame
	for _, e := range envelopes {
		before := len(frame)
		var err error
		if frame, err = e.Append(frame); err != nil {
			return err
		}
		size := len(frame) - before
		if size > maxFrame {
			return link.ErrTooLarge
		}
		if n++; len(frame) > maxFrame || n > link.MaxPerFrame {
			frames = append(frames, frame[:before:before])
			frame, n = append([]byte(nil), frame[before:]...), 1
		}
	}
	if n > 0 {
		frames = append(frames, frame)
	}
	for _, frame := range frames {
		sealed, err := c.channel.Seal(make([]byte, 0, len(frame)+box.ChannelOverhead), frame)
		if err != nil {
			return err
		}
		if err := c.ws.Write(ctx, websocket.MessageBinary, sealed); err != nil {
			if ctx.Err() != nil { // which closes the connection: the error may tell only of that
				return fmt.Errorf("%w: %w", context.Cause(ctx), ended(err))
			}
			return ended(err)
		}
	}
	return nil
}

// Read waits for a frame, opens it, and decodes its envelopes.
func (c *clientConn) Read(ctx context.Context) ([]link.Envelope, error) {
	kind, sealed, err := c.ws.Read(ctx)
	if err != nil {
		return nil, ended(err)
	}
	if kind != websocket.MessageBinary {
		return nil, link.ErrUndecryptable
	}
	frame, err := c.channel.Open(sealed[:0:0], sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrUndecryptable, err)
	}
	var envelopes []link.Envelope
	for e, err := range link.Envelopes(frame, msgpack.Limits{}) {
		if errors.Is(err, link.ErrEnvelope) {
			return nil, err
		}
		e.Err = err
		envelopes = append(envelopes, e)
	}
	return envelopes, nil
}
