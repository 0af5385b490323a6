package room_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// played is what a diary's room leaves in its journal when zoe has joined and said some things.
func played(t *testing.T, cfg room.Config, says ...string) room.Stored {
	t.Helper()
	p := new(paper)
	r, happened := openDiary(t, p, &diary{}, cfg)
	happened.want(t, "opened <nil>")
	zoe := &member{name: "zoe"}
	joinDiary(t, r, zoe)
	for _, message := range says {
		pass(time.Second)
		if message == "refresh" {
			r.Refresh(func() {})
			continue
		}
		if message == "save" {
			r.Save(func(room.Save, bool, error) {})
			continue
		}
		_ = r.Packet(say("zoe", message), zoe)
	}
	pass(time.Second)
	r.Stop(func() { happened.add("stopped") })
	happened.want(t, "stopped") // and nobody has left
	return p.stored()
}

// openAgain opens a diary of what is stored.
func openAgain(t *testing.T, st room.Stored, g *diary, cfg room.Config) (r *room.Room, p *paper, happened *events, log *logged) {
	t.Helper()
	p, log = &paper{saves: []room.Save{st.Save}, pieces: st.Pieces}, new(logged)
	for e, err := range st.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		p.lasts = []uint64{e.Number}
	}
	cfg.Stored, cfg.Logger = &st, slog.New(slog.NewTextHandler(log, nil))
	r, happened = openDiary(t, p, g, cfg)
	synctest.Wait()
	return r, p, happened, log
}

// TestReadOnly: a game that does something else than its journal says can be looked at, and nothing is written.
func TestReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{}, "one", "save", "two", "three")
		zoe, eve := &member{name: "zoe"}, &member{name: "eve"}
		cfg := room.Config{Reseat: func(room.Seated) room.Member { return zoe }}
		r, p, happened, log := openAgain(t, st, &diary{odd: true}, cfg)
		happened.want(t, "opened <nil>", "left") // zoe is told that she is not there
		if text := log.String(); !strings.Contains(text, "from entry 4 on") || !strings.Contains(text, "(--divergence from-save)") {
			t.Errorf("the log says %s", text)
		}
		if info, fresh := r.Info(); info != "4 lines" || !fresh {
			t.Errorf("the lobby shows %q, %v", info, fresh)
		}
		r.Join("eve", eve, func(_ room.Joined, err error) {
			var u *room.UnplayableError
			var d *room.DivergedError
			if !errors.As(err, &u) || !errors.As(err, &d) || d.Entry != 4 || !strings.Contains(err.Error(), "entry 4") {
				t.Errorf("eve is told %v", err)
			}
		})
		_ = r.Packet(say("zoe", "four"), zoe)
		r.Away("zoe", zoe)
		r.Leave("zoe", zoe, func() { happened.add("let go") })
		r.Save(func(_ room.Save, _ bool, err error) {
			if err != nil { // there is nothing new
				t.Errorf("save: error %v", err)
			}
		})
		pass(time.Hour)
		happened.want(t, "let go")
		zoe.mu.Lock()
		if len(zoe.answers) != 1 || !strings.Contains(zoe.answers[0], "entry 4") {
			t.Errorf("zoe is told %q", zoe.answers)
		}
		zoe.mu.Unlock()
		if len(p.pieces) != len(st.Pieces) || len(p.saves) != 1 {
			t.Error("something was written")
		}
		// The code that has written it can go on.
		_, _, happened, log = openAgain(t, p.stored(), &diary{}, room.Config{})
		happened.want(t, "opened <nil>")
		if strings.Contains(log.String(), "journal") {
			t.Error(log.String())
		}
	})
}

// TestFromSave: or it goes on from its newest save; what was done since is undone, and not lost, and goes on being so.
func TestFromSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{}, "one", "save", "two", "three")
		zoe, g := &member{name: "zoe"}, &diary{odd: true}
		cfg := room.Config{Divergence: room.FromSave, Reseat: func(room.Seated) room.Member { return zoe }}
		r, p, happened, log := openAgain(t, st, g, cfg)
		happened.want(t, "opened <nil>")
		for _, want := range []string{"from entry 4 on", `"undone from"=4 to=5`} {
			if text := log.String(); !strings.Contains(text, want) {
				t.Errorf("the log says nothing of %s: %s", want, text)
			}
		}
		if lines := g.read(); len(lines) != 3 || !strings.Contains(lines[2], "zoe says one") {
			t.Errorf("it goes on from %q", lines)
		}
		_ = r.Packet(say("zoe", "panic"), zoe) // which is the same every time
		pass(time.Second)
		r.Save(func(room.Save, bool, error) {})
		pass(time.Second)
		r.Stop(func() {})
		pass(time.Second)
		again := p.stored()
		if !again.Save.Keep {
			t.Error("what was undone is dropped with the next save")
		}
		var all []string
		for e, err := range again.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Kind)
		}
		if got := strings.Join(all, " "); got != "begin join packet packet packet begin open packet" {
			t.Errorf("the journal has %s", got)
		}
		_, _, happened, log = openAgain(t, again, &diary{odd: true}, cfg)
		happened.want(t, "opened <nil>")
		if strings.Contains(log.String(), "journal") {
			t.Error(log.String())
		}
		// What was undone is not played again, whatever is before it or was saved since, and whether the code is the old one or the new one.
		old := slices.IndexFunc(again.Pieces, func(p room.Piece) bool { return p.First == 4 })
		for _, g := range []*diary{{}, {odd: true}} {
			for _, st := range []room.Stored{again, {Pieces: again.Pieces}, {Pieces: again.Pieces[old:]}, {Save: again.Save, Pieces: again.Pieces[old:]}} {
				kinds := ""
				for s, err := range room.Replay("diary", newDiary(g), st, nil) {
					if err != nil || s.Diverged != nil {
						t.Fatal(err, s.Diverged)
					}
					kinds += s.Kind + " "
				}
				if kinds != "begin open packet " {
					t.Errorf("played again is %s", kinds)
				}
			}
		}
	})
}

// TestRecording: a journal that is kept is played again from the game's beginning, whatever was saved.
func TestRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{KeepJournal: true, Seed: [2]uint64{1, 3}}, "one", "save", "alarm", "save", "tell", "here")
		if !st.Save.Keep {
			t.Error("a save drops entries")
		}
		var again *diary
		newGame := func(r parlor.Room, save string) (parlor.Game, error) {
			again = &diary{}
			return newDiary(again)(r, save)
		}
		var steps []string
		for s, err := range room.Replay("diary", newGame, st, nil) {
			if err != nil || s.Diverged != nil || s.Hash != s.Again {
				t.Fatal(err, s.Diverged)
			}
			text := fmt.Sprintf("%d %s %s:", s.Number, s.Kind, s.Packet.Message)
			if s.Response != nil {
				text += " " + s.Response.Message
			}
			for _, p := range s.Pushes {
				text += " push " + p.Push.Message
			}
			if s.Game.(*diary) != again {
				t.Error("the step has another game")
			}
			steps = append(steps, text)
		}
		want := []string{"1 begin :", "2 join :", "3 packet one: line 3", "4 packet alarm: line 4", "5 packet tell: line 5 push told", "6 tick : push alarm", "7 packet here: line 7"}
		if st.Pieces[0].First != 1 || !slices.Equal(steps, want) {
			t.Errorf("steps %q, want %q", steps, want)
		}
	})
}

// TestReplayAlone: what cannot be played again says why, and harms nobody.
func TestReplayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{}, "one", "two", "three")
		cut := room.Stored{Pieces: slices.Clone(st.Pieces)}
		cut.Pieces[2].Entries = cut.Pieces[2].Entries[:3]
		gap := room.Stored{Pieces: slices.Delete(slices.Clone(st.Pieces), 2, 3)}
		for _, test := range []struct {
			name  string
			st    room.Stored
			game  *diary
			steps int
			want  string
		}{
			{"all", st, &diary{}, 5, ""},
			{"odd", st, &diary{odd: true}, 3, "from entry 3 on"},
			{"cut off", cut, &diary{}, 2, "read entry 3: the journal is damaged"},
			{"gap", gap, &diary{}, 2, "read entry 4: the journal is damaged: there is no entry 3"},
			{"no beginning", room.Stored{Pieces: st.Pieces[1:]}, &diary{}, 0, "neither a save nor the beginning"},
			{"nothing", room.Stored{}, &diary{}, 0, "neither a save nor the beginning"},
			{"save without a state", room.Stored{Save: room.Save{Room: []byte("?")}}, &diary{}, 0, "the journal is damaged"},
		} {
			steps, told := 0, ""
			for s, err := range room.Replay("diary", newDiary(test.game), test.st, nil) {
				if err != nil {
					told = err.Error()
					break
				}
				if steps++; s.Diverged != nil {
					told = s.Diverged.Error()
				}
			}
			if steps != test.steps || !strings.Contains(told, test.want) || (told == "") != (test.want == "") {
				t.Errorf("%s: %d steps, and then %q", test.name, steps, told)
			}
			r, happened := openDiary(t, &paper{saves: []room.Save{test.st.Save}, pieces: slices.Clone(test.st.Pieces), lasts: []uint64{5}}, test.game, room.Config{Stored: &test.st})
			zoe := &member{name: "zoe"}
			joinDiary(t, r, zoe)
			pass(time.Second)
			if happened.mu.Lock(); len(happened.list) == 0 {
				t.Errorf("%s: the room does not open", test.name)
			}
			happened.mu.Unlock()
			if answer := zoe.answers[0]; (answer == "joined <nil>") != (test.want == "") {
				t.Errorf("%s: zoe is told %q", test.name, answer)
			}
		}
	})
}

// ledger is a game whose saves have versions.
type ledger struct {
	version int
	text    string
}

func (g *ledger) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK(g.text) }
func (g *ledger) Persistent() bool                               { return true }
func (g *ledger) SaveVersion() int                               { return g.version }
func (g *ledger) SaveString() string                             { return g.text }

// TestUpgrades: a save is brought up to date before the game is made of it, and one that is too new is refused.
func TestUpgrades(t *testing.T) {
	upgrades := parlor.Upgrades{
		1: func(save string) (string, error) { return save + "+1", nil },
		2: func(save string) (string, error) {
			if strings.HasPrefix(save, "bad") {
				return "", errors.New("no ink")
			}
			return save + "+2", nil
		},
	}
	game := func(_ parlor.Room, save string) (parlor.Game, error) { return &ledger{3, save}, nil }
	behind := func(_ parlor.Room, save string) (parlor.Game, error) { return &ledger{2, save}, nil }
	refusing := func(_ parlor.Room, save string) (parlor.Game, error) { return nil, errors.New("what is " + save) }
	for _, test := range []struct {
		name    string
		newGame parlor.NewGame
		save    room.Save
		want    string // the save now, or a part of the error
	}{
		{"new", upgrades.For(game), room.Save{}, ""},
		{"two behind", upgrades.For(game), room.Save{Version: 1, Data: "x"}, "x+1+2"},
		{"one behind", upgrades.For(game), room.Save{Version: 2, Data: "x"}, "x+2"},
		{"of today", upgrades.For(game), room.Save{Version: 3, Data: "x"}, "x"},
		{"too old", upgrades.For(game), room.Save{Data: "x"}, "there is no upgrade"},
		{"bad", upgrades.For(game), room.Save{Version: 1, Data: "bad"}, "upgrade its save from version 2: no ink"},
		{"too new", upgrades.For(game), room.Save{Version: 4, Data: "x"}, "version 4, and this program knows those up to 3"},
		{"too new without upgrades", game, room.Save{Version: 4, Data: "x"}, "of a save of version 4: the game makes saves of version 3: start the newer"},
		{"too new without upgrades, and refused", refusing, room.Save{Version: 1, Data: "x"},
			"of a save of version 1: if this program makes saves of an older version, start the newer one that has made this one: what is x"},
		{"refused without versions", refusing, room.Save{Data: "x"}, `create game "ledger": what is x`},
		{"refused with upgrades", upgrades.For(refusing), room.Save{Version: 3, Data: "x"}, "of a save of version 3: what is x"},
		{"of a game whose version is behind the upgrades", upgrades.For(behind), room.Save{Version: 2, Data: "x"}, "saves of version 2, and its upgrades lead to 3: its SaveVersion should say 3"},
		{"new, of a game whose version is ahead of the upgrades", parlor.Upgrades{}.For(game), room.Save{}, "saves of version 3, and its upgrades lead to 0"},
		{"old without upgrades", game, room.Save{Version: 1, Data: "x"}, "x"},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := ""
			r := room.Open(room.Config{
				Name: "ledger", New: test.newGame, Save: test.save.Data, SaveVersion: test.save.Version,
				Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {},
			}, func(err error) { got = fmt.Sprint(err) })
			synctest.Wait()
			if got != "<nil>" {
				if test.want == "" || !strings.Contains(got, test.want) {
					t.Errorf("%s: %s, want %s", test.name, got, test.want)
				}
				return
			}
			r.Save(func(s room.Save, _ bool, err error) {
				if err != nil || s.Data != test.want || s.Data != "" && s.Version != 3 {
					t.Errorf("%s: then it saves %+v, %v, want %s", test.name, s, err, test.want)
				}
			})
			r.Close(func() {})
			synctest.Wait()
		})
	}
}

// TestUnmakeable: that a durable game cannot be made of its save is told once, to who opens the room, and nobody is advised to go on from that save.
func TestUnmakeable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{}, "one", "save", "two")
		st.Save.Version = 1
		for _, divergence := range []room.Divergence{room.ReadOnly, room.FromSave} {
			var told []string
			log := new(logged)
			room.Open(room.Config{
				Name: "diary", Journal: new(paper), Stored: &st, Divergence: divergence, Logger: slog.New(slog.NewTextHandler(log, nil)),
				New:  func(parlor.Room, string) (parlor.Game, error) { return nil, errors.New("what is this") },
				Left: func(room.Member) {}, Ended: func() {},
			}, func(err error) { told = append(told, fmt.Sprint(err)) })
			synctest.Wait()
			if len(told) != 1 || !strings.Contains(told[0], "of a save of version 1: if this program") || !strings.HasSuffix(told[0], ": what is this") {
				t.Errorf("told is %q", told)
			}
			if log.String() != "" {
				t.Errorf("the log says %s", log)
			}
		}
		// While it is played there is nobody to tell but the log. It has not ended: what is stored of it would be deleted then.
		p, newGame := &paper{}, newDiary(&diary{})
		log := new(logged)
		made, left, ended := 0, 0, 0
		r := room.Open(room.Config{
			Name: "diary", Journal: p, Logger: slog.New(slog.NewTextHandler(log, nil)),
			Left: func(room.Member) { left++ }, Ended: func() { ended++ },
			New: func(r parlor.Room, save string) (parlor.Game, error) {
				if made++; made > 1 {
					return nil, errors.New("what is this")
				}
				return newGame(r, save)
			},
		}, func(error) {})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		pass(time.Second)
		p.fail(errors.New("no room on the disk"))
		_ = r.Packet(say("zoe", "one"), zoe)
		pass(time.Second)
		p.fail(nil)
		pass(10 * time.Second)
		if text := log.String(); strings.Count(text, "could not be made again") != 1 || strings.Contains(text, "from-save") {
			t.Errorf("the log says %s", text)
		}
		if left != 1 || ended != 0 {
			t.Errorf("%d users have left, and it has ended %d times, want 1 and 0", left, ended)
		}
		var told error
		r.Join("bob", &member{name: "bob"}, func(_ room.Joined, err error) { told = err })
		synctest.Wait()
		if u := (*room.UnplayableError)(nil); !errors.As(told, &u) {
			t.Errorf("who joins is told %v", told)
		}
		r.Close(func() {})
		if synctest.Wait(); ended != 1 {
			t.Errorf("once it is destroyed it has ended %d times, want once", ended)
		}
	})
}

// TestDoubtAndDivergence: who waits for a write of which it is not known whether it was made, and that is there, is told so if the game, which does
// something else when it is made again, can only be looked at, and not if it goes on from its save, as it is undone then.
func TestDoubtAndDivergence(t *testing.T) {
	for divergence, want := range map[room.Divergence]string{room.ReadOnly: "OK 2000", room.FromSave: "could not store"} {
		synctest.Test(t, func(t *testing.T) {
			p := &paper{delay: 10 * time.Millisecond}
			r, _ := openDiary(t, p, &diary{odd: true}, room.Config{Divergence: divergence})
			zoe := &member{name: "zoe"}
			joinDiary(t, r, zoe)
			pass(time.Second)
			r.Save(func(room.Save, bool, error) {})
			pass(time.Second)
			_ = r.Packet(say("zoe", "one"), zoe)
			pass(time.Second)
			p.fail(room.ErrUnknown)
			_ = r.Packet(say("zoe", "two"), zoe)
			pass(5 * time.Millisecond)
			p.fail(nil)
			pass(10 * time.Second)
			if n := len(zoe.answers); n != 3 || !strings.Contains(zoe.answers[2], want) {
				t.Errorf("%v: she hears %q, want %q last", divergence, zoe.answers, want)
			}
			r.Close(func() {})
			synctest.Wait()
		})
	}
}

// stopper is a durable game that stops a timer in another.
type stopper struct {
	host  parlor.Room
	other parlor.Timer
	calls []string
}

func (g *stopper) Durable() bool    { return true }
func (g *stopper) Persistent() bool { return true }
func (g *stopper) HandleGamePacket(p parlor.Packet) parlor.Response {
	if p.Message == "slow" {
		take(1500 * time.Millisecond)
	}
	return parlor.OK("")
}

// TestTimersOfDurable: timers that a packet has called go on, also if the last other one was stopped; each sees the time of which it was due.
func TestTimersOfDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(stopper)
		r := room.Open(room.Config{
			Name: "stopper", Journal: new(paper), Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {},
			New: func(host parlor.Room, _ string) (parlor.Game, error) {
				g.host, g.other = host, host.After(time.Hour, func() {})
				began := host.Now()
				host.Every(time.Second, func() {
					g.other.Stop()
					g.calls = append(g.calls, host.Now().Sub(began).String())
				})
				return g, nil
			},
		}, func(error) {})
		zoe := &member{name: "zoe"}
		joinDiary(t, r, zoe)
		_, _ = r.Packets([]parlor.Packet{say("zoe", "slow"), say("zoe", "quick")}, zoe)
		pass(4500 * time.Millisecond)
		if want := []string{"1s", "2s", "3s", "4s"}; !slices.Equal(g.calls, want) {
			t.Errorf("called at %q, want %q", g.calls, want)
		}
		r.Close(func() {})
		synctest.Wait()
	})
}

// looper is a durable game with a timer that always sets the next one.
type looper struct {
	host   parlor.Room
	begins bool // a repeated one, too, once

	mu    sync.Mutex // guards the fields below, which tests read
	last  time.Time
	calls int
}

func (g *looper) Durable() bool                                  { return true }
func (g *looper) Persistent() bool                               { return true }
func (g *looper) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.OK("") }
func (g *looper) loop() {
	g.call()
	if n, _ := g.called(); g.begins && n == 2000 {
		g.host.Every(time.Millisecond, g.call)
	}
	g.host.After(10*time.Millisecond, g.loop)
}
func (g *looper) called() (calls int, last time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls, g.last
}
func (g *looper) call() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	g.last = g.host.Now()
	g.host.Broadcast("called", g.calls)
}

// TestLoopAfterLongTime: a game that was not played for a long time makes up for so much of that, and is the same when it is made again.
func TestLoopAfterLongTime(t *testing.T) {
	for _, begins := range []bool{false, true} {
		t.Run(fmt.Sprint(begins), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g *looper
				p, zoe := new(paper), &member{name: "zoe"}
				cfg := room.Config{
					Name: "looper", Journal: p, Logger: slog.New(slog.DiscardHandler), Left: func(room.Member) {}, Ended: func() {},
					Reseat: func(room.Seated) room.Member { return zoe },
					New: func(host parlor.Room, _ string) (parlor.Game, error) {
						g = &looper{host: host, begins: begins}
						host.After(0, g.loop)
						return g, nil
					},
				}
				r := room.Open(cfg, func(error) {})
				joinDiary(t, r, zoe)
				pass(10*time.Second + time.Millisecond/2)
				if n, _ := g.called(); n != 1000 {
					t.Errorf("%d calls in 10 s", n)
				}
				r.Stop(func() {})
				pass(time.Hour)
				st := p.stored()
				cfg.Stored = &st
				r = room.Open(cfg, func(error) {})
				synctest.Wait()
				if n, last := g.called(); n < 11_000 || n > 11_002 || time.Since(last) > time.Millisecond {
					t.Errorf("%d calls after an hour, the last one for %v ago", n, time.Since(last))
				}
				pass(time.Second)
				r.Stop(func() {})
				pass(time.Second)
				calls, last := g.called()
				for s, err := range room.Replay("looper", cfg.New, p.stored(), nil) {
					if err != nil || s.Diverged != nil {
						t.Fatal(err, s.Diverged)
					}
				}
				if n, at := g.called(); n != calls || !at.Equal(last) {
					t.Errorf("made again it has %d calls until %v, and not %d until %v", n, at, calls, last)
				}
			})
		})
	}
}

// TestLoopOfOldJournal: a journal of before there was a bound on what is made up for is played as it was written, with 20,000 calls at once.
func TestLoopOfOldJournal(t *testing.T) {
	var st room.Stored
	for _, p := range []struct {
		first uint64
		text  string
	}{
		{1, "AAAAAAAAAHN7ImJlZ2FuIjoiMjAwMC0wMS0wMVQwMDowMDowMFoiLCJjbG9jayI6MCwidGlja3MiOjAsInNvdXJjZSI6ImNHTm5PcWdUcVdHampVbGJWdmhNMjZhVFZsQT0iLCJkcmF3cyI6MCwi" +
			"ZnJlc2giOnRydWV9BQAAAAN6b2UAAA=="},
		{3, "gegHAQCBiPSGPfjCiQ=="},
		{4, "gfhVAgDt3aegPfLN4Q=="},
		{5, "g5SksF+inAEAm4dS8Xi81sSgnAE="},
	} {
		entries, err := base64.StdEncoding.DecodeString(p.text)
		if err != nil {
			t.Fatal(err)
		}
		st.Pieces = append(st.Pieces, room.Piece{First: p.first, Entries: entries})
	}
	var g *looper
	newGame := func(host parlor.Room, _ string) (parlor.Game, error) {
		g = &looper{host: host}
		host.After(0, g.loop)
		return g, nil
	}
	for s, err := range room.Replay("looper", newGame, st, nil) {
		if err != nil || s.Diverged != nil {
			t.Fatal(err, s.Diverged)
		}
	}
	if n, last := g.called(); n != 20_002 || last.Format("04:05.000") != "03:20.011" {
		t.Errorf("made again it has %d calls until %v", n, last)
	}
}

// starter is a durable game that sets a timer whenever it is made, of a save too.
type starter struct{ n, add int }

func (g *starter) Durable() bool      { return true }
func (g *starter) SaveString() string { return strconv.Itoa(g.n) }
func (g *starter) HandleGamePacket(parlor.Packet) parlor.Response {
	g.n += g.add
	return parlor.OK(strconv.Itoa(g.n))
}

// TestFromSaveWithTimersAtOnce: a game that went on from its save is made again as it was, also if it has set timers for the moment at which it was made.
func TestFromSaveWithTimersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := func(p *paper, st *room.Stored, add int) (r *room.Room, g *starter, log *logged) {
			log = new(logged)
			r = room.Open(room.Config{
				Name: "starter", Journal: p, Stored: st, Divergence: room.FromSave, Logger: slog.New(slog.NewTextHandler(log, nil)),
				Left: func(room.Member) {}, Ended: func() {},
				New: func(host parlor.Room, save string) (parlor.Game, error) {
					g = &starter{add: add}
					g.n, _ = strconv.Atoi(save)
					host.After(0, func() { g.n += 100 })
					return g, nil
				},
			}, func(error) {})
			pass(time.Second)
			return r, g, log
		}
		p, zoe := new(paper), &member{name: "zoe"}
		r, _, _ := open(p, nil, 1)
		joinDiary(t, r, zoe)
		pass(time.Second)
		r.Save(func(room.Save, bool, error) {})
		pass(time.Second)
		_ = r.Packet(say("zoe", "more"), zoe)
		pass(time.Second)
		for life := range 3 {
			r.Stop(func() {})
			pass(time.Second)
			st := p.stored()
			var g *starter
			var log *logged
			r, g, log = open(p, &st, 2) // other code
			if undone := strings.Contains(log.String(), "goes on from its newest save"); undone != (life == 0) || g.n != 200 {
				t.Errorf("life %d: it is undone: %t, and it has %d", life, undone, g.n)
			}
		}
		r.Close(func() {})
		synctest.Wait()
	})
}
