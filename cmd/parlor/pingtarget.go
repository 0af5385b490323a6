package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"parlor"
	"parlor/packet"
)

// kind is what answers at an address.
type kind string

const (
	unknownKind kind = ""
	packetKind  kind = "packet server"
	lobbyKind   kind = "lobby"
)

// target is a server that is pinged.
type target struct {
	network, address string
	path             string        // of the WebSocket's URL
	tls              *tls.Config   // nil: none
	kind             kind          // once it is known
	took             time.Duration // by the last connecting, TLS included
}

// newTarget reads an address. That of a URL is a lobby's.
func newTarget(address string, o tlsOptions) (*target, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		conf, err := o.config("localhost")
		return &target{network: "unix", address: path, path: "/", tls: conf, kind: packetKind}, err
	}
	t := &target{network: "tcp", path: "/"}
	hostport := address
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" {
			return nil, fmt.Errorf("address %q: want HOST:PORT, unix:/PATH, or a ws:// or wss:// URL", address)
		}
		o.on = o.on || u.Scheme == "wss"
		t.kind, t.path, hostport = lobbyKind, u.RequestURI(), u.Host
	}
	name, port, err := packet.ParseAddress(hostport, parlor.DefaultPort)
	if err == nil && name == "" {
		err = errors.New("it names no host")
	}
	if err != nil {
		return nil, fmt.Errorf("address %q: %w: try localhost, or localhost:%d", address, err, parlor.DefaultPort)
	}
	t.address = packet.FormatAddress(name, port)
	t.tls, err = o.config(name)
	return t, err
}

// helloWait is how long a packet server has for its Hello, beside a few times what connecting took.
const helloWait = 500 * time.Millisecond

// dial connects, and finds out at the first time what answers.
func (t *target) dial(ctx context.Context) (pinger, error) {
	begun := time.Now()
	nc, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	t.took = time.Since(begun)
	switch t.kind {
	case packetKind:
		return dialPacket(ctx, nc)
	case lobbyKind:
		return t.dialLobby(ctx, nc)
	}
	seen := &seenConn{Conn: nc}
	wait := helloWait + 4*t.took
	if deadline, ok := ctx.Deadline(); ok { // the other half is for asking a lobby
		wait = min(wait, time.Until(deadline)/2)
	}
	heard, err := seen.peek(ctx, wait)
	if err != nil {
		nc.Close()
		return nil, err
	}
	if heard {
		p, err := dialPacket(ctx, seen)
		if err == nil {
			t.kind = packetKind
		}
		return p, err
	}
	p, err := t.dialLobby(ctx, seen)
	switch {
	case err == nil:
		t.kind = lobbyKind
	case seen.looksLikeFrame(): // a packet server that was slow
		t.kind = packetKind
		return t.dial(ctx)
	}
	return p, err
}

// open opens a socket, with TLS.
func (t *target) open(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, t.network, t.address)
	if err != nil || t.tls == nil {
		return nc, err
	}
	secured := tls.Client(nc, t.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secured, nil
}
