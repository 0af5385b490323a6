package packetlink_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"parlor/internal/memnet"
	"parlor/link"
	"parlor/link/packetlink"
)

// panics is a log handler that takes note of panics, which package packet logs and survives.
type panics struct{ said *string }

func (panics) Enabled(context.Context, slog.Level) bool { return true }
func (p panics) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p panics) WithGroup(string) slog.Handler          { return p }
func (p panics) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if text := fmt.Sprint(a.Value); strings.Contains(text, "panic") {
			*p.said = text
		}
		return true
	})
	return nil
}

// FuzzServer: whatever a client sends, nothing panics, the server ends the link or goes on, and the lobby is told of its end once.
func FuzzServer(f *testing.F) {
	for _, x := range exchanges(f) {
		var in []byte
		for _, s := range x.Steps {
			if s.From == "client" {
				b, err := hex.DecodeString(strings.ReplaceAll(s.Hex, " ", ""))
				if err != nil {
					f.Fatal(err)
				}
				in = append(in, b...)
			}
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			lobby := &counted{newScripted(), 0}
			var said string
			nc := dialServer(t, packetlink.Config{Lobby: lobby, Logger: slog.New(panics{&said})}, memnet.Dialer{})
			if _, err := nc.Write(in); err != nil {
				t.Log(err)
			}
			if err := nc.CloseWrite(); err != nil {
				t.Log(err)
			}
			io.Copy(io.Discard, nc)
			nc.Close()
			synctest.Wait()
			if said != "" {
				t.Error(said)
			}
			if ended := len(lobby.closed); ended != lobby.opened {
				t.Errorf("%d sessions were opened, %d ended", lobby.opened, ended)
			}
		})
	})
}

// counted counts sessions.
type counted struct {
	scripted
	opened int
}

func (l *counted) Open(to link.Link) (link.Session, error) {
	l.opened++
	return l.scripted.Open(to)
}
