package room_test

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// resumer is a member whose session can be resumed, and who has not heard of an answer yet.
type resumer struct {
	*member
	requests uint64
}

func (m *resumer) Session() string          { return "session of " + m.name }
func (m *resumer) Number(int) uint64        { m.requests++; return m.requests }
func (m *resumer) Answers() []room.Answered { return nil }

// repeater is a durable game that says again what it is told.
type repeater struct{}

func (repeater) Durable() bool      { return true }
func (repeater) SaveString() string { return "a save" }
func (repeater) HandleGamePacket(p parlor.Packet) parlor.Response {
	return parlor.OK(p.DebugText(), p.Payload)
}

// TestPayloadsOfDurable: whatever payloads may have, they are read back from the journal, and as answers from a save.
func TestPayloadsOfDurable(t *testing.T) {
	deep := any(1)
	for range 500 {
		deep = []any{deep}
	}
	odd, err := parlor.ParsePayload([]byte(`{"b":1e5, "b":"\ud800<" , "a":[NaN]}`))
	if err != nil {
		t.Fatal(err)
	}
	payloads := []parlor.Payload{{}, parlor.Encode(nil), parlor.Encode([]any{math.NaN(), math.Inf(-1)}), parlor.Encode("\xff<>"), parlor.Encode(deep), odd}
	for _, saved := range []bool{false, true} {
		t.Run(fmt.Sprint("saved ", saved), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := new(paper)
				cfg := room.Config{
					Name: "repeater", Journal: p, Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {},
					New: func(parlor.Room, string) (parlor.Game, error) { return repeater{}, nil },
				}
				r := room.Open(cfg, func(error) {})
				zoe := &resumer{member: &member{name: "zoe"}}
				r.Join("zoe", zoe, func(room.Joined, error) {})
				pass(time.Second)
				for _, payload := range payloads {
					_ = r.Packet(parlor.Packet{Username: "zoe", Message: "say", Payload: payload}, zoe)
				}
				if saved { // behind the packets, whose answers have not left yet
					r.Save(func(room.Save, bool, error) {})
				}
				pass(time.Second)
				r.Stop(func() {})
				pass(time.Second)
				st, told := p.stored(), ""
				if saved {
					st.Pieces = nil // as they are in the save
				}
				log := new(logged)
				var seat room.Seated
				cfg.Stored, cfg.Journal, cfg.Logger = &st, new(paper), slog.New(slog.NewTextHandler(log, nil))
				cfg.Reseat = func(s room.Seated) room.Member { seat = s; return nil }
				r = room.Open(cfg, func(err error) {
					if err != nil {
						told = err.Error()
					}
				})
				synctest.Wait()
				if told += log.String(); told != "" {
					t.Errorf("told is %s", told)
				}
				for i, payload := range payloads {
					want, got := string(payload.JSON()), ""
					for _, a := range seat.Answers {
						if a.Number == uint64(i+2) { // behind the join
							got = string(a.Response.Payload.JSON())
						}
					}
					if got != want {
						t.Errorf("the answer %.40s is %.40s behind a restart", want, got)
					}
				}
				r.Close(func() {})
				synctest.Wait()
			})
		})
	}
}

// TestOddPacketOfDurable: a game sees nothing of a packet that is not in its journal, such as a message that was no text.
func TestOddPacketOfDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(paper)
		newGame := func(parlor.Room, string) (parlor.Game, error) { return repeater{}, nil }
		r := room.Open(room.Config{
			Name: "repeater", Journal: p, Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {}, New: newGame,
		}, func(error) {})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		packet, err := parlor.DecodePacket([]byte(`{"message": 5, "payload": {}, "created_on": 5}`))
		if err != nil {
			t.Fatal(err)
		}
		packet.Username = "zoe"
		_ = r.Packet(packet, zoe)
		pass(time.Second)
		if len(zoe.answers) != 2 || !strings.Contains(zoe.answers[1], "5") {
			t.Errorf("zoe is told %q", zoe.answers)
		}
		for s, err := range room.Replay("repeater", newGame, p.stored(), nil) {
			if err != nil || s.Diverged != nil {
				t.Error(err, s.Diverged)
			}
		}
		r.Close(func() {})
		synctest.Wait()
	})
}
