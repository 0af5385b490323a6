package ping_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"parlor/packet"
	"parlor/packet/ping"
)

// FuzzPing is a server, or a client, that gets anything for a ping.
func FuzzPing(f *testing.F) {
	f.Fuzz(func(t *testing.T, atServer bool, in []byte) {
		ours, theirs := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go func() { // reads all, says it, and hangs up
			defer theirs.Close()
			go io.Copy(io.Discard, theirs)
			theirs.Write(in)
		}()
		cfg := packet.Config{Logger: slog.New(noPanics{t}), CloseTimeout: time.Millisecond, MaxFrame: 64 << 10, MaxBody: 64 << 10}
		if !atServer {
			c, p, err := ping.DialConn(ctx, ours, map[string]any{"hello": 1}, cfg)
			if err == nil {
				if p.Data == nil || p.RTT < 0 || len(p.Result()) < 2 {
					t.Errorf("%+v", p)
				}
				c.Close()
			} else if !errors.Is(err, ping.ErrFailed) {
				t.Error(err)
			}
			return
		}
		s := packet.NewServer(packet.NewRegistry(), cfg)
		err := ping.Serve(s, ping.Options{Data: map[string]any{"motd": "x"}, Func: func(_ *packet.Conn, request *packet.Message) map[string]any {
			return map[string]any{"said": request.Value()}
		}})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Serve(&single{nc: ours})
		for _, c := range s.Conns() {
			<-c.Done()
		}
		s.Close()
	})
}

// single is a listener with one connection.
type single struct{ nc net.Conn }

func (l *single) Accept() (nc net.Conn, err error) {
	if nc, l.nc = l.nc, nil; nc == nil {
		return nil, io.EOF
	}
	return nc, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.UnixAddr{} }

// noPanics is a log handler that fails at those.
type noPanics struct{ t testing.TB }

func (noPanics) Enabled(context.Context, slog.Level) bool { return true }
func (p noPanics) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p noPanics) WithGroup(string) slog.Handler          { return p }
func (p noPanics) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if text := fmt.Sprint(a.Value); strings.HasPrefix(text, "panic: ") {
			p.t.Error(text)
		}
		return true
	})
	return nil
}
