package server

import (
	"net/netip"

	"golang.org/x/time/rate"

	"parlor/link"
)

// registrations keeps one network from using up Limits.Users, and with it the games of as many users. Peers on
// this machine are not limited: they could do worse, and what comes through a proxy that is not trusted seems to
// come from there, all of it, so that a few strangers would keep everybody from registering. It is guarded by
// Server.mu.
type registrations struct {
	rate    rate.Limit
	burst   int
	max     int // networks that are remembered
	buckets map[netip.Addr]*rate.Limiter
}

func newRegistrations(l Limits) registrations {
	r := registrations{rate: rate.Limit(l.RegistrationsPerSecond), burst: l.RegistrationBurst, max: l.Addresses}
	if r.rate < 0 {
		r.rate = rate.Inf
	}
	r.buckets = make(map[netip.Addr]*rate.Limiter)
	return r
}

// allow takes one registration from the budget of an address's network, if it has one left.
func (r *registrations) allow(addr netip.Addr) bool {
	if r.free(addr) {
		return true
	}
	network := link.Network(addr)
	b := r.buckets[network]
	if b == nil {
		if len(r.buckets) >= r.max {
			for other := range r.buckets { // any one: who has so many networks is not held up by this
				delete(r.buckets, other)
				break
			}
		}
		b = rate.NewLimiter(r.rate, r.burst)
		r.buckets[network] = b
	}
	return b.Allow()
}

// left tells whether allow has one left to take.
func (r *registrations) left(addr netip.Addr) bool {
	b := r.buckets[link.Network(addr)]
	return r.free(addr) || b == nil || b.Tokens() >= 1
}

// free tells whether an address is not limited.
func (r *registrations) free(addr netip.Addr) bool {
	return !addr.IsValid() || addr.Unmap().IsLoopback()
}
