package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// place is what a URL says.
type place struct {
	path string // the URL for people
	pool *pgxpool.Config
}

// parse reads a URL of libpq's, with the schema for the tables.
func parse(text, schema string) (place, error) {
	u, err := url.Parse(text)
	if err != nil {
		// Its text has the URL, with the password.
		return place{}, errors.New("the store's URL cannot be read: it is postgres://user:password@host:port/database, with %XX for special characters")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return place{}, fmt.Errorf("the store's URL begins with postgres://, not %q", u.Scheme)
	}
	path := redact(*u)
	pool, err := pgxpool.ParseConfig(text)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			return place{}, fmt.Errorf("%s: %w", path, inner)
		}
		return place{}, fmt.Errorf("%s: the URL cannot be read", path)
	}
	config := pool.ConnConfig
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// With several servers, the one that can be written is meant.
	if severalHosts(config) && config.ValidateConnect == nil {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	for name, value := range map[string]string{
		"search_path":                   pgx.Identifier{schema}.Sanitize(),
		"default_transaction_isolation": "read committed", // what the lease's row is checked with
		"jit":                           "off",            // it takes longer than any of these statements
		// What an administrator may have set for all, and would end what takes its time here.
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		// A machine that vanished without a word holds the lease, or a row, for so long.
		"tcp_keepalives_idle":     "10",
		"tcp_keepalives_interval": "5",
		"tcp_keepalives_count":    "3",
	} {
		config.RuntimeParams[name] = value
	}
	return place{path, pool}, nil
}

// with is the configuration of the connections for something, that have a name which the server's administrator sees.
func (p place) with(name string, params ...string) *pgx.ConnConfig {
	config := p.pool.ConnConfig.Copy()
	config.RuntimeParams["application_name"] = name
	for pair := range slices.Chunk(params, 2) {
		config.RuntimeParams[pair[0]] = pair[1]
	}
	return config
}

// redact is a URL without secrets.
func redact(u url.URL) string {
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	for key := range query {
		if strings.Contains(strings.ToLower(key), "pass") && !strings.EqualFold(key, "passfile") {
			query.Del(key)
		}
	}
	u.RawQuery = query.Encode()
	u.Fragment = ""
	return u.String()
}

// severalHosts tells whether the URL names more than one server. One alone has fallbacks too, with TLS and without.
func severalHosts(config *pgx.ConnConfig) bool {
	return slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.Host != config.Host || f.Port != config.Port
	})
}
