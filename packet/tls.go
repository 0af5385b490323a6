package packet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// serverConfig is what a server secures its connections with, or nil for no TLS (section 14).
func (t *TLS) serverConfig(cfg *Config) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	out := t.base()
	if err := t.loadOwn(out); err != nil {
		return nil, err
	}
	if len(out.Certificates) == 0 && out.GetCertificate == nil && out.GetConfigForClient == nil {
		if t.Optional {
			cfg.Logger.Warn("packet: TLS is enabled but there is no certificate: connections are NOT encrypted", "option", "TLS.Optional")
			return nil, nil
		}
		return nil, fmt.Errorf("%w: TLS is enabled but there is no certificate: set TLS.CertFile and TLS.KeyFile (net.ssl.server.certfile and keyfile), or TLS.Optional (net.ssl.force false) to go on without TLS", ErrConfig)
	}
	pool, err := t.authorities()
	if err != nil {
		return nil, err
	}
	if pool != nil {
		out.ClientCAs = pool
		switch out.ClientAuth { // never less than TLS.Config asks for
		case tls.NoClientCert, tls.RequestClientCert:
			out.ClientAuth = tls.VerifyClientCertIfGiven
		case tls.RequireAnyClientCert:
			out.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if t.RequireClientCert {
		if out.ClientCAs == nil {
			return nil, fmt.Errorf("%w: client certificates are required but there is nothing to verify them with: set TLS.CAFile (net.ssl.cafile), or TLS.RequireClientCert (net.ssl.server.force_verify) to false", ErrConfig)
		}
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// clientConfig is what a client secures its connection to a host with, or nil for no TLS. asked is set when the
// server asks for a certificate and this client has one.
func (t *TLS) clientConfig(host string, asked *atomic.Bool) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	out := t.base()
	if err := t.loadOwn(out); err != nil {
		return nil, err
	}
	pool, err := t.authorities()
	if err != nil {
		return nil, err
	}
	if pool != nil {
		out.RootCAs = pool
	}
	if t.ServerName != "" {
		out.ServerName = t.ServerName
	} else if out.ServerName == "" {
		out.ServerName = host
	}
	own := out.Certificates
	if len(own) > 0 && out.GetClientCertificate == nil {
		out.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return &own[0], nil
		}
	}
	switch {
	case t.SkipVerify:
		out.InsecureSkipVerify = true
	case t.SkipHostname:
		out.InsecureSkipVerify = true // of the name; VerifyConnection looks at the rest
		out.VerifyConnection = verifyChain(out.RootCAs, out.Time, out.VerifyConnection)
	}
	return out, nil
}

// verifyChain verifies a server's certificate but for its name, and then does what the program asks for.
func verifyChain(roots *x509.CertPool, now func() time.Time, then func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		if now != nil {
			opts.CurrentTime = now()
		}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		if then != nil {
			return then(s)
		}
		return nil
	}
}

func (t *TLS) base() *tls.Config {
	if t.Config == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	out := t.Config.Clone()
	out.MinVersion = max(out.MinVersion, tls.VersionTLS12)
	return out
}

func (t *TLS) loadOwn(out *tls.Config) error {
	if t.CertFile == "" && t.KeyFile == "" {
		return nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return fmt.Errorf("%w: TLS.CertFile and TLS.KeyFile go together; one is %q, the other %q", ErrConfig, t.CertFile, t.KeyFile)
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return fmt.Errorf("%w: certificate %s with key %s: %w", ErrConfig, t.CertFile, t.KeyFile, err)
	}
	out.Certificates = append(out.Certificates, pair)
	return nil
}

func (t *TLS) authorities() (*x509.CertPool, error) {
	if t.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: TLS.CAFile: %w", ErrConfig, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: TLS.CAFile: %s holds no certificate in PEM form", ErrConfig, t.CAFile)
	}
	return pool, nil
}

// forgotten is the first option that has been set though TLS is off, or "".
func (t *TLS) forgotten() string {
	switch {
	case t.Enabled:
	case t.CertFile != "":
		return "TLS.CertFile"
	case t.CAFile != "":
		return "TLS.CAFile"
	case t.Config != nil:
		return "TLS.Config"
	}
	return ""
}

// secure makes the TLS handshake and notes what it assures.
func (c *Conn) secure(ctx context.Context, nc *tls.Conn, asked *atomic.Bool) error {
	if err := nc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	level := SecurityEncrypted
	state := nc.ConnectionState()
	t := &c.end.cfg.TLS
	switch {
	case c.side == SideServer && len(state.VerifiedChains) > 0:
		level = SecurityBothAuth
	case c.side == SideClient && !t.SkipVerify && !t.SkipHostname && len(state.VerifiedChains) > 0:
		level = SecurityServerAuth
		if asked.Load() && t.ServerVerifies { // what the server made of it nobody tells
			level = SecurityBothAuth
		}
	}
	c.security.Store(int32(level))
	return nil
}

// hostOf is the name of the host of an address, for its certificate.
func hostOf(network, address string) string {
	if network == "unix" {
		return ""
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
