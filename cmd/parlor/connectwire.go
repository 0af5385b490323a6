package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/link"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/packet"
)

// The wires that --wire takes.
const (
	wireAuto   = "auto" // native if the server knows it, else pgnet's; packet for the addresses that are of it
	wireNative = "native"
	wirePgnet  = "pgnet"
	wirePacket = "packet"
)

var wires = []string{wireAuto, wireNative, wirePgnet, wirePacket}

// reasonNotNative ends a connection that was to be native at any cost.
const reasonNotNative = "The server does not speak the native wire."

// route finds the wire, what to dial with, and the address with its port. What cannot be is found before anything is asked for.
func (o *connectOptions) route(logger *slog.Logger) error {
	o.wire = cmp.Or(o.wire, wireAuto)
	if !slices.Contains(wires, o.wire) {
		return fmt.Errorf("--wire %s: there is no such wire; try one of %s", visible(o.wire), strings.Join(wires, ", "))
	}
	if o.local {
		if o.wire != wireAuto {
			return fmt.Errorf("--local needs no wire: leave out --wire %s, or --local", o.wire)
		}
		return nil
	}
	scheme := schemeOf(o.address)
	ofPackets := scheme == "tcp" || scheme == "tls" || scheme == "unix"
	switch {
	case o.wire == wireAuto && ofPackets:
		o.wire = wirePacket
	case ofPackets && o.wire != wirePacket:
		return fmt.Errorf("address %q: this is an address of the packet wire: leave out --wire %s, or give the address for WebSocket, HOST:PORT", o.address, o.wire)
	case o.wire == wirePacket && (scheme == "ws" || scheme == "wss"):
		return fmt.Errorf("address %q: this is an address for WebSocket: leave out --wire packet, or give that of --packet-listen, such as tls://HOST:%d", o.address, packetlink.DefaultPort)
	case o.wire != wirePacket && o.packetInsecure:
		return errors.New("--packet-insecure is for the packet wire: give --wire packet, or leave it out")
	}
	if o.address == "" {
		port := parlor.DefaultPort
		if o.wire == wirePacket {
			port = packetlink.DefaultPort
		}
		o.address = fmt.Sprintf("localhost:%d", port)
	}
	if o.dialer != nil {
		return nil
	}
	if o.wire == wirePacket {
		return o.routePackets(scheme, logger)
	}
	return o.routeWebSocket(scheme)
}

// schemeOf is what an address begins with; "" for HOST and HOST:PORT.
func schemeOf(address string) string {
	if strings.HasPrefix(address, unixPrefix) {
		return "unix"
	}
	scheme, _, found := strings.Cut(address, "://")
	if !found {
		return ""
	}
	return strings.ToLower(scheme)
}

func (o *connectOptions) routePackets(scheme string, logger *slog.Logger) error {
	if o.pubkey != "" {
		return errors.New("--pubkey is for WebSocket: on the packet wire TLS proves the server; leave it out, or give the address for WebSocket")
	}
	t, err := newTarget(o.address, o.tls, packetlink.DefaultPort)
	if err != nil {
		return err
	}
	if scheme == "" { // with the port; the others say it themselves, or have none
		o.address = t.address
	}
	o.dialer = packetlink.Dialer{TLS: t.tls, AllowClear: o.packetInsecure, Timeout: 5 * time.Second, Logger: logger}
	return nil
}

func (o *connectOptions) routeWebSocket(scheme string) error {
	if err := checkLobbyAddress(o.address); err != nil {
		return err
	}
	host := o.address
	if _, rest, found := strings.Cut(host, "://"); found {
		host, _, _ = strings.Cut(rest, "/")
	}
	name, _, err := packet.ParseAddress(host, parlor.DefaultPort)
	if err != nil {
		name = "" // the dialer says what is wrong with it
	}
	secured, err := o.tls.config(name, scheme)
	if err != nil {
		return err
	}
	if secured != nil && scheme == "" {
		o.address = "wss://" + o.address
	}
	d := quietDialer()
	d.TLS, d.PgnetOnly = secured, o.wire == wirePgnet
	o.dialer = d
	if o.wire == wireNative {
		if d.Key, err = box.NewKey(); err != nil {
			return err
		}
		o.dialer = nativeDialer{d}
	}
	return nil
}

// nativeDialer takes no server that does not speak the native wire, at the first link and at all others.
type nativeDialer struct{ wslink.Dialer }

func (d nativeDialer) Dial(ctx context.Context, address string) (link.Conn, error) {
	c, err := d.Dialer.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return nativeConn{c.(link.StreamConn)}, nil
}

type nativeConn struct{ link.StreamConn }

func (c nativeConn) Login(ctx context.Context, p parlor.Packet, o link.Offer) (parlor.Response, *link.Welcome, error) {
	r, w, err := c.StreamConn.Login(ctx, p, o)
	if err == nil && r.Status == parlor.StatusOK && w == nil {
		err = &client.DisconnectedError{Reason: reasonNotNative}
	}
	return r, w, err
}
