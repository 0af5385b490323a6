package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"parlor/packet"
)

// errHungUp means a server that closes without a word.
var errHungUp = errors.New("it closes the connection without a word")

// hopelessError is what another ping would not change.
type hopelessError struct{ text string }

func (e *hopelessError) Error() string { return e.text }

// explain says what went wrong with a ping, and what to try.
func explain(ctx context.Context, err error, o pingOptions) error {
	const neither = "what answers there is neither a packet server with ping nor a lobby"
	var closed *packet.CloseError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens there (check the host and port)")
	case errors.Is(err, syscall.ENOENT):
		return errors.New("there is no such socket (check the path)")
	case errors.As(err, &dns):
		return fmt.Errorf("%w (check how the host is spelt, and that this machine is on the network)", dns)
	case errors.As(err, &authority), errors.As(err, &invalid):
		return &hopelessError{text + " (give the authority's certificate with --ca FILE, or --insecure to take any)"}
	case errors.As(err, &hostname):
		return &hopelessError{text + " (use a name that the certificate is for, or --insecure)"}
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return &hopelessError{"the server there has no TLS (leave out --tls, --ca, --insecure and wss://)"}
	case strings.Contains(text, "got 400"), strings.Contains(text, `malformed HTTP response "\x15`):
		return &hopelessError{neither + " (perhaps it wants TLS: try --tls)"}
	case strings.Contains(text, "but got 503"):
		return errors.New("the lobby takes no more connections for now (HTTP status 503)")
	case strings.Contains(text, "malformed HTTP response"), strings.Contains(text, "expected handshake response status code"):
		return &hopelessError{neither + " (check the port): " + cut(text, 200)}
	case errors.As(err, &closed):
		switch closed.Reason {
		case packet.ReasonUnknownConnType:
			return &hopelessError{"the packet server there does not answer pings (its program must call ping.Serve)"}
		case packet.ReasonProtoVersion:
			return &hopelessError{"the packet server there speaks another version of the protocol: " + text}
		case packet.ReasonInvalidFrame, packet.ReasonFrameTooLarge:
			if !closed.Remote {
				return &hopelessError{neither + " (check the port)"}
			}
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("it closes the connection when asked for a WebSocket (check the port; perhaps it wants TLS: try --tls)")
	case ctx.Err() != nil || errors.Is(err, packet.ErrTimeout):
		hint := ""
		if !o.tls.on && o.tls.ca == "" && !o.tls.insecure {
			hint = "; a server with TLS says nothing without --tls"
		}
		return fmt.Errorf("no answer in %v (the server may be busy, or have no ping%s)", o.timeout, hint)
	}
	return errors.New(cmp.Or(text, "failed"))
}
