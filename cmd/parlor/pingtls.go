package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// tlsOptions are the flags for TLS. Each of them turns it on.
type tlsOptions struct {
	on       bool
	off      bool // --tls=false was given
	ca       string
	insecure bool
	// cert and key are this side's certificate, for servers that want one.
	cert, key string
}

// given are the flags that were given and make no sense without TLS.
func (o tlsOptions) given() (names []string) {
	for _, f := range []struct {
		name  string
		given bool
	}{{"--tls", o.on}, {"--ca", o.ca != ""}, {"--insecure", o.insecure}, {"--cert", o.cert != ""}, {"--key", o.key != ""}} {
		if f.given {
			names = append(names, f.name)
		}
	}
	return names
}

// check finds contradictions between the flags, and with the scheme of a URL; scheme is "" for other addresses.
func (o tlsOptions) check(scheme string) error {
	flags := strings.Join(o.given(), ", ")
	switch {
	case o.cert != "" && o.key == "":
		return errors.New("--cert without --key: give both, the file of the certificate and that of its private key")
	case o.key != "" && o.cert == "":
		return errors.New("--key without --cert: give both, the file of the certificate and that of its private key")
	case o.insecure && o.ca != "":
		return errors.New("--ca and --insecure contradict each other: --insecure takes any certificate, whoever signed it; leave out one of them")
	case o.off && flags != "":
		return fmt.Errorf("--tls=false and %s contradict each other: leave out what you do not want", flags)
	case o.off && scheme == "wss":
		return errors.New("--tls=false and wss:// contradict each other: take ws:// for a server without TLS, or leave out --tls=false")
	case scheme == "ws" && flags != "":
		return fmt.Errorf("ws:// and %s contradict each other: take wss:// for a server with TLS, or leave out %[1]s for one without", flags)
	}
	return nil
}

// config returns nil for no TLS.
func (o tlsOptions) config(hostname, scheme string) (*tls.Config, error) {
	if err := o.check(scheme); err != nil {
		return nil, err
	}
	if len(o.given()) == 0 && scheme != "wss" {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: hostname, InsecureSkipVerify: o.insecure, MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, unreadable("--ca", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s: the file holds no certificate in PEM form: give one with a line -----BEGIN CERTIFICATE-----", o.ca)
		}
	}
	if o.cert != "" {
		own, err := tls.LoadX509KeyPair(o.cert, o.key)
		if bad := (*fs.PathError)(nil); errors.As(err, &bad) {
			flag := "--cert"
			if bad.Path != o.cert {
				flag = "--key"
			}
			return nil, unreadable(flag, err)
		}
		if err != nil {
			return nil, fmt.Errorf("--cert %s, --key %s: %w (want files in PEM form, and a key without passphrase)", o.cert, o.key, err)
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	return cfg, nil
}

// unreadable says why the file of a flag cannot be read, and what to try.
func unreadable(flag string, err error) error {
	path := ""
	if bad := (*fs.PathError)(nil); errors.As(err, &bad) {
		path, err = " "+bad.Path, bad.Err
	}
	hint := "check the path, and that you may read it"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "check the path"
	}
	return fmt.Errorf("%s%s: the file cannot be read: %w (%s)", flag, path, err, hint)
}
