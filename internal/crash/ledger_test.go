package crash_test

import (
	"strings"
	"testing"
	"time"

	"parlor/internal/crash"
	"parlor/internal/crash/program/game"
)

// story is a game as the ledger's tests tell it.
type story struct {
	*crash.Ledger
	events []game.Event
	places []game.Place // behind each, and at first that of none
}

func newStory() *story { return &story{Ledger: crash.NewLedger(), places: make([]game.Place, 1)} }

// move is one that is made, and returns its place.
func (s *story) move(user string, id uint64) game.Place {
	return s.happen(game.Event{What: game.Move, User: user, ID: id})
}

func (s *story) happen(e game.Event) game.Place {
	s.events = append(s.events, e)
	s.places = append(s.places, s.end().After(e))
	return s.end()
}

func (s *story) end() game.Place { return s.places[len(s.places)-1] }

// back takes the game back to so many events.
func (s *story) back(n int) { s.events, s.places = s.events[:n], s.places[:n+1] }

// audit compares.
func (s *story) audit() error {
	q := s.Ask("room")
	return s.Check("room", q, s.events[q.Known:], s.end())
}

// TestLedger has things go wrong, one by one.
func TestLedger(t *testing.T) {
	for name, test := range map[string]struct {
		want string // empty: all is well
		tell func(s *story) error
	}{
		"all is well": {"", func(s *story) error {
			s.Sent("room", "alice", 1)
			place := s.move("alice", 1)
			err := s.audit()
			if err == nil {
				err = s.Answered("room", "alice", 1, place)
			}
			s.Sent("room", "alice", 2) // is never answered, and is not there
			return err
		}},
		"lost": {"told of event 1 (move 1), but it is at 0", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Answered("room", "alice", 1, s.move("alice", 1))
			s.back(0)
			return s.audit()
		}},
		"told and lost": {"told of event 1 (move 0), but it is at 0", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Told("room", "bob", s.move("alice", 1))
			s.back(0)
			return s.audit()
		}},
		"lost and written over": {"alice was told that event 1 is", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Answered("room", "alice", 1, s.move("alice", 1))
			s.back(0)
			s.Sent("room", "bob", 1)
			s.move("bob", 1)
			return s.audit()
		}},
		"told otherwise at once": {"and bob that it is", func(s *story) error {
			s.Told("room", "alice", game.Place{N: 1, Hash: "a"})
			return s.Told("room", "bob", game.Place{N: 1, Hash: "b"})
		}},
		"told otherwise later": {"alice was told that event 1 is a, but it is", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.move("alice", 1)
			if err := s.audit(); err != nil {
				return err
			}
			return s.Told("room", "alice", game.Place{N: 1, Hash: "a"})
		}},
		"twice": {"there twice", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.move("alice", 1)
			s.move("alice", 1)
			return s.audit()
		}},
		"twice, between two audits": {"there twice", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.move("alice", 1)
			if err := s.audit(); err != nil {
				return err
			}
			s.move("alice", 1)
			return s.audit()
		}},
		"refused": {"which was refused", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.move("alice", 1)
			s.Refused("alice", 1)
			return s.audit()
		}},
		"never sent": {"which was sent to game \"\"", func(s *story) error {
			s.move("alice", 1)
			return s.audit()
		}},
		"two answers for one event": {"were both answered as event 1", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Sent("room", "alice", 2)
			place := s.move("alice", 1)
			s.Answered("room", "alice", 1, place)
			return s.Answered("room", "alice", 2, place)
		}},
		"the answer of another": {"move 2 of alice was answered as event 1", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Answered("room", "alice", 2, s.move("alice", 1))
			return s.audit()
		}},
		"the answer of another, later": {"was answered as event 1, which is move", func(s *story) error {
			s.Sent("room", "alice", 1)
			place := s.move("alice", 1)
			if err := s.audit(); err != nil {
				return err
			}
			return s.Answered("room", "alice", 2, place)
		}},
		"events that do not come to the place": {"but it says that it is at", func(s *story) error {
			s.happen(game.Event{What: "join", User: "alice"})
			s.events[0].User = "bob"
			return s.audit()
		}},
		"a copy": {"", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Answered("room", "alice", 1, s.move("alice", 1))
			q := s.Ask("room")
			s.Told("room", "alice", game.Place{N: 2, Hash: "of the original"})
			s.happen(game.Event{What: "leave", User: "alice"})
			return s.Compare("room", q, s.events, s.end())
		}},
		"a copy that is too old": {"told of event 1 (move 1), but it is at 0", func(s *story) error {
			s.Sent("room", "alice", 1)
			s.Answered("room", "alice", 1, s.move("alice", 1))
			q := s.Ask("room")
			s.back(0)
			return s.Compare("room", q, s.events, s.end())
		}},
		"saved, and back to what was saved": {"", func(s *story) error {
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(1, 0))})
			s.Told("room", "alice", s.end())
			s.Confirm()()
			s.Told("room", "alice", s.happen(game.Event{What: "join", User: "alice"}))
			s.back(1)
			s.Restarted(time.Unix(2, 0))
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(2, 0))})
			s.Told("room", "alice", s.happen(game.Event{What: "join", User: "bob"}))
			return s.audit()
		}},
		"saved and lost": {"when a save was confirmed", func(s *story) error {
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(1, 0))})
			s.Told("room", "alice", s.happen(game.Event{What: "join", User: "alice"}))
			s.Confirm()()
			s.back(1)
			s.Restarted(time.Unix(2, 0))
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(2, 0))})
			return s.audit()
		}},
		"what was lost is not what a save has": {"", func(s *story) error {
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(1, 0))})
			s.Told("room", "alice", s.happen(game.Event{What: "join", User: "alice"}))
			s.Restarted(time.Unix(2, 0))
			s.Confirm()() // by a server that has not told anybody anything yet
			s.back(0)
			s.happen(game.Event{What: game.Opened, User: game.Run(time.Unix(2, 0))})
			return s.audit()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.tell(newStory())
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
