// Package host wires a ready server for authors: [Main] makes a game a server program, [Start] runs a server
// inside a program, and [Local] is a client whose server runs in the process without a socket.
//
// It is the place where the lobby (server), the wires (link/...), the key (box) and the stores
// (store/...) meet; none of them knows another.
package host

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"
	"unicode/utf8"

	"parlor"
	"parlor/internal/openfiles"
	"parlor/link/packetlink"
	"parlor/link/wslink"
	"parlor/room"
	"parlor/server"
)

// Config is what a server program is made of. Games is required; all else has a default.
type Config struct {
	// Games are the kinds of game, by kind, and DefaultKind is the one that is created without naming one. It
	// may stay empty if there is one kind only.
	Games       map[string]parlor.NewGame
	DefaultKind string

	// Listen is the address to listen at: HOST:PORT. Default localhost:38929. A host that is not the loopback
	// makes the server public, which needs an AdminPassword. Port 0 takes a free one.
	Listen string
	// PacketListen is where the packet wire is to be had too: HOST:PORT, or unix:/PATH; tcp://HOST:PORT and, with
	// TLSCert, tls://HOST:PORT are HOST:PORT. Empty: nowhere. A public one needs an
	// AdminPassword as well, and is secured by TLSCert; without that it takes logins over the loopback only, unless PacketInsecure
	// lets passwords cross the network in clear.
	PacketListen   string
	PacketInsecure bool
	// AdminPassword is the administrator's. The Store keeps it, as a hash: it need not be given again, and one that is given takes its
	// place. Where there is none yet, a server on the loopback makes one up.
	AdminPassword string

	NoRegistration  bool // new users need an invite; without it a loaded save decides
	RequirePassword bool // new users need a password
	NoAutoCreate    bool // joining a missing game is refused instead of creating it
	Takeover        bool // a login with the right password takes the seat of a user who is connected (server.Config)
	Verbose         bool // packets and responses are logged

	// ResumeWindow is how long a user keeps the seat when the link of one of Parlor's own wires is gone, where the game does not say
	// otherwise. Default 60 s; negative: not at all.
	ResumeWindow time.Duration

	// Store is where everything is kept: a folder, which is made, or postgres://USER@HOST/DATABASE, with the password in it, in
	// PGPASSWORD or in ~/.pgpass. Empty, or "memory": it ends with the server. One server at a time may have it.
	Store string
	// Standby has Start wait while another server has the Store, and take over when that has ended. Nothing is listened at meanwhile.
	Standby bool
	// SaveFile is in place of a Store: it keeps users, invites and games in pgnet's format, and games that are durable cannot be
	// created.
	SaveFile string
	// KeyFile keeps the server's key, so that clients can pin it, and beside it, in KeyFile.logins, what is
	// needed to refuse replayed logins; one server at a time may have them. Default: server.key in the Store's folder, or
	// SaveFile.key; a new key at each start where there is neither.
	KeyFile string
	// TLSCert and TLSKey are files of a certificate chain and its key, for wss:// and the packet wire. Both or none.
	TLSCert, TLSKey string

	TrustedProxies []string // addresses or networks (CIDR) of reverse proxies
	Origins        []string // web origins whose pages may connect, such as https://example.org; empty: all
	Limits         server.Limits
	// Wire is for the limits and timeouts of WebSocket connections; the rest of it is set by the server. Its
	// Connections are 100,000 by default, or what the limit of open files allows.
	Wire wslink.Config
	// Packets is the same for connections of the packet wire.
	Packets packetlink.Config

	// Autosave is how often games are saved. Default 300 s.
	Autosave time.Duration
	// SaveEvery is after how many entries of its journal a durable game is saved besides, or 4 MiB of them. Default 1000.
	SaveEvery int
	// KeepJournals keeps what is in a save already, so that the journal of a durable game is a recording of all of it.
	KeepJournals bool
	// Divergence says what becomes of a durable game that does not do again what its journal says: room.ReadOnly, the default, or
	// room.FromSave.
	Divergence room.Divergence
	// OnConnection, if not nil, is told who has logged in and who is gone, as server.Config.OnConnection says.
	OnConnection func(user string, connected bool)
	// Logger gets what people who run the server should know. Default: text on standard error.
	Logger *slog.Logger
	// Out gets the lines that a program prints at its start. Default: standard output.
	Out io.Writer
}

// fill sets defaults and checks what can be checked before anything is opened.
func (c *Config) fill() error {
	c.Listen = cmp.Or(c.Listen, fmt.Sprintf("localhost:%d", parlor.DefaultPort))
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if c.Out == nil {
		c.Out = os.Stdout
	}
	if !utf8.ValidString(c.AdminPassword) { // it would take the place of a good one
		return errors.New("the administrator password is not UTF-8 text, and nobody could log in with it: set the terminal to UTF-8")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("TLS needs both a certificate and its key: give --tls-cert and --tls-key")
	}
	for flag, n := range map[string]int{
		"--max-users": c.Limits.Users, "--max-games": c.Limits.Games, "--max-connections": c.Wire.Connections, "--max-user-games": c.Limits.GamesPerUser,
		"--max-network-users": c.Limits.RegistrationBurst, "--max-saves": c.Limits.SavesSize,
	} {
		if n < 0 {
			return fmt.Errorf("%s %d: the limit must be a positive number, or 0 for the default", flag, n)
		}
	}
	if c.Autosave < 0 {
		return fmt.Errorf("--autosave %v: it must be positive, such as 5m", c.Autosave)
	}
	if c.SaveEvery < 0 {
		return fmt.Errorf("--save-every %d: it must be a positive number of journal entries, or 0 for the default", c.SaveEvery)
	}
	var err error
	if c.PacketListen, err = packetListen(c.PacketListen, c.TLSCert != ""); err != nil {
		return err
	}
	if c.PacketInsecure && c.PacketListen == "" {
		return errors.New("--packet-insecure is for the packet wire, which is off: give --packet-listen")
	}
	if c.PacketInsecure && c.TLSCert != "" {
		return errors.New("--packet-insecure is for a packet wire without TLS: leave it out, or --tls-cert and --tls-key")
	}
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return fmt.Errorf("--allow-origin %q is not an origin: try https://example.org", origin)
		}
	}
	if err := c.fillStore(); err != nil {
		return err
	}
	c.Packets.Connections = openfiles.AtMost(cmp.Or(c.Packets.Connections, c.Wire.Connections, 100_000))
	c.Wire.Connections = openfiles.AtMost(cmp.Or(c.Wire.Connections, 100_000)) // the store must be opened too
	_, err = parseProxies(c.TrustedProxies)
	return err
}

func (c *Config) fillStore() error {
	if c.Store == "" {
		c.Store = MemoryStore
	}
	switch {
	case c.SaveFile != "" && c.Store != MemoryStore:
		return errors.New("--save and --store are two places for the same: give one of them")
	case c.Standby && c.Store == MemoryStore:
		return errors.New("--standby is for a store that another server may have: give --store")
	case c.KeyFile != "":
	case c.SaveFile != "":
		c.KeyFile = c.SaveFile + ".key"
	default:
		c.KeyFile = KeyFile(c.Store)
	}
	return nil
}

func parseProxies(texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if addr, err2 := netip.ParseAddr(text); err2 == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is not an address or a network: try 127.0.0.1 or 10.0.0.0/8", text)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

// newPassword makes a password of 128 random bits, of letters and digits.
func newPassword() string { return rand.Text() }
