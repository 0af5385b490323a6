package linktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parlor/link"
)

// crowded are the ends of a wire with little room.
type crowded struct {
	*ends
	from func(ctx context.Context, address string) (link.StreamConn, error)
}

func newCrowded(t *testing.T, w Wire, connections, pending int) *crowded {
	lobby := &lobby{opened: make(chan *session, 64)}
	return &crowded{&ends{t: t, wire: w, lobby: lobby}, w.Crowded(t, lobby, connections, pending)}
}

// at are the ends for a client at an address.
func (e *crowded) at(address string) *ends {
	client := *e.ends
	client.dial = func(ctx context.Context) (link.StreamConn, error) { return e.from(ctx, address) }
	return &client
}

// enters logs a client in that is connected. The error is that it cannot.
func (e *ends) enters(conn link.StreamConn) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	_, w, err := conn.Login(ctx, login, link.Offer{})
	if errors.Is(err, context.DeadlineExceeded) {
		e.t.Errorf("the login was not answered in %v", patience)
	}
	if err == nil && w == nil {
		err = errors.New("no welcome")
	}
	return err
}

// user is a client that has logged in from an address, where no other one is. Some wires open sessions for those too who do not
// log in.
func (e *crowded) user(address string) (link.StreamConn, *session) {
	e.t.Helper()
	conn := e.at(address).open()
	if err := e.enters(conn); err != nil {
		e.t.Fatal(err)
	}
	for {
		if s := e.session(); s.link.Peer().Addr.String() == address {
			return conn, s
		}
	}
}

// works has a user ask something.
func (e *ends) works(conn link.StreamConn, s *session, id uint64) {
	e.t.Helper()
	e.write(conn, request(id, nil))
	if got := heard(e.t, s, "a request"); got.ID != id {
		e.t.Errorf("the lobby got %s", text(&got))
	}
	s.deliver(e.t, id, answer(id, id, nil))
	e.read(conn, 1)
}

// testCrowd: over either limit a crowd of those who do not log in pushes out its own, the oldest first; nobody else, and no user.
func testCrowd(t *testing.T, w Wire) {
	for name, limits := range map[string][2]int{"connections": {5, 100}, "pending": {100, 4}} {
		t.Run(name, func(t *testing.T) {
			w.run(t, func(t *testing.T) {
				e := newCrowded(t, w, limits[0], limits[1])
				user, s := e.user("198.51.100.1")
				lonely := e.at("198.51.100.2").open()
				var crowd []link.StreamConn
				for i := range 12 { // a host's many addresses of IPv6 are one network
					crowd = append(crowd, e.at(fmt.Sprintf("2001:db8:1:2::%x", i)).open())
				}
				for i, conn := range crowd {
					if err := e.enters(conn); (err == nil) != (i >= 9) {
						t.Errorf("number %d of the crowd got %v", i, err)
					}
				}
				if err := e.enters(lonely); err != nil {
					t.Errorf("who was there before got %v", err)
				}
				e.works(user, s, 1)
			})
		})
	}
}

// testFull: a server that is full of users turns newcomers away, and has room again when one of them goes.
func testFull(t *testing.T, w Wire) {
	w.run(t, func(t *testing.T) {
		e := newCrowded(t, w, 3, 100)
		var users [3]link.StreamConn
		var sessions [3]*session
		var stranger link.StreamConn
		for i := range users {
			if i == 2 {
				stranger = e.at("198.51.100.9").open()
			}
			users[i], sessions[i] = e.user(fmt.Sprintf("198.51.100.%d", i+1))
		}
		if err := e.enters(stranger); err == nil {
			t.Error("a stranger did not make room for a newcomer")
		}
		for range 5 {
			begun := time.Now()
			conn, err := e.at("198.51.100.9").dial(t.Context())
			if err == nil {
				t.Cleanup(func() { conn.Close() })
				if _, err = conn.Handshake(t.Context()); err == nil {
					err = e.enters(conn)
				}
			}
			if took := time.Since(begun); err == nil || took > time.Second {
				t.Errorf("a fourth one got %v after %v", err, took)
			}
		}
		for i := range users {
			e.works(users[i], sessions[i], 1)
		}
		users[0].Close()
		sessions[0].ends(t, true)
		time.Sleep(3 * time.Second) // sleep: virtual, for the connection to be gone
		newcomer, s := e.user("198.51.100.4")
		e.works(newcomer, s, 1)
		e.works(users[1], sessions[1], 2)
	})
}
