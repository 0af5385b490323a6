package parlortest

import (
	"context"
	"log/slog"
	"testing"
)

// logger writes to the log of the test. What is logged as an error, such as a game that panics, fails the test.
func logger(t *testing.T) *slog.Logger {
	return slog.New(failing{slog.NewTextHandler(t.Output(), nil), t})
}

type failing struct {
	slog.Handler
	t *testing.T
}

func (f failing) Handle(ctx context.Context, r slog.Record) error {
	err := f.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelError {
		stack := ""
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "stack" { // which is one long line above
				stack = "\n" + a.Value.String()
			}
			return true
		})
		f.t.Errorf("parlortest: %s: this was logged as an error, as shown above%s", r.Message, stack)
	}
	return err
}

func (f failing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return failing{f.Handler.WithAttrs(attrs), f.t}
}

func (f failing) WithGroup(name string) slog.Handler { return failing{f.Handler.WithGroup(name), f.t} }
