package ping_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parlor/internal/pypeer"
	"parlor/packet"
	"parlor/packet/ping"
)

type obj = map[string]any

const patience = time.Minute

var versions = obj{"version": "0.2.0", "release": "0.2.0", "protoversion": int64(2)}

// TestPythonServer: a Python server is pinged, once and again.
func TestPythonServer(t *testing.T) {
	t.Parallel()
	py := pypeer.StartPacketServer(t, obj{
		"ping":  obj{"func": obj{"motd": "func", "n": 1}, "data": obj{"motd": "data"}},
		"delay": 0.05, // and what it has not handled when the stream ends is lost (D9), as would be the reason
	})
	cfg := packet.Config{CloseTimeout: patience}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(py.Port))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := ping.Do(ctx, addr, obj{"hello": 1}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := p.Data["oldmsg"].(obj)
	if sent, ok := old["time"].(float64); !ok || old["hello"] != int64(1) || time.Since(time.UnixMicro(int64(sent*1e6))).Abs() > time.Hour {
		t.Errorf("the request came back as %v", old)
	}
	delete(p.Data, "oldmsg")
	if diff := cmp.Diff(obj{"motd": "data", "n": int64(1), "peng3dnet": versions}, p.Data); diff != "" {
		t.Error(diff)
	}
	py.ExpectWith("closed", obj{"cid": 1.0, "reason": ping.ReasonComplete})

	c, _, err := ping.Dial(ctx, addr, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []any{"text", int64(7), nil} {
		p, err := c.Ping(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		if old := p.Data["oldmsg"]; data != nil && old != data {
			t.Errorf("%v came back as %v", data, old)
		}
	}
	c.Close()
	py.ExpectWith("closed", obj{"cid": 2.0, "reason": ping.ReasonComplete})
}

// TestPythonServerWithoutPing: servers of 0.2.0 that are asked for what they do not have say nothing (D4).
func TestPythonServerWithoutPing(t *testing.T) {
	t.Parallel()
	py := pypeer.StartPacketServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { // ends with ctx
		_, err := ping.Do(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(py.Port)), nil, packet.Config{})
		failed <- err
	}()
	py.ExpectWith("conntype", obj{"conntype": "ping", "known": false})
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, ping.ErrFailed) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	py.ExpectWith("closed", obj{"cid": 1.0})
}

// TestPythonClient: a Python client pings, as pingServer does and otherwise.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	addr := server(t, &ping.Options{Data: obj{"motd": "hi"}})
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	c := pypeer.StartPacketClient(t)
	c.Do(obj{"op": "connect", "port": port, "conntype": "ping", "data": obj{"hello": 1}})
	data, _ := c.Expect("pong")["data"].(obj)
	old, _ := data["oldmsg"].(obj)
	if old["hello"] != 1.0 || data["motd"] != "hi" || !cmp.Equal(data["peng3dnet"], any(obj{"version": "0.2.0", "release": "0.2.0", "protoversion": 2.0})) {
		t.Errorf("pong %v", data)
	}
	c.Do(obj{"op": "ping", "data": "text"})
	if data, _ := c.Expect("pong")["data"].(obj); data["oldmsg"] != "text" {
		t.Errorf("pong %v", data)
	}
	c.Do(obj{"op": "pingdone"}) // two frames of CloseConnection (D13)
	c.ExpectWith("closed", obj{"reason": "socketclose"})

	for packet, reason := range map[any]string{65: ping.ReasonInvalidSide, 70: ping.ReasonInvalidPacket} {
		c.Do(obj{"op": "connect", "port": port, "conntype": "ping"})
		c.Expect("pong")
		c.Do(obj{"op": "send", "packet": packet, "body": nil})
		c.ExpectWith("closed", obj{"reason": reason})
	}
}
