package postgres_test

import (
	"errors"
	"testing"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
)

// TestOpenReadOnly: beside the server that has the store, which goes on; an export is of one moment.
func TestOpenReadOnly(t *testing.T) {
	url, name := pgtest.Shared(t).URL(), schema()
	if _, err := postgres.OpenReadOnly(t.Context(), url, postgres.Options{Schema: name}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("where there is none: %v", err)
	}
	s := open(t, url, name)
	put(t, s, "before")
	r, err := postgres.OpenReadOnly(t.Context(), url, postgres.Options{Schema: name})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for c, err := range r.Export(t.Context()) {
		if want := (store.PutSetting{Name: "before", Value: "x"}); err != nil || c != want {
			t.Errorf("exported %v, %v", c, err)
		}
		if n++; n == 1 {
			put(t, s, "after")
			if err := s.Commit(t.Context(), store.PutUser{Name: "alice"}); err != nil {
				t.Error(err)
			}
		}
	}
	if settings, err := r.Settings(t.Context()); n != 1 || err != nil || len(settings) != 2 {
		t.Errorf("exported %d, and now there are %v, %v", n, settings, err)
	}
	if err := r.Commit(t.Context(), store.PutSetting{Name: "x", Value: "x"}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	put(t, s, "later")
	run(t, connect(t, url), `INSERT INTO "`+name+`".migrations VALUES (1000, now())`)
	if _, err := postgres.OpenReadOnly(t.Context(), url, postgres.Options{Schema: name}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("of a newer version: %v", err)
	}
}
