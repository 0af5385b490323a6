package room_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/room"
)

// full is a game with all abilities. Each of its hooks calls at with its name first.
type full struct {
	host parlor.Room
	at   func(hook string)
}

// hooks are the names of them all, as a room logs them.
var hooks = []string{
	"create", "update rate", "max users", "user joined", "heartbeat rate", "resume window", "push on heartbeat", "packet",
	"heartbeat", "timer", "update", "lobby info", "persistent", "save", "user away", "user back", "draining", "user left",
}

func (f *full) HandleGamePacket(p parlor.Packet) parlor.Response {
	f.at("packet")
	return parlor.OK(p.Message)
}
func (f *full) HandleHeartbeat(p parlor.Packet) parlor.Response {
	f.at("heartbeat")
	return parlor.OK("beat")
}
func (f *full) UserJoined(string)           { f.at("user joined") }
func (f *full) UserLeft(string)             { f.at("user left") }
func (f *full) UserAway(string)             { f.at("user away") }
func (f *full) UserBack(string, bool)       { f.at("user back") }
func (f *full) HeartbeatRate() float64      { f.at("heartbeat rate"); return 10 }
func (f *full) UpdateRate() float64         { f.at("update rate"); return 20 }
func (f *full) ResumeWindow() time.Duration { f.at("resume window"); return time.Minute }
func (f *full) PushOnHeartbeat() bool       { f.at("push on heartbeat"); return true }
func (f *full) MaxUsers() int               { f.at("max users"); return 5 }
func (f *full) Persistent() bool            { f.at("persistent"); return len(f.host.Users()) > 0 }
func (f *full) SaveString() string          { f.at("save"); return "state" }
func (f *full) LobbyInfo() string           { f.at("lobby info"); return "info" }
func (f *full) Update()                     { f.at("update") }
func (f *full) Draining(time.Time)          { f.at("draining") }

// life is a room with a full game, in which one user does all that can be done.
type life struct {
	room  *room.Room
	alice *member
	seen  events // answers and ends, in order
	stats room.Stats
	log   strings.Builder
}

func newLife(workers *room.Workers, at func(hook string)) *life {
	l := &life{alice: &member{name: "alice"}}
	l.room = room.Open(room.Config{
		Name: "room", Logger: slog.New(slog.NewTextHandler(&l.log, nil)), Workers: workers, Stats: &l.stats,
		New: func(host parlor.Room, _ string) (parlor.Game, error) {
			at("create")
			host.After(time.Second, func() { at("timer") })
			return &full{host: host, at: at}, nil
		},
		Left:  func(room.Member) { l.seen.add("left") },
		Ended: func() { l.seen.add("ended") },
	}, func(err error) { l.noteErr("opened", err) })
	return l
}

func (l *life) noteErr(what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	l.seen.add(what)
}

// run asks the room for everything, waits for nothing, and ends it after two seconds.
func (l *life) run() {
	packet := func(message string) {
		l.room.Packet(parlor.Packet{Message: message, Username: "alice"}, l.alice)
	}
	l.room.Join("alice", l.alice, func(_ room.Joined, err error) { l.noteErr("joined", err) })
	packet("move")
	packet(parlor.RequestHeartbeat)
	take(1500 * time.Millisecond)
	l.room.Refresh(func() { l.seen.add("refreshed") })
	l.room.Save(func(_ room.Save, _ bool, err error) { l.noteErr("saved", err) })
	l.room.Away("alice", l.alice)
	take(time.Millisecond)
	l.room.Back("alice", l.alice, true)
	l.room.Drain(time.Now(), func() { l.seen.add("drained") })
	take(499 * time.Millisecond)
	l.room.Leave("alice", l.alice, func() { l.seen.add("leave answered") })
	l.room.Close(func() { l.seen.add("closed") })
}

// undisturbed is what is seen of a life in which nothing goes wrong.
var undisturbed = []string{"opened", "joined", "refreshed", "saved", "drained", "ended", "left", "leave answered", "closed"}

// TestPanicInEachHook has each hook of one room panic: whoever asks is answered, the room comes to its end, and
// another one on the same goroutines takes no notice.
func TestPanicInEachHook(t *testing.T) {
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				workers := room.NewWorkers()
				defer workers.Close()
				broken := newLife(workers, func(at string) {
					if at == hook {
						panic("on purpose")
					}
				})
				well := newLife(workers, func(string) {})
				var both sync.WaitGroup
				both.Go(broken.run)
				both.Go(well.run)
				both.Wait()
				well.seen.want(t, undisturbed...)
				if n := well.stats.Panics.Load(); n != 0 {
					t.Errorf("%d panics in the other room", n)
				}
				logged := hook
				if hook == "heartbeat" {
					logged = "packet"
				}
				if strings.Contains(logged, " ") {
					logged = `"` + logged + `"`
				}
				if n := broken.stats.Panics.Load(); n == 0 || !strings.Contains(broken.log.String(), "hook="+logged+" ") {
					t.Errorf("%d panics counted, and logged:\n%s", n, broken.log.String())
				}
				switch hook {
				case "create":
					broken.seen.want(t, "ended", `opened: create game "room": the game's constructor panicked`, "joined: room is closed",
						"refreshed", "saved: room is closed", "drained", "leave answered", "closed")
				case "user joined":
					broken.seen.want(t, "opened", "ended", "joined: the game failed to take the user",
						"refreshed", "saved: room is closed", "drained", "leave answered", "closed")
				case "save":
					broken.seen.want(t, "opened", "joined", "refreshed", `saved: save game "room": the hook panicked`, "drained", "ended", "left", "leave answered", "closed")
				case "persistent": // and is rather kept than lost
					broken.seen.want(t, "opened", "joined", "refreshed", "saved", "drained", "left", "leave answered", "ended", "closed")
				default:
					broken.seen.want(t, undisturbed...)
				}
			})
		})
	}
}

// TestStuckInEachHook has each hook of one room hang: another one goes through its life without losing an
// instant, and the stuck one goes on where it was when it is free.
func TestStuckInEachHook(t *testing.T) {
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				workers := room.NewWorkers()
				defer workers.Close()
				free := make(chan struct{})
				stuck := newLife(workers, func(at string) {
					if at == hook {
						<-free
					}
				})
				began := time.Now()
				stuck.run()
				synctest.Wait()
				if n := len(stuck.seen.list); n == len(undisturbed) {
					t.Errorf("the room was not stuck: %q", stuck.seen.list)
				}
				well := newLife(workers, func(string) {})
				well.run()
				if took := time.Since(began); took != 4*time.Second {
					t.Errorf("two lives took %v, want 4 s", took)
				}
				well.seen.want(t, undisturbed...)
				close(free)
				synctest.Wait()
				if list := stuck.seen.list; len(list) != len(undisturbed) || list[len(list)-1] != "closed" {
					t.Errorf("in the end %q", list)
				}
				if n := stuck.stats.Slow.Load(); n == 0 || !strings.Contains(stuck.log.String(), "slow hook") {
					t.Errorf("%d slow hooks counted, and logged:\n%s", n, stuck.log.String())
				}
				stuck.alice.answers, stuck.seen.list = nil, nil
			})
		})
	}
}

// TestSlowJoinIsRefused shows that a stuck room refuses joins when its mailbox is full, and others do not.
func TestSlowJoinIsRefused(t *testing.T) {
	inStuckRoom(t, room.Config{Mailbox: 1}, func(t *testing.T, r tested, alice *member, release func()) {
		other := open(t, new(game), room.Config{Mailbox: 1})
		r.Join("bob", &member{name: "bob"}, func(room.Joined, error) {})
		busy := r.enter(t, &member{name: "carol"})
		if !errors.Is(busy, room.ErrBusy) {
			t.Errorf("stuck room: %v, want ErrBusy", busy)
		}
		if err := other.enter(t, &member{name: "carol"}); err != nil {
			t.Errorf("other room: %v", err)
		}
		release()
	})
}
