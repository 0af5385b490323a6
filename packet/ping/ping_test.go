package ping_test

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parlor/packet"
	"parlor/packet/ping"
)

// server serves on a free port of the loopback until the test ends.
func server(t *testing.T, opts *ping.Options) string {
	t.Helper()
	s := packet.NewServer(packet.NewRegistry(), packet.Config{})
	if opts != nil {
		if err := ping.Serve(s, *opts); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

func TestDo(t *testing.T) {
	addr := server(t, &ping.Options{
		Data: map[string]any{"motd": "data", "peng3dnet": "hidden"},
		Func: func(c *packet.Conn, request any) map[string]any {
			return map[string]any{"motd": "func", "oldmsg": "mine", "cid": c.CID()}
		},
	})
	p, err := ping.Do(t.Context(), addr, map[string]any{"hello": 1}, packet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"motd": "data", "oldmsg": "mine", "cid": int64(1),
		"peng3dnet": map[string]any{"version": "0.2.0", "release": "0.2.0", "protoversion": int64(2)},
	}
	if diff := cmp.Diff(want, p.Data); diff != "" {
		t.Error(diff)
	}
	if p.RTT <= 0 || p.Received.IsZero() {
		t.Errorf("RTT %v, received %v", p.RTT, p.Received)
	}
}

func TestNotServed(t *testing.T) {
	_, err := ping.Do(t.Context(), server(t, nil), nil, packet.Config{})
	var closed *packet.CloseError
	if !errors.Is(err, ping.ErrFailed) || !errors.As(err, &closed) || closed.Reason != packet.ReasonUnknownConnType {
		t.Errorf("%v", err)
	}
}
