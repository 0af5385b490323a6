package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// flags are these for a command.
func (o *tlsOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "tls", false, "the server has TLS; implied by wss:// and tls://, and by the flags below")
	f.StringVar(&o.ca, "ca", "", "file with the certificates, in PEM form, that may sign the server's")
	f.BoolVar(&o.insecure, "insecure", false, "take any certificate of the server")
	f.StringVar(&o.cert, "cert", "", "file with a client certificate, in PEM form, for servers that want one")
	f.StringVar(&o.key, "key", "", "file with the private key of --cert, in PEM form")
}

// settle is called when the flags were read, the environment's too; keyGiven tells whether --key was typed.
func (o *tlsOptions) settle(cmd *cobra.Command, keyGiven bool) {
	if o.cert == "" && !keyGiven {
		o.key = "" // PARLOR_KEY is meant for parlor serve
	}
	o.off = cmd.Flags().Changed("tls") && !o.on
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

// Schemes of URLs, and those of the same wire with TLS and without.
var (
	secureSchemes = map[string]string{"ws": "wss", "tcp": "tls"}
	clearSchemes  = map[string]string{"wss": "ws", "tls": "tcp"}
)

// check finds contradictions between the flags, and with the scheme of a URL; scheme is "" for other addresses.
func (o tlsOptions) check(scheme string) error {
	flags := strings.Join(o.given(), ", ")
	secured, isClear := secureSchemes[scheme]
	clear, isSecured := clearSchemes[scheme]
	switch {
	case o.cert != "" && o.key == "":
		return errors.New("--cert without --key: give both, the file of the certificate and that of its private key")
	case o.key != "" && o.cert == "":
		return errors.New("--key without --cert: give both, the file of the certificate and that of its private key")
	case o.insecure && o.ca != "":
		return errors.New("--ca and --insecure contradict each other: --insecure takes any certificate, whoever signed it; leave out one of them")
	case o.off && flags != "":
		return fmt.Errorf("--tls=false and %s contradict each other: leave out what you do not want", flags)
	case o.off && isSecured:
		return fmt.Errorf("--tls=false and %s:// contradict each other: take %s:// for a server without TLS, or leave out --tls=false", scheme, clear)
	case isClear && flags != "":
		return fmt.Errorf("%s:// and %s contradict each other: take %s:// for a server with TLS, or leave out %[2]s for one without", scheme, flags, secured)
	}
	return nil
}

// config returns nil for no TLS.
func (o tlsOptions) config(hostname, scheme string) (*tls.Config, error) {
	if err := o.check(scheme); err != nil {
		return nil, err
	}
	if _, secured := clearSchemes[scheme]; len(o.given()) == 0 && !secured {
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
