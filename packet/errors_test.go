package packet_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

// Kinds of errors are errors of their kind.
func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		err, kind error
	}{
		{packet.ErrInvalidPort, packet.ErrInvalidAddress}, {packet.ErrInvalidHost, packet.ErrInvalidAddress},
		{packet.ErrUnsupportedAddress, packet.ErrInvalidAddress},
		{packet.ErrAlreadyRegistered, packet.ErrRegistry}, {packet.ErrNotRegistered, packet.ErrRegistry},
		{packet.ErrClosed, net.ErrClosed},
		{&packet.CloseError{}, packet.ErrClosed}, {&packet.CloseError{}, net.ErrClosed},
		{&packet.CloseError{Cause: packet.ErrInvalidFrame}, packet.ErrInvalidFrame},
		{&packet.CloseError{Reason: packet.ReasonServerFull}, packet.ErrServerFull},
		{&packet.CheckError{}, packet.ErrInvalidPacket},
	} {
		if !errors.Is(c.err, c.kind) {
			t.Errorf("%v is no %v", c.err, c.kind)
		}
	}
	var ne net.Error
	if !errors.As(packet.ErrTimeout, &ne) || !ne.Timeout() {
		t.Error("ErrTimeout is no net.Error")
	}
	if errors.Is(&packet.CloseError{Reason: "else"}, packet.ErrServerFull) {
		t.Error("any reason is ErrServerFull")
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&packet.CloseError{}, "connection closed"},
		{&packet.CloseError{Reason: "x", Remote: true}, "connection closed by the other side: x"},
		{&packet.CloseError{Reason: "x", Cause: packet.ErrEncryption}, "connection closed: x: AES-encrypted packets are not supported; use TLS"},
		{&packet.CheckError{Packet: "t:a", Check: "state", Want: packet.StateActive, Got: packet.StateInit}, "t:a: packet not valid here: state is 0 (new), must be 64 (active) (each side has its own: SetState)"},
	} {
		if c.err.Error() != c.want {
			t.Errorf("%q, want %q", c.err, c.want)
		}
	}
	if text := (&packet.CloseError{Reason: strings.Repeat("x", 100_000)}).Error(); len(text) > 1000 {
		t.Errorf("a text of %d bytes", len(text))
	}
}

func TestErrorsOfConnections(t *testing.T) {
	reg := regOf(t, "t:a")
	s := serve(t, packet.NewServer(reg, packet.Config{Logger: quiet}))
	c := packet.NewClient(reg, packet.Config{MaxFrame: 1000, NoCompression: true})
	if err := c.Send("t:a", 1); !errors.Is(err, packet.ErrNotConnected) {
		t.Errorf("not connected: %v", err)
	}
	if err := c.WritePacket(64, 1); !errors.Is(err, packet.ErrNotConnected) {
		t.Errorf("not connected: %v", err)
	}
	if c.RemoteAddr() != nil || c.NetConn() != nil || c.Err() != nil || c.State() != packet.StateInit || c.ConnType() != packet.ConnTypeNotSet {
		t.Error("it has something of a connection")
	}
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := c.WaitReady(past); !errors.Is(err, packet.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitReady: %v", err)
	}
	connect(t, c, s.addr)
	if err := c.WaitReady(past); err != nil && !errors.Is(err, packet.ErrTimeout) {
		t.Errorf("WaitReady: %v", err)
	}
	if err := c.Connect(t.Context(), s.addr); err == nil {
		t.Error("connected twice")
	}
	if err := c.Wait(past); !errors.Is(err, packet.ErrTimeout) {
		t.Errorf("Wait: %v", err)
	}
	gone, cancel2 := context.WithCancelCause(t.Context())
	cancel2(errors.New("changed my mind"))
	if err := c.Wait(gone); err == nil || err.Error() != "changed my mind" {
		t.Errorf("Wait: %v", err)
	}
	if err := c.Send("t:a", strings.Repeat("x", 1000)); !errors.Is(err, packet.ErrFrameTooLarge) || !strings.Contains(err.Error(), "MaxFrame 1000") {
		t.Errorf("too large: %v", err)
	}
	if err := c.Send("t:a", strings.Repeat("x", 991)); err != nil { // 6 + 3 + 991
		t.Errorf("just not too large: %v", err)
	}
	if err := c.AddConnType("classic", packet.ConnType{}); !errors.Is(err, packet.ErrAlreadyRegistered) {
		t.Errorf("%v", err)
	}
	if err := c.AddConnType(packet.ConnTypeNotSet, packet.ConnType{}); !errors.Is(err, packet.ErrRegistry) {
		t.Errorf("%v", err)
	}
	c.Close("done")
	<-c.Done()
	for what, err := range map[string]error{
		"Send": c.Send("t:a", 1), "WritePacket": c.WritePacket(64, 1), "WaitReady": c.WaitReady(t.Context()), "Err": c.Err(),
		"Connect": c.Connect(t.Context(), s.addr),
	} {
		var closed *packet.CloseError
		if !errors.Is(err, packet.ErrClosed) || !errors.Is(err, net.ErrClosed) || !errors.As(err, &closed) || closed.Reason != "done" || closed.Remote {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c.State() != packet.StateClosed || c.Mode() != packet.ModeClosed {
		t.Errorf("state %d, mode %d", c.State(), c.Mode())
	}
	c.SetState(packet.StateActive)
	if c.State() != packet.StateClosed {
		t.Error("a closed connection has another state")
	}
}

func TestErrorsOfConnect(t *testing.T) {
	reg := regOf(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String()
	silent := packet.NewClient(reg, packet.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	var ne net.Error
	if err := silent.Connect(ctx, addr); !errors.Is(err, packet.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("a silent server: %v", err)
	}
	<-silent.Done()
	refused := packet.NewClient(reg, packet.Config{})
	if err := refused.Connect(t.Context(), nobody(t)); err == nil || errors.Is(err, packet.ErrTimeout) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	<-refused.Done()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := packet.NewClient(reg, packet.Config{}).Connect(canceled, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	s := packet.NewServer(reg, packet.Config{})
	s.Close()
	if err := s.ListenAndServe("127.0.0.1:0"); !errors.Is(err, packet.ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed server: %v", err)
	}
}

func TestMaxConns(t *testing.T) {
	reg := regOf(t)
	s := serve(t, packet.NewServer(reg, packet.Config{MaxConns: 2, Logger: quiet}))
	first := packet.NewClient(reg, packet.Config{})
	connect(t, first, s.addr)
	connect(t, packet.NewClient(reg, packet.Config{}), s.addr)
	third := packet.NewClient(reg, packet.Config{})
	err := third.Connect(t.Context(), s.addr)
	var closed *packet.CloseError
	if !errors.As(err, &closed) || closed.Reason != packet.ReasonServerFull || !closed.Remote || !errors.Is(err, packet.ErrServerFull) {
		t.Errorf("the third: %v", err)
	}
	if n := s.Stats().Refused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	first.Close(nil)
	eventually(t, "there is room", func() bool { return len(s.Conns()) == 1 })
	connect(t, packet.NewClient(reg, packet.Config{}), s.addr)
	<-third.Done()
}

func TestSecurityAndSideNames(t *testing.T) {
	for i, want := range []string{"none", "wrapped", "encrypted", "server authenticated", "both authenticated", "security 5"} {
		if got := packet.Security(i).String(); got != want {
			t.Errorf("%d is %q", i, got)
		}
	}
	if packet.SideClient.String() != "client" || packet.SideServer.String() != "server" || packet.Security(-1).String() != "security -1" {
		t.Error("wrong names")
	}
}
