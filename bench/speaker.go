package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/tinylib/msgp/msgp"

	"parlor"
	"parlor/box"
	"parlor/link"
)

// speaker is a client of the lobby that speaks envelopes. It keeps nothing to send again, and takes apart only what it
// has to, so that the load costs as little as it can: it does what the wire asks of a client, but is none for
// production (wslink.Dialer's is).
type speaker struct {
	nc   net.Conn
	in   inbox
	wire framing
	size int // how long the payloads are that count, in bytes

	seq      atomic.Uint64 // the last message that came; written by the receiver
	answered bool          // an answer has come; the receiver's

	mu    sync.Mutex // guards the fields below, and what is sent: the receiver sends notes
	id    uint64     // of the last request
	acked uint64     // the last number that was acknowledged
	out   []byte     // what is sent
}

// framing is what a wire makes of envelopes.
type framing interface {
	// frames appends n envelopes to b, each made by appendEnvelope, in as many frames as it takes.
	frames(b []byte, n int, appendEnvelope func(b []byte) []byte) ([]byte, error)
	// take takes the envelopes of the next frame, if it has come as a whole; they are good until the next one. What
	// it wants to have answered is the reply.
	take(in *inbox) (envelopes, reply []byte, whole bool, err error)
	// farewell is what ends a session on purpose.
	farewell() []byte
}

// sealed is the framing of the native wire: one sealed frame for all.
type sealed struct {
	channel     *box.Channel
	text, clear []byte // before it is sealed, and what was opened
}

func (f *sealed) frames(b []byte, n int, appendEnvelope func(b []byte) []byte) ([]byte, error) {
	f.text = f.text[:0]
	for range n {
		f.text = appendEnvelope(f.text)
	}
	var err error
	b = appendMasked(b, ws.OpBinary, len(f.text)+box.ChannelOverhead, func(b []byte) []byte {
		b, err = f.channel.Seal(b, f.text)
		return b
	})
	return b, err
}

func (f *sealed) take(in *inbox) (envelopes, reply []byte, whole bool, err error) {
	op, payload, size, err := in.wsFrame()
	if err != nil || size == 0 {
		return nil, nil, false, err
	}
	switch op {
	case ws.OpBinary:
		f.clear, err = f.channel.Open(f.clear[:0], payload)
		return f.clear, nil, true, err
	case ws.OpPing:
		return nil, appendMasked(nil, ws.OpPong, len(payload), func(b []byte) []byte { return append(b, payload...) }), true, nil
	}
	return nil, nil, false, fmt.Errorf("the server sends a frame of type %d: %q", op, payload)
}

func (f *sealed) farewell() []byte { return closeFrame() }

// loginNative connects to a lobby on the native wire and logs in as a new user, and joins a game unless its name is empty.
func loginNative(addr, user, game string, buffer int) (*speaker, error) {
	c, err := connect(addr)
	if err != nil {
		return nil, err
	}
	s, err := c.speak(user, buffer)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("native client %q: %w", user, err)
	}
	return s, s.enter(game)
}

// speak logs in with an offer of the native wire, and goes on with that.
func (c *client) speak(user string, buffer int) (*speaker, error) {
	initiation, noise, err := c.key.Initiate(c.serverKey)
	if err != nil {
		return nil, err
	}
	r, err := c.ask("handshake", link.WithOffer(parlor.Encode(credentials(user)), link.Offer{}, noise))
	if err != nil {
		return nil, err
	}
	welcome, noise := link.WelcomeOf(r.Payload)
	if welcome == nil {
		return nil, errors.New("the server does not speak the native wire")
	}
	channel, err := initiation.Complete(noise)
	if err != nil {
		return nil, err
	}
	s := &speaker{nc: c.nc, in: c.in, wire: &sealed{channel: channel}, size: messageSize}
	s.in.grow(buffer)
	return s, nil
}

// enter joins a game. Whatever comes of it, what came is acknowledged.
func (s *speaker) enter(game string) error {
	var err error
	if game != "" {
		s.id++
		err = s.ask(parlor.RequestJoinGame, parlor.Encode(parlor.Map{"name": game}))
	}
	if err = errors.Join(err, s.note(), s.SetDeadline(time.Time{})); err != nil {
		s.nc.Close()
	}
	return err
}

// ask makes a request of the lobby, with the number that s.id has now, and waits for its answer, which must be a good one.
func (s *speaker) ask(message string, payload parlor.Payload) error {
	e := link.Envelope{Kind: link.KindRequest, Ack: s.seq.Load(), ID: s.id, Message: message, Payload: payload}
	b, err := e.Append(nil)
	if err != nil {
		return err
	}
	if err := s.write(1, func(to []byte) []byte { return append(to, b...) }); err != nil {
		return err
	}
	for s.answered = false; !s.answered; {
		if _, err := s.some(func([]byte) {}); err != nil {
			return fmt.Errorf("%s: %w", message, err)
		}
	}
	return nil
}

// send sends requests together, as many as a frame may have envelopes.
func (s *speaker) send(n int, message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = s.seq.Load()
	for ; n > 0; n -= link.MaxPerFrame {
		if err := s.write(min(n, link.MaxPerFrame), func(b []byte) []byte { return s.appendRequest(b, message) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *speaker) appendRequest(b, payload []byte) []byte {
	s.id++
	b = msgp.AppendArrayHeader(b, 5)
	b = msgp.AppendUint64(b, uint64(link.KindRequest))
	b = msgp.AppendUint64(b, s.acked)
	b = msgp.AppendUint64(b, s.id)
	b = msgp.AppendString(b, message)
	return append(b, payload...)
}

// note acknowledges what has come.
func (s *speaker) note() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = s.seq.Load()
	return s.write(1, func(b []byte) []byte {
		b = msgp.AppendArrayHeader(b, 2)
		b = msgp.AppendUint64(b, uint64(link.KindNote))
		return msgp.AppendUint64(b, s.acked)
	})
}

// write writes n envelopes. The lock is held, or nobody else has the connection yet.
func (s *speaker) write(n int, appendEnvelope func(b []byte) []byte) (err error) {
	if s.out, err = s.wire.frames(s.out[:0], n, appendEnvelope); err != nil {
		return err
	}
	_, err = s.nc.Write(s.out)
	return err
}

// reply writes what the wire wants to have answered.
func (s *speaker) reply(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.nc.Write(frame)
	return err
}

// ackAfter is after how many messages a client acknowledges them, if it has sent nothing.
const ackAfter = 64

// receive waits for pushes and answers with a payload like the load's.
func (s *speaker) receive(each func([]byte)) (n int, err error) {
	for n == 0 && err == nil {
		n, err = s.some(each)
		s.mu.Lock()
		due := s.seq.Load()-s.acked >= ackAfter
		s.mu.Unlock()
		if due {
			err = errors.Join(err, s.note())
		}
	}
	return n, err
}

// some waits for a frame, and takes all that have come. It counts those messages that carry something.
func (s *speaker) some(each func([]byte)) (n int, err error) {
	for taken := false; ; {
		envelopes, reply, whole, err := s.wire.take(&s.in)
		if err == nil && len(reply) > 0 {
			err = s.reply(reply)
		}
		if err != nil || !whole && taken {
			return n, err
		}
		if !whole {
			if err := s.in.fill(); err != nil {
				return n, err
			}
			continue
		}
		taken = true
		for len(envelopes) > 0 {
			var counts bool
			if envelopes, counts, err = s.take(envelopes, each); err != nil {
				return n, err
			}
			if counts {
				n++
			}
		}
	}
}

// take takes the envelope that b begins with. It counts if its payload is as long as the load's.
func (s *speaker) take(b []byte, each func([]byte)) (rest []byte, counts bool, err error) {
	r := elements{b: b}
	r.array()
	kind := link.Kind(r.number())
	r.number() // what the server has
	if kind == link.KindNote || r.err != nil {
		return r.b, false, r.err
	}
	seq, status := r.number(), uint64(0)
	if kind == link.KindAnswer {
		r.number() // which request it is for: they are answered in their order
		status = r.number()
		r.value() // whether the server disconnects
		s.answered = true
	}
	r.value() // the game
	text := r.value()
	payload := r.value()
	switch {
	case r.err != nil:
		return nil, false, r.err
	case status != uint64(parlor.StatusOK):
		return nil, false, fmt.Errorf("server answers %q", text)
	case seq == 0: // the answer to the login
		return r.b, false, nil
	case seq != s.seq.Load()+1:
		return nil, false, fmt.Errorf("message %d comes behind %d", seq, s.seq.Load())
	}
	s.seq.Store(seq)
	if len(payload) == s.size {
		each(payload)
		return r.b, true, nil
	}
	return r.b, false, nil
}

// elements reads those of an envelope.
type elements struct {
	b   []byte
	err error
}

func (r *elements) array() {
	if r.err == nil {
		_, r.b, r.err = msgp.ReadArrayHeaderBytes(r.b)
	}
}

func (r *elements) number() (n uint64) {
	if r.err == nil {
		n, r.b, r.err = msgp.ReadUint64Bytes(r.b)
	}
	return n
}

// value is any value, as it is.
func (r *elements) value() (v []byte) {
	if r.err != nil {
		return nil
	}
	rest := r.b
	if len(rest) >= messageSize && rest[0] == shortStr && rest[1] == messageSize-textHead { // so are nearly all payloads
		rest = rest[messageSize:]
	} else if rest, r.err = msgp.Skip(rest); r.err != nil {
		return nil
	}
	v, r.b = r.b[:len(r.b)-len(rest)], rest
	return v
}

// idle is a user who does nothing.
func (s *speaker) idle() {
	for {
		if _, err := s.receive(func([]byte) {}); err != nil {
			return
		}
	}
}

// Close ends the session too: the next turn's users are others.
func (s *speaker) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nc.SetWriteDeadline(time.Now().Add(time.Second))
	s.nc.Write(s.wire.farewell())
	return s.nc.Close()
}

func (s *speaker) SetDeadline(t time.Time) error { return s.nc.SetDeadline(t) }
