package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parlor"
	"parlor/link/packetlink"
)

// resolve finds the addresses to listen at. "localhost" is every loopback address, IPv4 and IPv6, and an
// empty host every interface (section 2.1). Usual is the port to try.
func resolve(ctx context.Context, listen string, usual int) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w: try localhost:%d, or :%[3]d for all interfaces", listen, err, usual)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %q: the port must be a number from 0 to 65535", listen)
	}
	var addrs []netip.Addr
	switch host {
	case "localhost":
		addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	case "":
		addrs = []netip.Addr{netip.IPv6Unspecified()}
	default:
		if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, fmt.Errorf("address %q: %w: try localhost, or an address of this machine", listen, err)
		}
	}
	var at []netip.AddrPort
	for _, a := range addrs {
		at = append(at, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return at, nil
}

// public tells whether others than this machine can reach one of the addresses.
func public(at []netip.AddrPort) bool {
	for _, a := range at {
		if !a.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// listen opens a listener for each address. A port that is free to choose is the same for all of them; as it
// may be taken at a later address, there are a few tries.
func listen(at []netip.AddrPort, cfg *tls.Config) (listeners []net.Listener, err error) {
	for range 10 {
		listeners, err = listenAll(at)
		if err == nil || at[0].Port() != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err == nil && cfg != nil {
		for i, ln := range listeners {
			listeners[i] = tls.NewListener(ln, cfg)
		}
	}
	return listeners, err
}

// listenAll opens all listeners or none. A machine without IPv6, or without IPv4, does with the other.
func listenAll(at []netip.AddrPort) (listeners []net.Listener, err error) {
	for i, a := range at {
		if a.Port() == 0 && len(listeners) > 0 {
			a = netip.AddrPortFrom(a.Addr(), netip.MustParseAddrPort(listeners[0].Addr().String()).Port())
		}
		ln, err := listenAt(a)
		if err == nil {
			listeners = append(listeners, ln)
			continue
		}
		if !unavailable(err) || i == len(at)-1 && len(listeners) == 0 {
			closeAll(listeners)
			return nil, err
		}
	}
	return listeners, nil
}

// listenAt listens at one address; the unspecified IPv6 address takes IPv4 too.
func listenAt(a netip.AddrPort) (net.Listener, error) {
	if a.Addr() == netip.IPv6Unspecified() {
		return net.Listen("tcp", fmt.Sprintf(":%d", a.Port()))
	}
	return net.Listen("tcp", a.String())
}

func unavailable(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// listenPackets opens the listeners of the packet wire: a unix socket, or what listen opens. They have no TLS yet. What it
// returns of the error is that of listenError.
func listenPackets(address string, at []netip.AddrPort) ([]net.Listener, error) {
	path, isUnix := unixPath(address)
	if !isUnix {
		listeners, err := listen(at, nil)
		if err != nil {
			return nil, listenError("--packet-listen", address, err)
		}
		return listeners, nil
	}
	ln, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && deserted(path) && os.Remove(path) == nil {
		ln, err = net.Listen("unix", path)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen at %s: %w: perhaps a server is already running: stop it, or delete the file if there is none", address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w: choose another with --packet-listen unix:/PATH", address, err)
	}
	return []net.Listener{ln}, nil
}

// deserted tells whether a file is a socket at which nobody listens: one that was left behind when a server was killed.
func deserted(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		nc.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// packetListen is an address for the packet wire without the scheme that it has in front of it for clients, which is as the server prints it.
func packetListen(address string, secured bool) (string, error) {
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case strings.ContainsAny(address[:min(len(address), 1)], "/.@"):
		return "", fmt.Errorf("--packet-listen %s: for a unix socket write unix:%[1]s", address)
	case !found || scheme == "unix":
		return address, nil
	case scheme == "tcp" && secured:
		return "", fmt.Errorf("--packet-listen %s: with --tls-cert the packet wire has TLS: write %s", address, rest)
	case scheme == "tls" && !secured:
		return "", fmt.Errorf("--packet-listen %s: TLS needs a certificate: give --tls-cert and --tls-key, or write %s", address, rest)
	case scheme == "tcp", scheme == "tls":
		return strings.TrimSuffix(rest, "/"), nil
	}
	return "", fmt.Errorf("--packet-listen %s: this is no address of the packet wire: try localhost:%d, or unix:/PATH", address, packetlink.DefaultPort)
}

// unixPath is the path of an address unix:/PATH.
func unixPath(address string) (path string, ok bool) {
	path, ok = strings.CutPrefix(address, "unix:")
	return strings.TrimPrefix(path, "//"), ok
}

// listenError says what to try when one of the addresses of listen, which a flag has named and which could be resolved, cannot
// be had.
func listenError(flag, listen string, err error) error {
	at := listen
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		at, err = op.Addr.String(), op.Err
	}
	hint := "choose another with " + flag + " " + otherPort(listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "perhaps a server is already running: stop it, or " + hint +
			" (if there is none, a connection that this machine has opened may have the port: try again in a while)"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 are for the administrator of the machine: " + hint
	case unavailable(err):
		hint = "it is no address of this machine: try localhost, or :38929 for all interfaces"
	}
	return fmt.Errorf("listen at %s: %w: %s", at, err, hint)
}

// otherPort is the same host with another port that programs may have.
func otherPort(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	other := parlor.DefaultPort
	if n, _ := strconv.Atoi(port); n >= 1024 && n < 65535 {
		other = n + 1
	}
	return net.JoinHostPort(host, strconv.Itoa(other))
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}
