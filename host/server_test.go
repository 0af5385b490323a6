package host_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/internal/certtest"
	"parlor/internal/pgtest"
	"parlor/link/wslink"
)

// TestLocalhost: every loopback address that the machine has, at the same port.
func TestLocalhost(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{})
	families := 1
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
		ln.Close()
		families = 2
	}
	if len(s.Addrs()) != families {
		t.Errorf("it listens at %v", s.Addrs())
	}
	for i, addr := range s.Addrs() {
		at := addr.(*net.TCPAddr)
		if at.Port != s.port() || !at.IP.IsLoopback() {
			t.Errorf("it listens at %v", s.Addrs())
		}
		c := dial(t, addr.String(), client.Config{Username: fmt.Sprint("user", i), ServerKey: s.Lobby().PublicKey()})
		wantAnswer(t, c, parlor.RequestJoinGame, parlor.Map{"name": "room"}, []string{"Created new game: 'room'.", "Joined game: 'room'."}[i], 0)
	}
	c := dial(t, fmt.Sprint("localhost:", s.port()), client.Config{Username: "someone"})
	if code, err := s.stop(); code != 0 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
	wantReason(t, c.Wait(), client.ReasonClosed)
}

// TestPublicAddress: without an administrator password there is no listening at addresses that others reach.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		_, err := host.Start(t.Context(), quiet(host.Config{Listen: listen}))
		wantError(t, err, listen, "can be reached from other machines", "--admin-password", "PARLOR_ADMIN_PASSWORD", "localhost")
	}
	s := start(t, host.Config{Listen: ":0", AdminPassword: "secret"})
	if password, generated := s.AdminPassword(); password != "secret" || generated {
		t.Errorf("password %q, made up: %t", password, generated)
	}
	dial(t, fmt.Sprint("127.0.0.1:", s.port()), client.Config{Username: "admin", Password: "secret"})
	loopback := start(t, host.Config{Listen: "127.0.0.1:0"})
	if len(loopback.Addrs()) != 1 {
		t.Errorf("it listens at %v", loopback.Addrs())
	}
}

func TestBadConfigs(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]host.Config{
		"try localhost:38929":                       {Listen: "localhost"},
		"the port must be a number from 0 to 65535": {Listen: "localhost:70000"},
		"TLS needs both":                            {TLSCert: "cert.pem"},
		"not UTF-8":                                 {AdminPassword: "m\xfcller"},
		"TLS certificate: open no":                  {TLSCert: "no", TLSKey: "no"},
		"try 127.0.0.1 or 10.0.0.0/8":               {TrustedProxies: []string{"127.0.0.1", "example.org"}},
		"the default kind \"chess\"":                {DefaultKind: "chess"},
		"address of this machine":                   {Listen: "no such host:0"},
		"listen at 192.0.2.1:0":                     {Listen: "192.0.2.1:0", AdminPassword: "x"},
		"key file":                                  {KeyFile: t.TempDir()},
	} {
		_, err := host.Start(t.Context(), quiet(cfg))
		wantError(t, err, want)
	}
}

func TestGeneratedPassword(t *testing.T) {
	t.Parallel()
	first, second := start(t, host.Config{}), start(t, host.Config{})
	password, generated := first.AdminPassword()
	other, _ := second.AdminPassword()
	if !generated || len(password) < 20 || password == other {
		t.Errorf("passwords %q and %q, made up: %t", password, other, generated)
	}
	refused(t, first.addr(), client.Config{Username: "admin", Password: "admin"}, "Incorrect password.")
	dial(t, first.addr(), client.Config{Username: "admin", Password: password})
}

// TestStoredPassword: the administrator's password is in the store, from the first start on: it is made up once, and replaced by one that is given.
func TestStoredPassword(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	run := func(cfg host.Config, want string, printed bool) (password string) {
		t.Helper()
		var out, log output
		cfg.Store, cfg.Listen, cfg.Out, cfg.Logger = folder, cmp.Or(cfg.Listen, "localhost:0"), &out, slog.New(slog.NewTextHandler(&log, nil))
		s := start(t, cfg)
		s.Announce()
		password, generated := s.AdminPassword()
		if generated != printed || (out.field("administrator password.*") != "") != printed || strings.Contains(log.String(), "in place of the one that was stored") != (cfg.AdminPassword == "second") {
			t.Errorf("printed\n%s%s", &out, &log)
		}
		dial(t, fmt.Sprint("127.0.0.1:", s.port()), client.Config{Username: "admin", Password: cmp.Or(want, password)}).Close()
		if _, err := s.stop(); err != nil {
			t.Fatal(err)
		}
		return password
	}
	_, err := host.Start(t.Context(), quiet(host.Config{Listen: ":0", Store: folder}))
	wantError(t, err, "can be reached from other machines")
	wantFiles(t, folder, map[string]string{})
	first := run(host.Config{}, "", true)
	run(host.Config{}, first, false)
	run(host.Config{Listen: ":0"}, first, false) // it may be public now
	run(host.Config{AdminPassword: first}, first, false)
	run(host.Config{AdminPassword: "second"}, "second", false)
	run(host.Config{}, "second", false)
}

// TestTakenPort: the error says what to try, and the save is left alone.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	save := filepath.Join(t.TempDir(), "save.json")
	text := copyFile(t, "../testdata/pgnet/save.json", save)
	for _, listen := range []string{ln.Addr().String(), fmt.Sprint("localhost:", ln.Addr().(*net.TCPAddr).Port)} {
		_, err = host.Start(t.Context(), quiet(host.Config{Listen: listen, SaveFile: save}))
		wantError(t, err, "listen at "+ln.Addr().String(), "address already in use", "perhaps a server is already running",
			"--listen "+host.OtherPort(listen)+" ", "a connection that this machine has opened")
	}
	wantFiles(t, filepath.Dir(save), map[string]string{"save.json": text})
}

func TestOtherPort(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"localhost:38929": "localhost:38930", ":38930": ":38931", "[::1]:2000": "[::1]:2001",
		"192.0.2.1:80": "192.0.2.1:38929", "localhost:65535": "localhost:38929",
	} {
		if got := host.OtherPort(listen); got != want {
			t.Errorf("for %s %s is suggested, want %s", listen, got, want)
		}
	}
}

// TestLostKey: a save whose key file is gone gets a new key, which clients may refuse; whoever runs the server
// is told. A new save is no reason for a warning.
func TestLostKey(t *testing.T) {
	t.Parallel()
	const warning = "a new key was made"
	save := filepath.Join(t.TempDir(), "save.json")
	cfg := func(log *output) host.Config {
		return host.Config{SaveFile: save, Logger: slog.New(slog.NewTextHandler(log, nil))}
	}
	for _, step := range []struct {
		name  string
		warns bool
		after func() error
	}{
		{"new", false, nil},
		{"again", false, func() error { return os.Remove(save + ".key") }},
		{"key lost", true, nil},
		{"once more", false, nil},
	} {
		var log output
		start(t, cfg(&log)).stop()
		if warns := strings.Contains(log.String(), warning); warns != step.warns {
			t.Errorf("%s: warned %t, want %t:\n%s", step.name, warns, step.warns, &log)
		}
		if step.after != nil {
			if err := step.after(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLostKeyOfStore: that is so with stores of each kind.
func TestLostKeyOfStore(t *testing.T) {
	t.Parallel()
	const warning = "a new key was made"
	for name, place := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "data") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, key := place(t), filepath.Join(t.TempDir(), "key")
			for i, warns := range []bool{false, false, true, false} {
				if warns {
					if err := os.Remove(key); err != nil {
						t.Fatal(err)
					}
				}
				var log output
				start(t, host.Config{Store: at, KeyFile: key, Logger: slog.New(slog.NewTextHandler(&log, nil))}).stop()
				if is := strings.Contains(log.String(), warning); is != warns {
					t.Errorf("start %d: warned %t, want %t:\n%s", i, is, warns, &log)
				}
			}
		})
	}
}

// TestDamagedSave: the server does not start, and changes nothing.
func TestDamagedSave(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"users": [`, `[]`, ``, `{"users": [], "games": [], "registration": true}`} {
		save := filepath.Join(t.TempDir(), "save.json")
		if err := os.WriteFile(save, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := host.Start(t.Context(), quiet(host.Config{SaveFile: save}))
		wantError(t, err, save)
		if s != nil {
			t.Error("it started")
		}
		if got, err := os.ReadFile(save); err != nil || string(got) != text {
			t.Errorf("the file holds %q, %v", got, err)
		}
	}
}

// TestTakenKey: two servers with one key would overwrite each other's logins, which could then be replayed.
func TestTakenKey(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	s := start(t, host.Config{KeyFile: key})
	_, err := host.Start(t.Context(), quiet(host.Config{KeyFile: key}))
	wantError(t, err, "another server is using it", key+".logins", "give each server a file of its own")
	dial(t, s.addr(), client.Config{Username: "alice"})
	s.stop()
	start(t, host.Config{KeyFile: key})
}

// wantFiles checks what is in a folder.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if expected, found := want[e.Name()]; err != nil || !found || string(text) != expected {
			t.Errorf("%s holds %q, %v", e.Name(), text, err)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %d", len(entries), len(want))
	}
}

func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRestart: users, invites, games and the key are there again, and clients that have pinned the key come
// back.
func TestRestart(t *testing.T) {
	t.Parallel()
	save := filepath.Join(t.TempDir(), "deep", "save.json")
	cfg := host.Config{SaveFile: save, AdminPassword: "secret"}
	s := start(t, cfg)
	key := s.Lobby().PublicKey()
	admin := dial(t, s.addr(), client.Config{Username: "admin", Password: "secret", ServerKey: key})
	alice := dial(t, s.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key})
	if err := alice.CreateGame(t.Context(), "my chat", client.GameOptions{Password: "sesame"}); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, alice, "hello", nil, "Message added.", 0)
	r, err := admin.Request(t.Context(), parlor.RequestCreateInvite, parlor.Map{"username": "carol"})
	code := strings.TrimPrefix(r.Message, "Created invite code: ")
	if err != nil || code == r.Message {
		t.Fatalf("%s, %v", r.DebugText(), err)
	}
	wantAnswer(t, admin, parlor.RequestSetRegistration, parlor.Map{"set_as": false}, "Registration enabled: False", 0)
	if code, err := s.stop(); code != 0 || err != nil {
		t.Fatalf("it ended with %d, %v", code, err)
	}
	wantReason(t, alice.Wait(), client.ReasonClosed)
	info, err := os.Stat(save + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file %v, %v", info.Mode(), err)
	}

	s = start(t, cfg)
	if s.Lobby().PublicKey() != key {
		t.Error("the key is another one")
	}
	refused(t, s.addr(), client.Config{Username: "alice", Password: "wrong", ServerKey: key}, "Incorrect password.")
	refused(t, s.addr(), client.Config{Username: "dave"}, "Registration blocked.")
	dial(t, s.addr(), client.Config{Username: "carol", InviteCode: code, ServerKey: key})
	beats := make(chan parlor.Response, 100)
	alice = dial(t, s.addr(), client.Config{Username: "alice", Password: "pw", ServerKey: key, OnHeartbeat: func(r parlor.Response) {
		select {
		case beats <- r:
		default:
		}
	}})
	games, err := alice.GameDir(t.Context())
	if want := (client.GameInfo{Name: "my chat", PasswordProtected: true}); err != nil || !slices.Equal(games, []client.GameInfo{want}) {
		t.Errorf("directory %+v, %v", games, err)
	}
	if err := alice.JoinGame(t.Context(), "my chat", client.GameOptions{Password: "sesame"}); err != nil {
		t.Error(err)
	}
	const log = `{'log': ['Game started', 'Joined: alice', "alice says: 'hello'", 'Left: alice', 'Joined: alice']}`
	if got := (<-beats).Payload.String(); got != log {
		t.Errorf("the log is %s, want %s", got, log)
	}
}

// TestExitCodes: 0 for an administrator's shutdown, -1 for a restart that the program asks for.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{})
	password, _ := s.AdminPassword()
	admin := dial(t, s.addr(), client.Config{Username: "admin", Password: password})
	wantAnswer(t, admin, parlor.RequestShutdown, nil, "Shutting down...", 0)
	s.ends(t, 0)
	s = start(t, host.Config{})
	s.Lobby().Shutdown(-1)
	s.ends(t, -1)
}

// TestEndOfContext: whatever its cause, it is no error.
func TestEndOfContext(t *testing.T) {
	t.Parallel()
	s, err := host.Start(t.Context(), quiet(host.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("terminated signal received"))
	if code, err := s.Run(ctx); code != 0 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
}

func TestOnConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []string
	s := start(t, host.Config{OnConnection: func(user string, connected bool) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprint(user, " ", connected))
	}})
	c := dial(t, s.addr(), client.Config{Username: "alice"})
	c.Close()
	s.stop()
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(events, []string{"alice true", "alice false"}) {
		t.Errorf("events %q", events)
	}
}

// TestTLS: wss:// with a certificate that the client trusts, and one that it does not.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certtest.Make(t)
	s := start(t, host.Config{TLSCert: cert, TLSKey: key})
	address := fmt.Sprint("wss://localhost:", s.port())
	c := dial(t, address, client.Config{Username: "alice", Dialer: wslink.Dialer{TLS: &tls.Config{RootCAs: certtest.Pool(t, cert)}}})
	wantAnswer(t, c, parlor.RequestJoinGame, parlor.Map{"name": "room"}, "Created new game: 'room'.", 0)
	var unknown x509.UnknownAuthorityError
	if d := refused(t, address, client.Config{Username: "bobby"}, client.ReasonCallFailed); !errors.As(d, &unknown) {
		t.Errorf("the error does not tell of the certificate: %v", d)
	}
	refused(t, fmt.Sprint("ws://localhost:", s.port()), client.Config{Username: "bobby"}, client.ReasonCallFailed)
}

// TestTrustedProxy: the address that a reverse proxy tells is believed from those that are named only.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		trusted []string
		want    string
	}{
		{nil, "remote='127.0.0.1:"},
		{[]string{"10.0.0.0/8"}, "remote='127.0.0.1:"},
		{[]string{"127.0.0.1"}, "remote='203.0.113.7'"},
		{[]string{"10.0.0.0/8", "127.0.0.0/8"}, "remote='203.0.113.7'"},
	} {
		s := start(t, host.Config{Listen: "127.0.0.1:0", AdminPassword: "secret", TrustedProxies: test.trusted})
		target := &url.URL{Scheme: "http", Host: s.addr()}
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7")
		}})
		admin := dial(t, strings.Replace(proxy.URL, "http", "ws", 1), client.Config{Username: "admin", Password: "secret"})
		r := wantAnswer(t, admin, parlor.RequestDebug, nil, "Debug", 0)
		if users, _ := r.Payload.Get("connected_users"); !strings.Contains(fmt.Sprint(users), test.want) {
			t.Errorf("with %v trusted the users are %v, want %s", test.trusted, users, test.want)
		}
		admin.Close()
		proxy.Close()
		s.stop()
	}
}

// TestWireLimits: the limits of connections are the program's to set, and their counters to read. The key that
// a client has seen is the one to pin.
func TestWireLimits(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{Wire: wslink.Config{MessageSize: 2000}})
	c := dial(t, s.Addrs()[0].String(), client.Config{Username: "alice"})
	if c.ServerKey() != s.Lobby().PublicKey() {
		t.Errorf("the client has seen the key %q", c.ServerKey())
	}
	if _, err := c.Request(t.Context(), strings.Repeat("x", 3000), nil); err == nil {
		t.Error("a message over the limit was answered")
	}
	wantReason(t, c.Wait(), client.ReasonClosed)
	if n := s.Wire().Stats().TooLarge.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
}
