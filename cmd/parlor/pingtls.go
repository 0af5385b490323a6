package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsOptions are the flags for TLS.
type tlsOptions struct {
	on       bool
	ca       string
	insecure bool
}

// config returns nil for no TLS.
func (o tlsOptions) config(hostname string) (*tls.Config, error) {
	if !o.on && o.ca == "" && !o.insecure {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: hostname, InsecureSkipVerify: o.insecure, MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate in PEM form", o.ca)
		}
	}
	return cfg, nil
}
