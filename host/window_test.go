package host_test

import (
	"testing"
	"time"

	"parlor"
	"parlor/link"
	"parlor/link/wslink"
)

// TestResumeWindow: how long seats are kept is what clients are told at their login.
func TestResumeWindow(t *testing.T) {
	for _, c := range []struct {
		args []string
		want time.Duration
	}{{nil, time.Minute}, {[]string{"--resume-window", "0"}, 0}, {[]string{"--resume-window", "90s"}, 90 * time.Second}} {
		out, stop := serve(t, c.args...)
		conn, err := wslink.Dialer{}.Dial(t.Context(), out.field("address"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Handshake(t.Context()); err != nil {
			t.Fatal(err)
		}
		login := parlor.Packet{Message: parlor.MessageHandshake, Payload: parlor.Encode(parlor.Map{"username": "alice"})}
		_, w, err := conn.(link.StreamConn).Login(t.Context(), login, link.Offer{})
		if err != nil || w == nil || w.Window != c.want {
			t.Errorf("%q: %+v, %v, want a window of %v", c.args, w, err, c.want)
		}
		conn.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
