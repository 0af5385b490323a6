package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parlor"
	"parlor/link/packetlink"
	"parlor/packet"
)

// kind is what answers at an address.
type kind string

const (
	unknownKind kind = ""
	packetKind  kind = "packet server"
	lobbyKind   kind = "lobby"
)

// what answers, which for a lobby may be packets.
func (t *target) what() kind {
	if t.kind == packetKind && len(t.wires) > 0 {
		return lobbyKind
	}
	return t.kind
}

// target is a server that is pinged.
type target struct {
	network, address string
	port             int           // 0: a unix socket
	noPort           bool          // the port is the default
	scheme           string        // of a URL: "ws", "wss", "tcp" or "tls"
	path             string        // of the WebSocket's URL
	any              bool          // a server of either kind is wanted, also with a URL
	flags            tlsOptions    // as given
	tls              *tls.Config   // nil: none
	asked            bool          // the server has asked for a client certificate
	kind             kind          // once it is known
	wires            []string      // of a lobby, that it speaks at this address; likewise
	took             time.Duration // by the last connecting, TLS included
}

// newTarget reads an address. That of a URL is a lobby's: on WebSocket with ws:// and wss://, on its packet wire with tcp:// and
// tls://, for which the default port is another.
func newTarget(address string, o tlsOptions, defaultPort int) (_ *target, err error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if path == "" {
			return nil, fmt.Errorf("address %q: it names no socket: try unix:/PATH", address)
		}
		t := &target{network: "unix", address: path, path: "/", flags: o}
		return t, t.secure("localhost")
	}
	t := &target{network: "tcp", path: "/", flags: o}
	hostport := address
	switch {
	case strings.Contains(address, "://"):
		if hostport, err = t.readURL(address); err != nil {
			return nil, fmt.Errorf("address %q: %w", address, err)
		}
	case isPath(address):
		return nil, fmt.Errorf("address %q: for a unix socket write %s%s", address, unixPrefix, visible(address))
	case strings.Contains(address, "/"):
		return nil, fmt.Errorf("address %q: what has a path is a URL: try ws://%s", address, visible(address))
	}
	if t.onPackets() {
		defaultPort = packetlink.DefaultPort
	}
	name, port, err := packet.ParseAddress(hostport, defaultPort)
	switch {
	case errors.Is(err, packet.ErrUnsupportedAddress):
		err = errors.New("it has several colons, and is no IPv6 address")
	case errors.Is(err, packet.ErrInvalidPort):
		err = errors.New("its port is no number from 1 to 65535")
	case err != nil:
	case name == "":
		err = errors.New("it names no host")
	case port == 0:
		err = errors.New("no server is at port 0")
	}
	if err != nil {
		return nil, fmt.Errorf("address %q: %w: try %s", address, err, suggest(t.scheme, hostport))
	}
	_, other, _ := packet.ParseAddress(hostport, defaultPort+1)
	t.address, t.port, t.noPort = packet.FormatAddress(name, port), port, port != other
	return t, t.secure(name)
}

// readURL reads the URL of a lobby, and returns its host and port.
func (t *target) readURL(address string) (hostport string, err error) {
	scheme, rest, _ := strings.Cut(address, "://")
	scheme = strings.ToLower(scheme)
	at, _, _ := strings.Cut(rest, "/")
	switch scheme {
	case "tcp", "tls":
		hostport, path, _ := strings.Cut(rest, "/")
		if path != "" {
			return "", fmt.Errorf("what begins with %s:// has no path: try %[1]s://%s", scheme, visible(hostport))
		}
		t.scheme = scheme
		return hostport, nil
	case "ws", "wss":
	case "http", "https":
		return "", fmt.Errorf("a lobby's URL begins with ws:// or wss://: try %s://%s", strings.Replace(scheme, "http", "ws", 1), visible(rest))
	default:
		return "", errors.New("want HOST:PORT, unix:/PATH, or a URL with ws:// or wss://, or for packets tcp:// or tls://")
	}
	u, err := url.Parse(address)
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		err = bad.Err
	}
	if err != nil {
		return "", fmt.Errorf("%w: try %s", err, suggest(scheme, at))
	}
	t.scheme, t.path = scheme, u.RequestURI()
	return u.Host, nil
}

// isPath tells whether an address is the path of a unix socket without the prefix.
func isPath(address string) bool {
	before, _, found := strings.Cut(address, "/")
	return found && !strings.Contains(before, ":") && (before == "" || before[0] == '.' || strings.HasSuffix(address, ".sock"))
}

// suggest is what to try instead of an address whose host or port is missing or wrong, with what is right of it.
func suggest(scheme, hostport string) string {
	host, text, _ := strings.Cut(hostport, ":")
	port, err := strconv.ParseUint(text, 10, 16)
	if strings.HasPrefix(hostport, "[") || strings.Contains(hostport, "::") {
		host, port, err = "::1", 0, nil
	}
	at := func(port int) string { return visible(packet.FormatAddress(cmp.Or(host, "localhost"), port)) }
	switch {
	case scheme != "" && (err != nil || port == 0):
		port := parlor.DefaultPort
		if scheme == "tcp" || scheme == "tls" {
			port = packetlink.DefaultPort
		}
		return scheme + "://" + at(port)
	case scheme != "":
		return scheme + "://" + at(int(port))
	case err != nil || port == 0:
		return fmt.Sprintf("%s for a lobby, or %s for a packet server", at(parlor.DefaultPort), at(packet.DefaultPort))
	}
	return at(int(port))
}

// secure sets up TLS, if it is wanted.
func (t *target) secure(hostname string) (err error) {
	t.tls, err = t.flags.config(hostname, t.scheme)
	if t.tls == nil {
		return err
	}
	own := &tls.Certificate{} // none
	if len(t.tls.Certificates) > 0 {
		own = &t.tls.Certificates[0]
	}
	t.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		t.asked = true // on the goroutine of the handshake, which open waits for
		return own, nil
	}
	return nil
}

const unixPrefix = "unix:"

// where is the address with its port, as people write it.
func (t *target) where() string {
	if t.network == "unix" {
		return unixPrefix + t.address
	}
	return t.address
}

// onPackets tells whether the address is of packets, and nothing else.
func (t *target) onPackets() bool { return t.scheme == "tcp" || t.scheme == "tls" }

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
		return t.dialPackets(ctx, nc)
	case lobbyKind:
		return t.dialLobby(ctx, nc)
	}
	return t.find(ctx, nc)
}

// find finds out what answers: a packet server speaks first, a lobby is asked.
func (t *target) find(ctx context.Context, nc net.Conn) (pinger, error) {
	seen := &seenConn{Conn: nc}
	wait := helloWait + 4*t.took
	if deadline, ok := ctx.Deadline(); ok { // the other half is for asking a lobby
		wait = min(wait, time.Until(deadline)/2)
	}
	spoke, err := seen.peek(ctx, wait)
	if err == nil && spoke && !seen.looksLikeFrame() {
		err = &strangerError{said: seen.begin()}
	}
	if err == nil && spoke {
		err = t.packetsAllowed()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	if spoke {
		return t.dialPackets(ctx, seen)
	}
	seen.ask()
	p, err := t.dialLobby(ctx, seen) // which ends as soon as a frame comes: the server may wait for one as well
	var answer *httpError
	switch said := seen.begin(); {
	case err == nil && t.onPackets() && !t.any:
		p.close()
		return nil, &hopelessError{fmt.Sprintf("a lobby on WebSocket answers at %s, and no packets (ping it without %s://)", t.where(), t.scheme)}
	case err == nil:
		t.kind = lobbyKind
	case seen.looksLikeFrame(): // a packet server that was slow
		if err := t.packetsAllowed(); err != nil {
			return nil, err
		}
		t.kind = packetKind
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return t.dial(ctx)
	case len(said) > 0 && !errors.As(err, &answer):
		err = &strangerError{said}
	case t.tls == nil && hungUp(err) && t.speaksTLS(ctx):
		err = t.wantsTLS()
	}
	return p, err
}

// packetsAllowed is an error for a URL, at which a packet server was found.
func (t *target) packetsAllowed() error {
	if t.scheme == "" || t.onPackets() || t.any {
		return nil
	}
	t.kind = packetKind
	return &hopelessError{fmt.Sprintf("a packet server answers at %s, and no lobby (ping it without %s://)", t.where(), t.scheme)}
}

// speaksTLS tells whether the server does, in which case it may have hung up on what was none.
func (t *target) speaksTLS(ctx context.Context) bool {
	var d net.Dialer
	nc, err := d.DialContext(ctx, t.network, t.address)
	if err != nil {
		return false
	}
	defer nc.Close()
	err = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) // nothing is said to it
	return err == nil || saidTLS(err)
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
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return secured, nil
}
