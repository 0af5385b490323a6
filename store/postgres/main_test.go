package postgres_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"parlor/internal/pgtest"
	"parlor/store"
	"parlor/store/postgres"
	"parlor/store/storetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

var schemas atomic.Int64

// schema is the name of one that nobody has used.
func schema() string { return fmt.Sprintf("test %d", schemas.Add(1)) }

// open opens a store that is closed at the end of the test.
func open(t testing.TB, url, schema string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Schema: schema})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// connect connects to the server itself.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestStore(t *testing.T) {
	url := pgtest.Shared(t).URL()
	storetest.Run(t, func(t *testing.T) storetest.Place {
		name := schema()
		return storetest.Place{Lasts: true, Open: func() (store.Store, error) {
			s, err := postgres.Open(t.Context(), url, postgres.Options{Schema: name})
			if err != nil {
				return nil, err
			}
			return s, nil
		}}
	})
}
