package packet_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"parlor/packet"
)

// TestNoDelay checks that small packets do not wait for acknowledgements (D27), at both sides.
func TestNoDelay(t *testing.T) {
	e := bothEnds(t, networks[2], packet.Config{})
	for _, c := range []*packet.Conn{e.conn, e.client.Conn} {
		if on, err := noDelay(c.NetConn().(*net.TCPConn)); err != nil || !on {
			t.Errorf("%v: %v, %v", c.Side(), on, err)
		}
	}
}

// TestLimits checks that each limit holds for what is sent, or comes, and not one byte before (D30).
func TestLimits(t *testing.T) {
	closed := make(chan *packet.CloseError, 1)
	limited := func() packet.Config {
		cfg := calm(closed)
		cfg.MaxFrame, cfg.MaxBody, cfg.MaxDepth, cfg.MaxElements = 1000, 500, 3, 10
		return cfg
	}
	fits := func(v any, flags uint16) []byte {
		b := framed(64, v)
		if flags == 0 {
			return b
		}
		return rawFrame(64, flags, zlibbed(b[10:]))
	}
	text := func(length int) string { return strings.Repeat("x", length-6-3) } // str16
	for _, row := range []struct {
		name      string
		good, bad []byte
		with      string
	}{
		{"frame", fits(text(1000), 0), fits(text(1001), 0), packet.ReasonFrameTooLarge},
		{"body", fits(strings.Repeat("x", 497), 1), fits(strings.Repeat("x", 498), 1), packet.ReasonBodyTooLarge},
		{"depth", fits([]any{[]any{[]any{}}}, 0), fits([]any{[]any{[]any{[]any{}}}}, 0), packet.ReasonBodyTooLarge},
		{"elements", fits(make([]any, 10), 0), fits(make([]any, 11), 0), packet.ReasonBodyTooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := packet.NewServer(echoing(t), limited())
			r := dialRaw(t, serveMemory(t, srv))
			r.shake()
			r.send(row.good)
			r.expect(framed(64, frameValue(t, row.good)))
			r.send(row.bad)
			r.expect(closeFrame(row.with))
			r.expectEnd()
			checkClose(t, within(t, "Close hook", closed), row.with, false, nil)
			if n := srv.Stats().TooLarge.Load(); n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
	t.Run("sent", func(t *testing.T) {
		cfg := calm(closed)
		cfg.MaxFrame = 1000
		c, r := clientAndRaw(t, echoing(t), cfg, pairs{pair("test:a", 64)})
		if err := c.Send("test:a", text(1001)); !errors.Is(err, packet.ErrFrameTooLarge) {
			t.Errorf("one byte too much: %v", err)
		}
		if err := c.Send("test:a", text(1000)); err != nil {
			t.Error(err)
		}
		r.expect(framed(64, text(1000)))
	})
	t.Run("sent, inflated", func(t *testing.T) {
		cfg := packet.Config{MaxBody: 500, CompressAbove: 100, Logger: quiet}
		c, r := clientAndRaw(t, echoing(t), cfg, pairs{pair("test:a", 64)})
		if err := c.Send("test:a", strings.Repeat("x", 498)); !errors.Is(err, packet.ErrBodyTooLarge) {
			t.Errorf("one byte too much: %v", err)
		}
		if err := c.Send("test:a", strings.Repeat("x", 497)); err != nil {
			t.Error(err)
		}
		r.expect(rawFrame(64, 1, zlibbed(framed(64, strings.Repeat("x", 497))[10:])))
	})
}

// TestCompressLevels checks that bodies are what zlib makes of them at the level.
func TestCompressLevels(t *testing.T) {
	text := ""
	for i := range 2000 {
		text += strconv.Itoa(i * i)
	}
	body := framed(64, text)[10:]
	streams := make(map[string]int)
	for level, want := range map[int]int{0: 6, -1: 6, 1: 1, 9: 9, packet.LevelStore: zlib.NoCompression} {
		c, r := clientAndRaw(t, echoing(t), packet.Config{CompressLevel: level}, pairs{pair("test:a", 64)})
		if err := c.Send("test:a", text); err != nil {
			t.Fatal(err)
		}
		var stream bytes.Buffer
		w, err := zlib.NewWriterLevel(&stream, want)
		must(err)
		w.Write(body) // a buffer takes everything
		w.Close()
		if got := r.next(); !bytes.Equal(got, rawFrame(64, 1, stream.Bytes())) {
			t.Errorf("level %d: %d bytes, want %d as level %d of zlib makes", level, len(got), 10+stream.Len(), want)
		}
		streams[stream.String()]++
	}
	if len(streams) != 4 {
		t.Errorf("the levels make %d streams: they cannot be told apart", len(streams))
	}
}
