package room

import (
	"encoding/json"
	"slices"

	"parlor"
)

// Resumer is a member whose session can be resumed after a restart. Its methods are called on the room's goroutine.
type Resumer interface {
	Member
	// Session names the session, in the journal too; empty if it cannot be resumed.
	Session() string
	// Number is that of the i-th of the requests that the room has of the member, from 1 on, as its client knows it.
	Number(i int) uint64
	// Answers are those that the client may not have got: they are saved with the game.
	Answers() []Answered
}

// Answered is the answer to a request that was worked on before a restart: so that one which comes again is answered, and not worked on
// twice.
type Answered struct {
	Number   uint64 // of the request
	Response parlor.Response
	Joined   *Joined // the request was to join, and this is what comes of it, in place of Response
	First    bool    // and to create the game
}

// Seated is a seat of a durable game that was made again.
type Seated struct {
	User    string
	Session string     // that had it
	Joined  Joined     // how the user is to be served
	Answers []Answered // to the last requests of the session
}

// note keeps an answer that the session has not got yet.
func (r *Room) note(s *seat, a Answered) {
	if a.Number == 0 {
		return
	}
	if len(s.answers) >= r.cfg.Answers {
		s.answers[0] = Answered{}
		s.answers = s.answers[1:]
	}
	full := len(s.answers) == cap(s.answers)
	if s.answers = append(s.answers, a); full {
		s.space = s.answers[:0]
	}
}

// given forgets answers up to a number.
func (s *seat) given(number uint64) {
	for len(s.answers) > 0 && s.answers[0].Number <= number {
		s.answers[0] = Answered{}
		s.answers = s.answers[1:]
	}
	if len(s.answers) > 0 {
		return
	}
	if cap(s.space) > mostKept {
		s.space = nil
	}
	s.answers = s.space
}

// unknown are the answers that the client of a seat may not have got.
func (s *seat) unknown() []Answered {
	var list []Answered
	if m, ok := s.member.(Resumer); ok {
		list = m.Answers()
	}
	return append(list, s.answers...)
}

// sessionOf names the session of a member, for a journal; empty if it has no name.
func sessionOf(m Member) string {
	switch m := m.(type) {
	case Resumer:
		return m.Session()
	case *ghost:
		return m.session
	}
	return ""
}

// numberOf is the number of the i-th request that the room has of a member, 0 if it has none.
func numberOf(m Member, i int) uint64 {
	if m, ok := m.(Resumer); ok {
		return m.Number(i)
	}
	return 0
}

// vacant tells whether a seat is kept for whoever comes under the user's name.
func (s *seat) vacant() bool {
	v, ok := s.member.(interface{ Vacant() bool })
	return ok && v.Vacant()
}

// takeOver gives a member a seat that was kept for its user.
func (r *Room) takeOver(s *seat, m Member) Joined {
	s.member = m
	r.presentSeat(s, false, true)
	return r.joined()
}

// seated is a seat for who says who has it now.
func (d *durable) seatedAs(s *seat) Seated {
	var j Joined
	if d.room.game != nil {
		d.aside(func() { j = d.room.joined() })
	}
	return Seated{User: s.user, Session: sessionOf(s.member), Joined: j, Answers: slices.Clone(s.answers)}
}

// answerState is an answer in a save.
type answerState struct {
	Number  uint64          `json:"number"`
	Status  parlor.Status   `json:"status,omitempty"`
	Message string          `json:"message,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"` // in saves of before there was Text
	Text    string          `json:"text,omitempty"`    // of the payload, which may be JSON as only Python has it
	Joined  *Joined         `json:"joined,omitempty"`
	First   bool            `json:"first,omitempty"`
}

func answerStates(list []Answered) (states []answerState) {
	for _, a := range list {
		states = append(states, answerState{
			Number: a.Number, Status: a.Response.Status, Message: a.Response.Message, Text: string(a.Response.Payload.JSON()),
			Joined: a.Joined, First: a.First,
		})
	}
	return states
}

func answersOf(states []answerState) (list []Answered) {
	for _, st := range states {
		a := Answered{Number: st.Number, Joined: st.Joined, First: st.First}
		a.Response = parlor.Response{Status: st.Status, Message: st.Message}
		text := []byte(st.Text)
		if len(text) == 0 {
			text = st.Payload
		}
		if p, err := payloadOf(text); err == nil {
			a.Response.Payload = p
		}
		list = append(list, a)
	}
	return list
}
