package ping_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

// play is a server over a socket: it says Hello and sends what answer returns for each request, together. It ends
// with the stream, or when closing is over, which is called when the client says that this was all.
func play(nc net.Conn, answer func(request any) []obj, closing func()) error {
	defer nc.Close()
	frame := func(id packet.ID, body any) []byte {
		b, _ := msgpack.Append(nil, body)
		return packet.AppendFrame(nil, id, 0, b)
	}
	nc.Write(frame(packet.IDHello, obj{"version": "0.2.0", "protoversion": 2}))
	for r := bufio.NewReader(nc); ; {
		head := make([]byte, 10)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		b := make([]byte, binary.BigEndian.Uint32(head)-6)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		switch packet.ID(binary.BigEndian.Uint32(head[4:])) {
		case packet.IDCloseConnection:
			if closing != nil {
				closing()
			}
			return nil
		case ping.IDRequest:
			var request any
			if err := msgpack.Unmarshal(b, &request, msgpack.Limits{}); err != nil {
				return err
			}
			var frames []byte
			for _, body := range answer(request) {
				frames = append(frames, frame(ping.IDResponse, body)...)
			}
			nc.Write(frames)
		}
	}
}

// givenUp is the context of a ping that nobody waits for.
func givenUp(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestLateAnswer: an answer to an earlier request does not push out that to the request under way, even when both
// are there before anybody waits.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	ended := make(chan error, 1)
	go func() { // ends with the client
		var late any
		n := 0
		ended <- play(server, func(request any) []obj {
			n++
			if n > 1 && n%2 == 0 { // is answered with the next
				late = request
				return nil
			}
			answers := []obj{{"oldmsg": request, "answer": "new"}}
			if late != nil && !cmp.Equal(late, request) { // which were sent in the same microsecond
				answers = []obj{{"oldmsg": late, "answer": "late"}, answers[0]}
			}
			return answers
		}, nil)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, first, err := ping.DialConn(ctx, client, nil, packet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if first.Data["answer"] != "new" {
			t.Fatalf("ping %d: the late answer was taken", i)
		}
		if _, err := c.Ping(givenUp(t), nil); !errors.Is(err, ping.ErrFailed) {
			t.Fatalf("ping %d that nobody waits for: %v", i, err)
		}
		if first, err = c.Ping(ctx, nil); err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestLateAnswerWithoutRequest: where the request is not written back, what came before a ping is no answer to it.
func TestLateAnswerWithoutRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ended := make(chan error, 1)
		go func() { // ends with the client
			n := -1
			ended <- play(server, func(any) []obj {
				n++
				time.Sleep(time.Second) // sleep: on the clock of synctest, which takes no time
				return []obj{{"n": n}}
			}, nil)
		}()
		c, _, err := ping.DialConn(t.Context(), client, nil, packet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ping(givenUp(t), nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // sleep: on the clock of synctest; its answer comes now
		synctest.Wait()
		p, err := c.Ping(t.Context(), nil)
		if err != nil || p.Data["n"] != int64(2) || p.RTT != time.Second {
			t.Errorf("%+v, %v", p, err)
		}
		c.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestOldmsgOverridden: a server may say what it likes in the place of the request, also what looks like one.
func TestOldmsgOverridden(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]obj{"no time": {"a": int64(1)}, "a time": {"time": 1.5}, "another time": {"time": "noon"}} {
		t.Run(name, func(t *testing.T) {
			addr := server(t, &ping.Options{Data: obj{"oldmsg": old}})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, p, err := ping.Dial(ctx, addr, nil, packet.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Ping(givenUp(t), nil); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			q, err := c.Ping(ctx, nil)
			if err != nil || !cmp.Equal(p.Data["oldmsg"], any(old)) || !cmp.Equal(q.Data["oldmsg"], any(old)) {
				t.Errorf("%v, %v, %v", p, q, err)
			}
			c.Close()
		})
	}
}

// TestDoEndsWithContext: a server that has answered but does not close is not waited for any longer than ctx says.
func TestDoEndsWithContext(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { // ends with the client
		nc, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		served <- play(nc, func(any) []obj { return []obj{{"motd": "hi"}} }, func() {
			cancel()
			io.Copy(io.Discard, nc) // until the client has gone
		})
	}()
	type result struct {
		pong *ping.Pong
		err  error
	}
	did := make(chan result, 1)
	go func() { // ends with ctx
		p, err := ping.Do(ctx, ln.Addr().String(), nil, packet.Config{CloseTimeout: time.Hour})
		did <- result{p, err}
	}()
	select {
	case r := <-did:
		if r.err != nil || r.pong.Data["motd"] != "hi" {
			t.Errorf("%v, %v", r.pong, r.err)
		}
	case <-time.After(patience):
		t.Fatal("it waits for the server")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
