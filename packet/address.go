package packet

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// DefaultPort is the port of an address that names none.
const DefaultPort = 8080

// ParseAddress splits "host", "host:port", "[IPv6]", "[IPv6]:port" or a bare IPv6 address (section 13). A port that
// is missing is defaultPort. Ports are written as Python reads integers: blanks around, a plus sign,
// underscores between digits and digits of any script are taken. Errors are ErrInvalidPort, ErrInvalidHost
// and ErrUnsupportedAddress.
func ParseAddress(addr string, defaultPort int) (host string, port int, err error) {
	host, text, hasPort := addr, "", false
	switch {
	case strings.HasPrefix(addr, "["):
		var rest string
		if host, rest, hasPort = strings.Cut(addr[1:], "]"); !hasPort {
			return "", 0, fmt.Errorf("%w: %q has no closing bracket", ErrInvalidHost, addr)
		}
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, fmt.Errorf("%w: %q is not an IPv6 address in brackets", ErrInvalidHost, addr)
		}
		if text, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return "", 0, fmt.Errorf("%w: %q: want a colon and a port after the bracket", ErrInvalidPort, addr)
		}
	case strings.Count(addr, ":") > 1:
		if _, err := netip.ParseAddr(addr); err != nil {
			return "", 0, fmt.Errorf("%w: %q has several colons and is not an IPv6 address; write it in brackets: [::1]:8080", ErrUnsupportedAddress, addr)
		}
	default:
		host, text, hasPort = strings.Cut(addr, ":")
	}
	port = defaultPort
	if hasPort {
		if port, err = parsePort(text); err != nil {
			return "", 0, fmt.Errorf("%w in %q: %v", ErrInvalidPort, addr, err)
		}
	}
	if port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%w: %d of %q is not in 0 to 65535", ErrInvalidPort, port, addr)
	}
	return host, port, nil
}

// FormatAddress is the opposite of ParseAddress. IPv6 hosts come into brackets.
func FormatAddress(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// AddressOf writes the address of a listener or a connection as Listen and Connect read it.
func AddressOf(a net.Addr) string {
	if a.Network() == "unix" {
		return unixPrefix + a.String()
	}
	return a.String()
}

// parsePort reads an integer as Python's int does.
func parsePort(text string) (int, error) {
	s := strings.TrimSpace(text)
	s, negative := strings.CutPrefix(s, "-")
	if !negative {
		s = strings.TrimPrefix(s, "+")
	}
	n, digits, last := 0, 0, '_'
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Nd, r):
			n = min(n*10+digitValue(r), 1<<20) // too large in any case
			digits++
		case r != '_' || last == '_':
			return 0, fmt.Errorf("%q is not a number", text)
		}
		last = r
	}
	if digits == 0 || last == '_' {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if negative {
		n = -n
	}
	return n, nil
}

// digitValue is the value of a decimal digit of any script: they stand in runs of ten, from zero to nine.
func digitValue(r rune) int {
	if r < unicode.MaxASCII {
		return int(r - '0')
	}
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return int(r-rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return int(r-rune(t.Lo)) % 10
		}
	}
	return 0
}

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix:"

// splitAddress says which network an address is of, and what the net package calls it there.
func splitAddress(addr string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		if path == "" {
			return "", "", fmt.Errorf("%w: %q names no path", ErrInvalidHost, addr)
		}
		return "unix", path, nil
	}
	host, port, err := ParseAddress(addr, DefaultPort)
	return "tcp", FormatAddress(host, port), err
}
