package postgres

import "context"

// OpenSteps opens a store with other migrations behind those that there are.
func OpenSteps(ctx context.Context, url string, o Options, more ...string) (*Store, error) {
	return open(ctx, url, o, append(migrations(), more...))
}

// Name is how the server knows the connections for something.
func (s *Store) Name(what string) string { return s.name(what) }

// Epoch is that of the lease.
func (s *Store) Epoch() int64 { return s.epoch }

// Redacted is the path of a URL, or the error of opening it.
func Redacted(url string) (string, error) {
	p, err := parse(url, "parlor")
	return p.path, err
}
