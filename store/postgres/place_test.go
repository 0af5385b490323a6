package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

func TestPathHasNoPassword(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://ann:se%40cret@db.example:5433/parlor":                                     "postgres://ann@db.example:5433/parlor",
		"postgresql://db.example/parlor?password=secret&user=ann":                             "postgresql://db.example/parlor?user=ann",
		"postgres://ann@db.example/parlor?sslmode=disable&PassWord=secret&sslpassword=secret": "postgres://ann@db.example/parlor?sslmode=disable",
		"postgres://ann:secret@a.example,b.example/parlor":                                    "postgres://ann@a.example,b.example/parlor",
	} {
		if got, err := postgres.Redacted(url); err != nil || got != want {
			t.Errorf("%s: path %q, error %v", url, got, err)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	for _, url := range []string{"", "host=db.example password=secret", "mysql://ann:secret@db.example/x", "postgres://ann:secret@db.example:port/x",
		"postgres://ann:se%cret@db.example/x", "postgres://ann:secret@db.example/x?sslmode=perhaps&password=secret", "postgres://ann:secret@[::1/x",
		"postgres://ann:secret@db.example/x?connect_timeout=secret"} {
		_, err := postgres.Open(t.Context(), url, postgres.Options{})
		if err == nil || strings.Contains(err.Error(), ":secret@") || strings.Contains(err.Error(), "password=secret") {
			t.Errorf("%s: error %v", url, err)
		}
	}
	if _, err := postgres.Open(t.Context(), "postgres://db.example/x", postgres.Options{Schema: strings.Repeat("x", 64)}); err == nil {
		t.Error("a schema's name of 64 bytes is taken")
	}
}

func TestNoSuchPlace(t *testing.T) {
	s := pgtest.Shared(t)
	for what, url := range map[string]string{
		"no server":   s.At("127.0.0.1:1", "postgres"),
		"no database": s.At(s.Addr(), "nowhere"),
		"no user":     strings.Replace(s.URL(), pgtest.User+"@", "nobody:secret@", 1),
	} {
		_, err := postgres.Open(t.Context(), url, postgres.Options{})
		if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want ErrUnavailable", what, err)
		}
		if what == "no database" && !strings.Contains(err.Error(), "createdb") {
			t.Errorf("%s: error %v, which does not say how to make one", what, err)
		}
	}
}

func TestOverASocket(t *testing.T) {
	put(t, open(t, pgtest.Shared(t).SocketURL(), schema()), "a")
}
