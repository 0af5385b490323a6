package linktest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parlor"
	"parlor/link"
)

// lobby is the server's side of a test. It takes every login, unless the test says otherwise.
type lobby struct {
	opened chan *session

	mu      sync.Mutex
	refuses error
	answer  func(s *session, p parlor.Packet) error // a login, in place of welcoming it
	request func(s *session, e *link.Envelope) error
}

// set changes what the lobby does.
func (l *lobby) set(change func(l *lobby)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// Open begins a session.
func (l *lobby) Open(to link.Link) (link.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuses != nil {
		return nil, l.refuses
	}
	s := &session{lobby: l, link: to.(link.Stream), answer: l.answer, request: l.request, requests: make(chan link.Envelope, 4096), closed: make(chan bool, 2)}
	l.opened <- s
	return s, nil
}

// session is the lobby's end of a link.
type session struct {
	lobby    *lobby
	link     link.Stream
	answer   func(s *session, p parlor.Packet) error
	request  func(s *session, e *link.Envelope) error
	requests chan link.Envelope // what has come, if there is no request
	closed   chan bool          // on purpose?
}

// welcomes is the answer to the login of whom the lobby welcomes.
var welcomes = link.Welcome{Token: []byte("0123456789abcdef"), Window: 60e9}

func (s *session) Receive(p parlor.Packet) error {
	if s.answer != nil {
		return s.answer(s, p)
	}
	return s.link.Welcome(parlor.OK(parlor.MessageAuthenticated), welcomes)
}

func (s *session) Malformed(err error) error { return fmt.Errorf("malformed: %w", err) }

func (s *session) Request(e *link.Envelope) error {
	if s.request != nil {
		return s.request(s, e)
	}
	s.requests <- *e
	return nil
}

func (s *session) Closed(onPurpose bool) { s.closed <- onPurpose }

// ends wants the link to have ended once, on purpose or not.
func (s *session) ends(t *testing.T, onPurpose bool) {
	t.Helper()
	if got := receive(t, s.closed, "the end of the link"); got != onPurpose {
		t.Errorf("the lobby was told that the link has ended, on purpose %t, want %t", got, onPurpose)
	}
	select {
	case <-s.closed:
		t.Error("the lobby was told twice that the link has ended")
	default:
	}
}

// deliver sends messages that have to go.
func (s *session) deliver(t *testing.T, ack uint64, m ...link.Message) {
	t.Helper()
	if err := s.link.Deliver(ack, m...); err != nil {
		t.Fatal(err)
	}
}

// answer is one to a request.
func answer(seq, id uint64, payload any) link.Message {
	return link.Message{Seq: seq, ID: id, Response: new(parlor.OK("moved", payload))}
}

// push is one of a game.
func push(seq uint64, payload any) link.Message {
	return link.Message{Seq: seq, Push: &parlor.Push{Message: "news", Game: "chess", Payload: parlor.Encode(payload)}}
}

// text is all that an envelope says.
func text(e *link.Envelope) string {
	payload, err := e.Payload.AppendPyJSON(nil)
	if len(payload) > 200 {
		payload = fmt.Appendf(nil, "%s... (%d bytes, sum %x)", payload[:100], len(payload), sha256.Sum256(payload))
	}
	return fmt.Sprintf("%v ack %d seq %d id %d status %d %t game %q: %q %s %v %v",
		e.Kind, e.Ack, e.Seq, e.ID, e.Status, e.Disconnecting, e.Game, e.Message, payload, err, e.Err)
}

func texts(es []link.Envelope) string {
	var b strings.Builder
	for i := range es {
		b.WriteString("\n\t" + text(&es[i]))
	}
	return b.String()
}

// envelope is the envelope that carries a message.
func envelope(ack uint64, m link.Message) link.Envelope {
	if m.Push != nil {
		return link.Envelope{Kind: link.KindPush, Ack: ack, Seq: m.Seq, Game: m.Push.Game, Message: m.Push.Message, Payload: m.Push.Payload}
	}
	r := m.Response
	return link.Envelope{Kind: link.KindAnswer, Ack: ack, Seq: m.Seq, ID: m.ID, Status: r.Status, Disconnecting: r.Disconnecting, Game: r.Game,
		Message: r.Message, Payload: r.Payload}
}
