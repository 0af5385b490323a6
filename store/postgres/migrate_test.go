package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
	"parlor/store/storetest"
)

func TestMigrations(t *testing.T) {
	url, o := pgtest.Shared(t).URL(), postgres.Options{Schema: schema()}
	s := open(t, url, o.Schema)
	if err := s.Commit(t.Context(), storetest.Sample()...); err != nil {
		t.Fatal(err)
	}
	s.Close()

	next := "CREATE TABLE more (x int); INSERT INTO more VALUES (1); ALTER TABLE users ADD COLUMN email bytea"
	if _, err := postgres.OpenSteps(t.Context(), url, o, next+"; SELECT 1/0"); err == nil || !strings.Contains(err.Error(), "migration 2") {
		t.Fatalf("a wrong step: error %v", err)
	}
	for range 2 { // the second time there is nothing to do
		s, err := postgres.OpenSteps(t.Context(), url, o, next)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := s.User(t.Context(), "zoe"); err != nil || u.Number != 1 {
			t.Errorf("user %+v, error %v", u, err)
		}
		s.Close()
	}

	admin := connect(t, url)
	_, err := postgres.Open(t.Context(), url, o)
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("the older program: error %v, want ErrNewer", err)
	}
	var ended bool
	if err := admin.QueryRow(t.Context(), "SELECT bool_and(ended IS NOT NULL) FROM "+pgx.Identifier{o.Schema, "lease"}.Sanitize()).Scan(&ended); err != nil || !ended {
		t.Errorf("the older program has taken the lease (%v)", err)
	}
}

func TestKilledInsideAMigration(t *testing.T) {
	url, o := pgtest.Shared(t).URL(), postgres.Options{Schema: schema()}
	admin := connect(t, url)
	slow := "CREATE TABLE half (x int); SELECT pg_sleep(600)"
	result := make(chan error)
	go func() {
		_, err := postgres.OpenSteps(t.Context(), url, o, slow)
		result <- err
	}()
	const migrating = "FROM pg_stat_activity WHERE application_name LIKE 'parlor % lease' AND wait_event = 'PgSleep'"
	eventually(t, "the migration is under way", func() bool {
		var n int
		err := admin.QueryRow(t.Context(), "SELECT count(*) "+migrating).Scan(&n)
		return err == nil && n == 1
	})
	if _, err := postgres.OpenSteps(t.Context(), url, o, slow); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second server meanwhile: error %v, want ErrInUse", err)
	}
	run(t, admin, "SELECT pg_terminate_backend(pid) "+migrating)
	if err := <-result; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	s, err := postgres.OpenSteps(t.Context(), url, o, "CREATE TABLE half (x int)")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a")
	s.Close()
}
