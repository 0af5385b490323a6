package ping_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parlor/msgpack"
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
	return serve(t, s)
}

func serve(t *testing.T, s *packet.Server) string {
	t.Helper()
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
		Func: func(c *packet.Conn, request *packet.Message) map[string]any {
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

// TestRequestsAreBounded: a request costs a server no more than its length, and not any length is answered.
func TestRequestsAreBounded(t *testing.T) {
	addr := server(t, &ping.Options{Func: func(_ *packet.Conn, request *packet.Message) map[string]any {
		if len(request.Body()) < 100 {
			return map[string]any{"n": request.Value().(map[string]any)["n"]}
		}
		return nil
	}})
	c, p, err := ping.Dial(t.Context(), addr, map[string]any{"n": 7}, packet.Config{})
	if err != nil || p.Data["n"] != int64(7) {
		t.Fatalf("%v, %v", p, err)
	}
	most := strings.Repeat("x", ping.MaxRequest-3) // behind a head of 3 bytes
	if p, err = c.Ping(t.Context(), most); err != nil || p.Data["oldmsg"] != most {
		t.Fatal(err)
	}
	_, err = c.Ping(t.Context(), most+"x")
	var closed *packet.CloseError
	if !errors.As(err, &closed) || closed.Reason != ping.ReasonInvalidPacket {
		t.Error(err)
	}
}

// TestAnswerIsBrief: an error shows not all of an answer that is no map.
func TestAnswerIsBrief(t *testing.T) {
	for name, answer := range map[string]any{
		"a list":  make([]any, 100_000),
		"a text":  strings.Repeat("x", 100_000),
		"bytes":   make([]byte, 100_000),
		"a map":   msgpack.Map{{Key: strings.Repeat("x", 100_000), Bin: true}},
		"an ext":  msgpack.Ext{Code: 1, Data: make([]byte, 100_000)},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := packet.NewServer(packet.NewRegistry(), packet.Config{})
			addr := serve(t, s)
			err := s.AddConnType(packet.ConnTypePing, packet.ConnType{Receive: func(c *packet.Conn, _ *packet.Message) (bool, error) {
				return true, c.WritePacket(ping.IDResponse, answer)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = ping.Do(t.Context(), addr, nil, packet.Config{}); !errors.Is(err, ping.ErrFailed) || len(err.Error()) > 400 ||
				!errors.Is(err, ping.ErrNoMap) || !strings.Contains(err.Error(), "no map of names") {
				t.Errorf("an error of %d bytes: %.400v", len(err.Error()), err)
			}
		})
	}
}

// TestErrFailed: a ping that failed is a wait that was in vain, whatever the cause.
func TestErrFailed(t *testing.T) {
	_, err := ping.Do(t.Context(), "127.0.0.1:1", nil, packet.Config{})
	if !errors.Is(err, ping.ErrFailed) || !errors.Is(err, packet.ErrTimeout) {
		t.Errorf("%v", err)
	}
}
