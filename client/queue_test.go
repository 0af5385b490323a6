package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parlor"
	"parlor/client"
	"parlor/link"
)

// TestDefect11UrgentOrder: several calls that go ahead of the rest keep their order, where pgnet turns it
// around.
func TestDefect11UrgentOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events journal
		c, f := dial(t, client.Config{Username: "alice"})
		send := func(send func(parlor.Packet, func(parlor.Response, error)) error, name string) {
			t.Helper()
			if err := send(parlor.Packet{Message: name}, events.callback(name)); err != nil {
				t.Fatal(err)
			}
		}
		send(c.Send, "under way")
		synctest.Wait()
		send(c.Send, "late 1")
		send(c.SendNext, "soon 1")
		send(c.Send, "late 2")
		send(c.SendNext, "soon 2")
		var calls sync.WaitGroup
		calls.Go(func() { c.GameDir(t.Context()) })
		synctest.Wait()
		calls.Go(func() { c.LeaveGame(t.Context()) })
		synctest.Wait()
		if got := c.Pending(); got != 6 {
			t.Errorf("%d requests pending, want 6", got)
		}
		var order []string
		for range 7 {
			order = append(order, f.exchange(t, parlor.OK("done")).Message)
		}
		want := []string{"under way", "soon 1", "soon 2", parlor.RequestGameDir, parlor.RequestLeaveGame, "late 1", "late 2"}
		if !slices.Equal(order, want) {
			t.Errorf("sent in the order %q, want %q", order, want)
		}
		calls.Wait()
		synctest.Wait()
		events.want(t, "under way: done", "soon 1: done", "soon 2: done", "late 1: done", "late 2: done")
	})
}

// TestDefect35OneHeartbeatWaits: while the server is slow there is one heartbeat at most, and requests go
// ahead of it.
func TestDefect35OneHeartbeatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		c, f := dial(t, client.Config{Username: "alice", HeartbeatPayload: func() any { made++; return parlor.Map{"n": made} }})
		join(t, c, f, 10.0)
		c.Send(parlor.Packet{Message: "slow"}, nil)
		f.next(t)
		time.Sleep(2 * time.Second) // sleep: virtual; twenty heartbeats come due
		c.Send(parlor.Packet{Message: "next"}, nil)
		synctest.Wait()
		if made != 0 {
			t.Errorf("%d heartbeats were made while a request was under way", made)
		}
		f.answer(t, inGame("done", "room", nil))
		var got []string
		for range 2 {
			p := f.exchange(t, inGame("done", "room", nil))
			got = append(got, p.Message+" "+string(p.Payload.JSON()))
		}
		if want := []string{"next {}", parlor.RequestHeartbeat + ` {"n": 1}`}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		start := time.Now()
		if p := f.next(t); string(p.Payload.JSON()) != `{"n": 2}` || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%s came after %v, want the second heartbeat after 100ms", p.DebugText(), time.Since(start))
		}
	})
}

// TestSlowHeartbeatHandler: an application that takes its time with heartbeats gets fewer of them.
func TestSlowHeartbeatHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beats := 0
		c, f := dial(t, client.Config{Username: "alice", OnHeartbeat: func(parlor.Response) {
			beats++
			time.Sleep(time.Second) // sleep: virtual; the handler is slow
		}})
		join(t, c, f, 10.0)
		start := time.Now()
		for range 5 {
			f.exchange(t, inGame("beat", "room", nil))
		}
		if took := time.Since(start); took < 4*time.Second {
			t.Errorf("five heartbeats were asked for within %v", took)
		}
	})
}

// TestDefect36NoPolling: a request goes out at once, where pgnet looks every 10 ms.
func TestDefect36NoPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := dial(t, client.Config{Username: "alice"})
		start := time.Now()
		go func() {
			for range 100 {
				f.exchange(t, parlor.OK("done"))
			}
		}()
		for range 100 {
			if _, err := c.Request(t.Context(), "x", nil); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("100 requests took %v", took)
		}
	})
}

// TestDefect12HeartbeatRates: odd rates of a server are lived with.
func TestDefect12HeartbeatRates(t *testing.T) {
	const standard = 100 * time.Millisecond
	for _, test := range []struct {
		rate any // of heartbeat_rate; a Payload is the whole payload
		want time.Duration
	}{
		{2.5, 400 * time.Millisecond},
		{20, 50 * time.Millisecond},
		{20.0, 50 * time.Millisecond},
		{10, standard},
		{1000, time.Millisecond},
		{0.001, 1000 * time.Second},
		{1e-300, time.Hour},
		{0, standard},
		{-1, standard},
		{-2.5, standard},
		{1e300, standard},
		{math.NaN(), standard},
		{math.Inf(1), standard},
		{"20", standard},
		{nil, standard},
		{true, standard},
		{[]int{20}, standard},
		{parlor.Payload{}, standard},
		{parlor.Encode(nil), standard},
		{parlor.Encode([]int{1}), standard},
		{parlor.Encode("heartbeat_rate"), standard},
	} {
		t.Run(fmt.Sprintf("%T %[1]v", test.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := dial(t, client.Config{Username: "alice"})
				payload, whole := test.rate.(parlor.Payload)
				if !whole {
					payload = parlor.Encode(parlor.Map{"heartbeat_rate": test.rate})
				}
				c.Send(parlor.Packet{Message: "join"}, nil)
				f.exchange(t, inGame("in", "room", payload))
				f.exchange(t, inGame("beat", "room", parlor.Map{"heartbeat_rate": 77})) // read with a change of game only
				last := time.Now()
				for range 2 {
					p := f.exchange(t, inGame("beat", "room", nil))
					if got := time.Since(last); got != test.want || p.Message != parlor.RequestHeartbeat {
						t.Errorf("%s after %v, want a heartbeat after %v", p.Message, got, test.want)
					}
					last = time.Now()
				}
			})
		})
	}
}

// TestHeartbeatsFollowTheGame: none outside a game, at once a new rate, the default again after leaving.
func TestHeartbeatsFollowTheGame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := dial(t, client.Config{Username: "alice"})
		silent := func() {
			t.Helper()
			select {
			case p := <-f.sent:
				t.Errorf("%s outside a game", p.Message)
			case <-time.After(time.Hour):
			}
		}
		silent()
		join(t, c, f, 0.01)
		start := time.Now()
		f.exchange(t, inGame("beat", "room", nil))
		if first := time.Since(start); first > 100*time.Millisecond {
			t.Errorf("first heartbeat after %v, want it within the old interval of 100ms", first)
		}
		start = time.Now()
		f.exchange(t, inGame("beat", "room", nil))
		if second := time.Since(start); second != 100*time.Second {
			t.Errorf("next heartbeat after %v, want 100s", second)
		}
		c.Send(parlor.Packet{Message: "other"}, nil)
		f.exchange(t, inGame("in", "other room", parlor.Map{"heartbeat_rate": 20}))
		start = time.Now()
		f.exchange(t, inGame("beat", "other room", nil))
		if first := time.Since(start); first > 50*time.Millisecond {
			t.Errorf("heartbeat of a faster game after %v, want 50ms", first)
		}
		c.Send(parlor.Packet{Message: "leave"}, nil)
		f.exchange(t, parlor.OK("left"))
		silent()
	})
}

// TestHeartbeatThatIsOutOfDate is not sent: the user has left the game meanwhile.
func TestHeartbeatThatIsOutOfDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, leave := make(chan struct{}), make(chan struct{})
		c, f := dial(t, client.Config{Username: "alice", HeartbeatPayload: func() any {
			close(made)
			<-leave
			return nil
		}})
		join(t, c, f, 10)
		<-made
		c.Send(parlor.Packet{Message: "leave"}, nil)
		f.exchange(t, parlor.OK("left"))
		synctest.Wait()
		close(leave)
		select {
		case p := <-f.sent:
			t.Errorf("%s outside a game", p.Message)
		case <-time.After(time.Hour):
		}
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events journal
		c, f := dial(t, client.Config{Username: "alice"})
		c.Flush() // nothing
		c.Send(parlor.Packet{Message: "under way"}, events.callback("under way"))
		f.next(t)
		c.Send(parlor.Packet{Message: "a"}, events.callback("a"))
		c.SendNext(parlor.Packet{Message: "b"}, events.callback("b"))
		failed := make(chan error, 1)
		go func() { _, err := c.Request(t.Context(), "c", nil); failed <- err }()
		synctest.Wait()
		c.Flush()
		if err := <-failed; err != client.ErrFlushed {
			t.Errorf("Request that was flushed: %v", err)
		}
		if c.Pending() != 0 {
			t.Errorf("%d pending after Flush", c.Pending())
		}
		f.answer(t, parlor.OK("done"))
		c.Send(parlor.Packet{Message: "after"}, events.callback("after"))
		if p := f.exchange(t, parlor.OK("done")); p.Message != "after" {
			t.Errorf("%s was sent after the flush", p.Message)
		}
		synctest.Wait()
		flushed := ": request flushed from the queue"
		events.want(t, "b failed"+flushed, "a failed"+flushed, "under way: done", "after: done")
	})
}

func TestQueueLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := dial(t, client.Config{Username: "alice", MaxPending: 2})
		if err := c.Send(parlor.Packet{Message: "under way"}, nil); err != nil {
			t.Fatal(err)
		}
		f.next(t)
		for i, want := range []error{nil, nil, client.ErrQueueFull} {
			if err := c.Send(parlor.Packet{Message: "x"}, func(parlor.Response, error) {
				if i == 2 {
					t.Error("the callback of a refused request was called")
				}
			}); err != want {
				t.Errorf("request %d: %v, want %v", i, err, want)
			}
		}
		if err := c.SendNext(parlor.Packet{Message: "x"}, nil); err != client.ErrQueueFull {
			t.Errorf("SendNext: %v", err)
		}
		if _, err := c.Request(t.Context(), "x", nil); err != client.ErrQueueFull {
			t.Errorf("Request: %v", err)
		}
		f.answer(t, parlor.OK("done"))
		f.next(t)
		if err := c.Send(parlor.Packet{Message: "x"}, nil); err != nil {
			t.Errorf("after one was sent: %v", err)
		}
	})
}

func TestNotConnected(t *testing.T) {
	c, err := client.New("lobby", client.Config{Username: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	never := func(parlor.Response, error) { t.Error("the callback was called") }
	_, requested := c.Request(t.Context(), "x", nil)
	_, listed := c.GameDir(t.Context())
	for _, err := range []error{c.Send(parlor.Packet{}, never), c.SendNext(parlor.Packet{}, never), requested, listed} {
		if err != client.ErrNotConnected {
			t.Errorf("not connected: %v", err)
		}
	}
	c.Flush()
	c.Disconnect()
}

// TestContextEndsWhileWaiting for an answer, and in the queue.
func TestContextEndsWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := dial(t, client.Config{Username: "alice"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error, 3)
		ask := func(message string) {
			go func() { _, err := c.Request(ctx, message, nil); failed <- err }()
			synctest.Wait()
		}
		ask("under way")
		f.next(t)
		ask("queued")
		go func() { failed <- c.JoinGame(ctx, "room", client.GameOptions{}) }()
		synctest.Wait()
		start := time.Now()
		for range 3 {
			if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want that of the context", err)
			}
		}
		if took := time.Since(start); took != time.Second || c.Pending() != 0 {
			t.Errorf("they failed after %v, and %d are pending", took, c.Pending())
		}
		f.answer(t, parlor.OK("late")) // and dropped
		failed2 := make(chan error, 1)
		go func() {
			r, err := c.Request(t.Context(), "next", nil)
			if r.Message != "its own" {
				t.Errorf("answer %q", r.Message)
			}
			failed2 <- err
		}()
		if p := f.exchange(t, parlor.OK("its own")); p.Message != "next" {
			t.Errorf("%s was sent", p.Message)
		}
		if err := <-failed2; err != nil {
			t.Error(err)
		}
	})
}

// TestUnsendable: what cannot be sent fails by itself, and the connection lives.
func TestUnsendable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLobby()
		c, err := client.New("lobby", client.Config{Username: "alice", Dialer: tooLarge{l}})
		if err != nil {
			t.Fatal(err)
		}
		f := connect(t, c, l)
		defer c.Close()
		if _, err := c.Request(t.Context(), "x", parlor.Map{"bad": func() {}}); err == nil {
			t.Error("a function was sent")
		}
		if err := c.Send(parlor.Packet{Message: "x", Payload: parlor.Encode(make(chan int))}, nil); err == nil {
			t.Error("a channel was sent")
		}
		if _, err := c.Request(t.Context(), "large", nil); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("too large a request: %v", err)
		}
		c.Send(parlor.Packet{Message: "small"}, nil)
		f.exchange(t, parlor.OK("done"))
	})
}

// tooLarge is a link on which the packet "large" is too large.
type tooLarge struct{ link.Dialer }

func (d tooLarge) Dial(ctx context.Context, address string) (link.Conn, error) {
	conn, err := d.Dialer.Dial(ctx, address)
	return tooLargeConn{conn}, err
}

type tooLargeConn struct{ link.Conn }

func (c tooLargeConn) Send(ctx context.Context, p parlor.Packet) error {
	if p.Message == "large" || p.Message == parlor.RequestHeartbeat {
		return link.ErrTooLarge
	}
	return c.Conn.Send(ctx, p)
}

// TestGameCalls: their packets, and what becomes of the answers.
func TestGameCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := dial(t, client.Config{Username: "alice"})
		call := func(do func() error, r parlor.Response) (string, error) {
			t.Helper()
			failed := make(chan error, 1)
			go func() { failed <- do() }()
			p := f.exchange(t, r)
			return p.Message + " " + string(p.Payload.JSON()), <-failed
		}
		ctx := t.Context()
		refused := parlor.Unexpected("No.")
		for want, do := range map[string]func() error{
			`__pgnet__.create_game {"name": "room"}`:                   func() error { return c.CreateGame(ctx, "room", client.GameOptions{}) },
			`__pgnet__.create_game {"name": "room", "password": "pw"}`: func() error { return c.CreateGame(ctx, "room", client.GameOptions{Password: "pw"}) },
			`__pgnet__.create_game {"name": "room", "kind": "chess"}`:  func() error { return c.CreateGame(ctx, "room", client.GameOptions{Kind: "chess"}) },
			`__pgnet__.join_game {"name": "room", "password": "pw"}`:   func() error { return c.JoinGame(ctx, "room", client.GameOptions{Password: "pw"}) },
			`__pgnet__.leave_game {}`:                                  func() error { return c.LeaveGame(ctx) },
			`__pgnet__.game_dir {}`:                                    func() error { _, err := c.GameDir(ctx); return err },
		} {
			got, err := call(do, refused)
			var r *client.RefusedError
			if got != want || !errors.As(err, &r) || r.Response.Status != 2 || err.Error() != "No." {
				t.Errorf("sent %s, error %v, want %s and the refusal", got, err, want)
			}
		}
		var games []client.GameInfo
		payload, err := parlor.ParsePayload([]byte(`{"games": {
			"zed": {"name": "zed", "users": 2, "password_protected": true, "info": "two"},
			"abc": {"name": "abc", "users": 0, "password_protected": false, "info": null},
			"odd": {"name": "odd", "users": 0, "password_protected": false, "info": [1, "x"], "more": 1}}}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = call(func() (err error) { games, err = c.GameDir(ctx); return err }, parlor.OK("", payload))
		want := []client.GameInfo{{Name: "zed", Users: 2, PasswordProtected: true, Info: "two"}, {Name: "abc"}, {Name: "odd", Info: "[1, 'x']"}}
		if err != nil || !slices.Equal(games, want) {
			t.Errorf("directory %v, %v", games, err)
		}
		for _, bad := range []any{parlor.Map{"games": 1}, parlor.Map{"games": parlor.Map{"a": 1}}, []int{1}, parlor.Map{"games": parlor.Map{"a": parlor.Map{"users": "x"}}}} {
			if _, err := call(func() error { _, err := c.GameDir(ctx); return err }, parlor.OK("", bad)); err == nil {
				t.Errorf("the directory %v was taken", bad)
			}
		}
		if _, err := call(func() error { games, err := c.GameDir(ctx); t.Log(games); return err }, parlor.OK("")); err != nil {
			t.Errorf("a directory without games: %v", err)
		}
	})
}
