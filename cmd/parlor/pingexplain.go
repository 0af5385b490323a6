package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"parlor"
	"parlor/link/packetlink"
	"parlor/packet"
	"parlor/packet/ping"
)

var (
	// errHungUp means a server that closes without a word.
	errHungUp = errors.New("the connection is closed without a word")
	// errHandshake is around the errors of TLS's handshake.
	errHandshake = errors.New("TLS handshake")
)

// hopelessError is what another ping would not change.
type hopelessError struct{ text string }

func (e *hopelessError) Error() string { return e.text }

// strangerError is a server that says what neither a packet server nor a lobby would. said is how that begins.
type strangerError struct{ said string }

func (e *strangerError) Error() string { return fmt.Sprintf("the server says %q", e.said) }

// httpError is an HTTP server that opens no WebSocket.
type httpError struct {
	status   int
	location string // where it sends to
	text     string // how its page begins
	err      error
}

func (e *httpError) Error() string { return e.err.Error() }

// explain says what went wrong with a ping, and what to try.
func (t *target) explain(ctx context.Context, err error, timeout time.Duration) error {
	if hopeless := (*hopelessError)(nil); errors.As(err, &hopeless) {
		return err
	}
	for _, explain := range []func(error) error{t.noConnection, t.noTLS, t.notOurs, t.refusal} {
		if better := explain(err); better != nil {
			return better
		}
	}
	if ctx.Err() != nil || errors.Is(err, packet.ErrTimeout) && !errors.Is(err, packet.ErrClosed) {
		return t.noAnswer(err, timeout)
	}
	return errors.New(cmp.Or(err.Error(), "failed"))
}

// noConnection explains an address at which there is no connection to be had, or returns nil.
func (t *target) noConnection(err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("%w (check how the host is spelt, and that this machine is on the network)", dns)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("there is no socket %s (check the path, and that the server runs)", t.where())
	case errors.Is(err, syscall.EACCES) && t.network == "unix":
		return fmt.Errorf("you may not open the socket %s (ask who runs the server for the rights to its file and folders)", t.where())
	case errors.Is(err, syscall.EINVAL) && t.network == "unix":
		return &hopelessError{fmt.Sprintf("%s: the path of a socket may have about 100 bytes, this one has %d", t.where(), len(t.address))}
	case errors.Is(err, syscall.ECONNREFUSED) && t.network == "unix":
		return errors.New(t.nobodyAtSocket())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s (%s)", t.where(), t.otherPort())
	case errors.Is(err, syscall.EINVAL) && t.zone(interfaces()) != "":
		return &hopelessError{t.zone(interfaces())}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("%w (check the address, and that this machine can reach it)", err)
	}
	return nil
}

// zone says what is missing of an IPv6 address that means something on one network only, such as fe80::1, if there are
// interfaces of these names; nothing of another address.
func (t *target) zone(names []string) string {
	host, _, _ := net.SplitHostPort(t.address)
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLinkLocalUnicast() && ip.Zone() == "" {
		return ""
	}
	first := "eth0"
	if len(names) > 0 {
		first = names[0]
	}
	try := packet.FormatAddress(ip.WithZone(first).String(), t.port)
	here := cmp.Or(strings.Join(names, ", "), "none that is known")
	if ip.Zone() == "" {
		return fmt.Sprintf("%s is an address within one network, and does not say at which interface that is: try %s (interfaces here: %s)", host, try, here)
	}
	return fmt.Sprintf("there is no network interface %q for %s: try %s (interfaces here: %s)", ip.Zone(), ip.WithZone(""), try, here)
}

// interfaces are the names of this machine's network interfaces that are up, without the loopback.
func interfaces() (names []string) {
	all, _ := net.Interfaces() // a hint only
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	return names
}

// nobodyAtSocket says why nothing listens at a path.
func (t *target) nobodyAtSocket() string {
	info, err := os.Stat(t.address)
	switch {
	case err != nil: // Linux has sockets that are no files
		return "nothing listens at " + t.where() + " (check the name)"
	case info.Mode()&os.ModeSocket == 0:
		return t.where() + " is no socket (check the path)"
	}
	return "nothing listens at " + t.where() + ": the file of the socket is left over from a server that has ended, perhaps killed" +
		" (start it again; if it says that the address is in use, delete the file before)"
}

// otherPort says at which other port there may be a server.
func (t *target) otherPort() string {
	host, _, _ := net.SplitHostPort(t.address)
	at := func(port int) string { return packet.FormatAddress(host, port) }
	switch {
	case t.onPackets():
		return fmt.Sprintf("check the host and port; parlor serve has the packet wire where --packet-listen says, such as %d", packetlink.DefaultPort)
	case t.scheme != "":
		return fmt.Sprintf("check the host and port; a lobby has %d unless it is told another", parlor.DefaultPort)
	case t.noPort:
		return fmt.Sprintf("the address names no port, so that it is a lobby's; for a packet server try %s", at(packet.DefaultPort))
	case t.port == parlor.DefaultPort:
		return fmt.Sprintf("check the host, and the port, which is a lobby's; for a packet server try %s", at(packet.DefaultPort))
	case t.port == packet.DefaultPort:
		return fmt.Sprintf("check the host, and the port, which is a packet server's; for a lobby try %s", at(parlor.DefaultPort))
	}
	return fmt.Sprintf("check the host and port; a lobby has %d and a packet server %d unless they are told another", parlor.DefaultPort, packet.DefaultPort)
}

// noTLS explains certificates that are not taken, and TLS on one side only, or returns nil.
func (t *target) noTLS(err error) error {
	if err := t.refusedClient(err); err != nil {
		return err
	}
	if err := wrongCertificate(err); err != nil {
		return err
	}
	var clear tls.RecordHeaderError
	switch {
	case !errors.Is(err, errHandshake):
		return nil
	case errors.As(err, &clear):
		what := "a server without TLS answers"
		switch begin := string(clear.RecordHeader[:]); {
		case begin[0] == 0:
			t.kind, what = packetKind, "a packet server without TLS answers"
		case strings.HasPrefix(begin, "HTTP/"):
			what = "an HTTP server without TLS answers, perhaps a lobby,"
		case strings.HasPrefix(begin, "SSH-"):
			return &hopelessError{fmt.Sprintf("an SSH server answers at %s (check the port)", t.where())}
		}
		return &hopelessError{fmt.Sprintf("%s at %s (%s)", what, t.where(), t.withoutTLS())}
	case hungUp(err):
		return fmt.Errorf("the server at %s closes the connection in the handshake of TLS (check the port; perhaps it has no TLS: %s)", t.where(), t.withoutTLS())
	}
	return nil
}

// withoutTLS is what to try at a server without TLS.
func (t *target) withoutTLS() string {
	flags := strings.Join(t.flags.given(), ", ")
	clear := clearSchemes[t.scheme]
	switch {
	case t.scheme == "":
		return "leave out " + flags
	case flags == "":
		return fmt.Sprintf("try %s:// instead of %s://", clear, t.scheme)
	}
	return fmt.Sprintf("try %s:// instead of %s://, and leave out %s", clear, t.scheme, flags)
}

// wantsTLS is the error for a server with TLS that was pinged without.
func (t *target) wantsTLS() error {
	return &hopelessError{fmt.Sprintf("a server with TLS answers at %s (%s)", t.where(), t.withTLS())}
}

// withTLS is what to try at a server with TLS.
func (t *target) withTLS() string {
	if secured, isClear := secureSchemes[t.scheme]; isClear {
		return "try " + secured + "://"
	}
	return "try --tls"
}

// refusedClient explains a server that has asked for this side's certificate and does not go on, or returns nil. With
// TLS 1.3 it says so only when this side's part of the handshake is over; what it says may get lost then, as this side
// writes to a connection that is closed.
func (t *target) refusedClient(err error) error {
	switch {
	case !t.asked || !saidTLS(err) && !(hungUp(err) && t.kind == unknownKind):
		return nil
	case t.flags.cert == "":
		return &hopelessError{fmt.Sprintf("the server at %s wants a client certificate (give it with --cert FILE --key FILE)", t.where())}
	}
	return &hopelessError{fmt.Sprintf("the server at %s does not take the certificate of --cert (ask who runs it whose signature it wants): %v", t.where(), err)}
}

// saidTLS tells whether the error is one that the other side has told, which Go has no exported type for.
func saidTLS(err error) bool { return strings.Contains(err.Error(), "remote error: tls: ") }

// wrongCertificate explains a server whose certificate is not taken, or returns nil.
func wrongCertificate(err error) error {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	hint := ""
	switch {
	case errors.As(err, &authority):
		hint = "give the authority's certificate with --ca FILE, or --insecure to take any"
	case errors.As(err, &hostname):
		hint = "use a name that the certificate is for, or --insecure"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "the server needs a new one, or one of the clocks is wrong; --insecure takes any"
	case errors.As(err, &invalid):
		hint = "give another authority's certificate with --ca FILE, or --insecure to take any"
	default:
		return nil
	}
	return &hopelessError{err.Error() + " (" + hint + ")"}
}

// notOurs explains servers of other kinds, or returns nil.
func (t *target) notOurs(err error) error {
	var stranger *strangerError
	var web *httpError
	var closed *packet.CloseError
	switch {
	case errors.As(err, &stranger):
		return t.stranger(stranger.said)
	case errors.As(err, &web):
		return t.web(web)
	case errors.As(err, &closed) && !closed.Remote && (closed.Reason == packet.ReasonInvalidFrame || closed.Reason == packet.ReasonFrameTooLarge):
		return &hopelessError{fmt.Sprintf("what answers at %s is neither a packet server nor a lobby (check the port)", t.where())}
	case errors.Is(err, errHungUp):
		return fmt.Errorf("what listens at %s closes the connection without a word (check the port; it may be full, or a proxy whose server is down)", t.where())
	case !errors.As(err, &closed) && hungUp(err):
		return fmt.Errorf("what listens at %s closes the connection when asked for a WebSocket (check the port%s)", t.where(), t.perhapsTLS("; perhaps it wants TLS: "))
	}
	return nil
}

// stranger says what begins so, as far as that is known.
func (t *target) stranger(said string) error {
	line, _, _ := strings.Cut(said, "\n")
	line = strings.TrimSuffix(line, "\r")
	what := "what answers at %s is neither a packet server nor a lobby, and"
	switch {
	case strings.HasPrefix(said, "\x15\x03"): // an alert of TLS
		return t.wantsTLS()
	case strings.HasPrefix(said, "SSH-"):
		what = "an SSH server answers at %s, which"
	case strings.HasPrefix(said, "220 "), strings.HasPrefix(said, "220-"):
		what = "a mail or FTP server answers at %s, which"
	case strings.HasPrefix(said, "HTTP/"):
		what = "an HTTP server answers at %s, which"
	}
	return &hopelessError{fmt.Sprintf(what+" says %q (check the port)", t.where(), line)}
}

// web says why an HTTP server is no lobby, or not now.
func (t *target) web(e *httpError) error {
	status := fmt.Sprintf("an HTTP server answers at %s, with %d %s", t.where(), e.status, http.StatusText(e.status))
	page := strings.ToUpper(e.text)
	switch {
	case e.status == http.StatusBadRequest && (strings.Contains(page, "HTTPS") || strings.Contains(page, "SSL")):
		return t.wantsTLS()
	case e.status == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: the lobby takes no more connections for now, or a proxy has none behind it", status)
	case e.status >= 500, e.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: perhaps a proxy whose lobby is down", status)
	case e.location != "":
		return &hopelessError{fmt.Sprintf("%s: it sends to %s (try that, with wss:// for https://, and ws:// for http://)", status, cut(e.location, 200))}
	case e.status == http.StatusSwitchingProtocols:
		return &hopelessError{fmt.Sprintf("%s, but not as a lobby does: %v", status, e.err)}
	}
	return &hopelessError{fmt.Sprintf("%s: no lobby is there (check the port, and the path of a URL)", status)}
}

// refusal explains what a packet server does not do, or does wrong, or returns nil.
func (t *target) refusal(err error) error {
	if errors.Is(err, ping.ErrNoMap) {
		return &hopelessError{fmt.Sprintf("the packet server at %s does not answer pings as it should: %s", t.where(),
			strings.TrimPrefix(err.Error(), ping.ErrFailed.Error()+": "))}
	}
	var closed *packet.CloseError
	if !errors.As(err, &closed) {
		return nil
	}
	switch closed.Reason {
	case packet.ReasonUnknownConnType:
		return &hopelessError{fmt.Sprintf("the packet server at %s does not answer pings (its program must call ping.Serve)", t.where())}
	case packet.ReasonProtoVersion:
		return &hopelessError{fmt.Sprintf("the packet server at %s speaks another version of the protocol: %v", t.where(), err)}
	}
	if closed.Remote {
		return fmt.Errorf("the packet server at %s: %w", t.where(), closed)
	}
	return nil
}

// noAnswer explains a server that was too slow.
func (t *target) noAnswer(err error, timeout time.Duration) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("no connection to %s in %v (check the host and port; the machine may be off, or a firewall drops what comes)", t.where(), timeout)
	case errors.Is(err, errHandshake):
		return fmt.Errorf("no answer to the handshake of TLS in %v (perhaps the server has no TLS: %s)", timeout, t.withoutTLS())
	}
	return fmt.Errorf("no answer in %v (the server may be busy, or have no ping%s)", timeout, t.perhapsTLS("; one with TLS says nothing otherwise: "))
}

// perhapsTLS says what to try if the server has TLS, with an introduction; nothing if TLS is on.
func (t *target) perhapsTLS(intro string) string {
	if t.tls != nil {
		return ""
	}
	return intro + t.withTLS()
}

// hungUp tells whether the other side has closed the connection, in order or not.
func hungUp(err error) bool {
	for _, sign := range []error{errHungUp, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return strings.Contains(err.Error(), "server closed idle connection") // of net/http, if that was sooner than the request
}
