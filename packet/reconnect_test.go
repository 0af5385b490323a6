package packet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"parlor/packet"
)

// TestMayPass: what the example of connecting again takes for final.
func TestMayPass(t *testing.T) {
	refused := &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")} // as crypto/tls has it
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true},
		{&packet.CloseError{Reason: packet.ReasonSocketClose, Cause: reset}, true},
		{&packet.CloseError{Reason: packet.ReasonServerShutdown, Remote: true}, true},
		{fmt.Errorf("connect: %w", packet.ErrTimeout), true},
		{io.EOF, true},
		{fmt.Errorf("TLS handshake: %w", refused), false},
		{&packet.CloseError{Reason: packet.ReasonSocketClose, Cause: refused}, false},
		{&packet.CloseError{Reason: packet.ReasonRegistryMismatch}, false},
		{&packet.CloseError{Reason: "kicked", Remote: true}, false},
		{errors.New("another"), false},
	} {
		if got := mayPass(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// TestStayRefusedCertificate: whose certificate a server refuses, does not try for ever.
func TestStayRefusedCertificate(t *testing.T) {
	t.Parallel()
	s := serve(t, packet.NewServer(regOf(t), packet.Config{TLS: with(pki().server, requireCert), Logger: quiet}))
	for name, own := range map[string]packet.TLS{"none": pki().anonymous, "of another authority": with(pki().otherClient, func(t *packet.TLS) { t.CAFile = pki().ca.file })} {
		for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s, %s", name, tls.VersionName(v)), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := stay(ctx, s.addr, regOf(t), packet.Config{TLS: with(own, version(v)), Logger: quiet}, func(*packet.Conn) error { return nil })
				if err == nil || ctx.Err() != nil {
					t.Errorf("it ends with %v", err)
				}
			})
		}
	}
}
