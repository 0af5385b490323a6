// Package pgtest runs PostgreSQL servers for tests: of Debian's package or whatever pg_config knows, with folders, sockets
// and ports of their own. No server that runs already is touched.
//
//	url := pgtest.Shared(t).URL() // one server for all tests of a package
//	server := pgtest.New(t)       // one for this test, to be stopped and started again
//	server.Stop(pgtest.Immediate)
//
// Where there is no PostgreSQL the test is skipped, and says why. Servers end with the process of the test at the latest,
// however that ends, and their folders are removed.
//
// As root the servers run as the user postgres, or nobody, as PostgreSQL refuses root.
package pgtest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is the superuser of the servers; whoever comes over the loopback or the socket is let in.
const User = "parlor"

// Mode is how a server is stopped.
type Mode string

const (
	Fast      Mode = "INT"  // its connections are ended, and all is written
	Immediate Mode = "QUIT" // as by a crash: the next start recovers from the log
)

// patience is how long a server may take to start or to stop. A crashed one recovers first.
const patience = time.Minute

// Server is a server with a folder of its own, that syncs its log as in production, unless it is the shared one. Its methods
// fail the test; they are not for concurrent use.
type Server struct {
	tb   testing.TB // nil for the shared one, once it runs
	bin  string
	dir  string // holds data, the socket and the log
	port int
	sync bool

	watcher *exec.Cmd // while it runs
	hold    *os.File  // what the watcher reads
}

// template is a folder made by initdb, of which each server gets a copy.
var template = sync.OnceValues(initialize)

var shared struct {
	sync.Mutex
	server *Server
}

// Shared is the server of this process that all tests share: each uses a database, or a schema, of its own, and none stops it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s := create(tb)
		s.sync = false // nobody crashes it
		s.Start()
		s.tb = nil
		shared.server = s
	}
	return shared.server
}

// New is a server that runs until the test ends.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := create(tb)
	tb.Cleanup(func() {
		if s.Running() {
			s.Stop(Immediate)
		}
		if err := os.RemoveAll(s.dir); err != nil {
			tb.Errorf("remove the server's folder: %v", err)
		}
	})
	s.Start()
	return s
}

// create makes the folder of a server.
func create(tb testing.TB) *Server {
	tb.Helper()
	from, err := template()
	if err != nil {
		tb.Skipf("no PostgreSQL for this test: %v", err)
	}
	dir, err := folder()
	if err != nil {
		tb.Fatal(err)
	}
	if out, err := command("cp", "-R", filepath.Join(from.dir, "data"), filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		tb.Fatalf("copy the server's folder: %v: %s", err, out)
	}
	return &Server{tb: tb, bin: from.bin, dir: dir, sync: true}
}

// initialize runs initdb. Its folder goes with the process: a watcher looks after it as after a server's.
func initialize() (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	cmd := command(filepath.Join(bin, "initdb"), "--pgdata="+filepath.Join(dir, "data"), "--username="+User, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.watch("true")
}

// find is the folder of PostgreSQL's programs: of the newest version of Debian's packages, or that of the path.
func find() (string, error) {
	places, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(places, func(a, b string) int { return version(b) - version(a) })
	if p, err := exec.LookPath("initdb"); err == nil {
		places = append(places, p)
	}
	for _, p := range places {
		bin := filepath.Dir(p)
		if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
			return bin, nil
		}
	}
	return "", fmt.Errorf("no initdb and postgres in /usr/lib/postgresql/*/bin or on the path: scripts/test-deps installs them, or apt-get install postgresql")
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// folder is a new folder of the user who runs the servers. Its path is short, as a socket's must be.
func folder() (string, error) {
	if _, _, err := owner(); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "parlor-pg")
	if err != nil {
		return "", err
	}
	if err := give(dir); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// command runs as the user who runs the servers.
func command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = os.TempDir() // one that this user may enter
	become(cmd)
	return cmd
}

// watch starts a program with a shell around it that waits for a word: the signal to end it with. When this process ends
// without one, the shell ends the program and removes the folder.
func (s *Server) watch(program ...string) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	in, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := command("sh", append([]string{"-c", `
		dir=$1; shift
		"$@" </dev/null 3<&- & program=$!
		read -r signal <&3 || { signal=QUIT; alone=1; }
		kill -s "$signal" $program
		wait $program
		[ -z "$alone" ] || rm -rf "$dir"
	`, "watch", s.dir}, program...)...)
	cmd.ExtraFiles = []*os.File{in}
	cmd.Stdout, cmd.Stderr = log, log // not those of go test, which would wait for their end
	if err := cmd.Start(); err != nil {
		hold.Close()
		return err
	}
	s.watcher, s.hold = cmd, hold
	return nil
}

// Running tells whether the server was started and not stopped since.
func (s *Server) Running() bool { return s.watcher != nil }

// Start starts a server that was stopped, on the port it had, and returns when it lets clients in.
func (s *Server) Start() {
	s.tb.Helper()
	if s.port == 0 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.tb.Fatal(err)
		}
		s.port = ln.Addr().(*net.TCPAddr).Port
		ln.Close()
	}
	data := filepath.Join(s.dir, "data")
	pidfile := filepath.Join(data, "postmaster.pid")
	os.Remove(pidfile)
	err := s.watch(filepath.Join(s.bin, "postgres"), "-D", data, "-k", s.dir, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprint("fsync=", s.sync), "-c", "max_connections=100", "-c", "shared_buffers=32MB")
	if err != nil {
		s.tb.Fatalf("start PostgreSQL: %v", err)
	}
	for end := time.Now().Add(patience); ; {
		// As pg_ctl does: the eighth line is the state of the server.
		text, _ := os.ReadFile(pidfile)
		if lines := strings.Split(string(text), "\n"); len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready" {
			return
		}
		if time.Now().After(end) {
			s.tb.Fatalf("PostgreSQL has not started within %v; its log:\n%s", patience, s.Log())
		}
		time.Sleep(5 * time.Millisecond) // sleep: polls what another process writes
	}
}

// Stop stops the server, and returns when it is gone.
func (s *Server) Stop(mode Mode) {
	s.tb.Helper()
	if _, err := fmt.Fprintln(s.hold, string(mode)); err != nil {
		s.tb.Errorf("stop PostgreSQL: %v", err)
	}
	s.hold.Close()
	s.watcher.Wait()
	s.watcher, s.hold = nil, nil
}

// Restart stops the server and starts it.
func (s *Server) Restart(mode Mode) {
	s.tb.Helper()
	s.Stop(mode)
	s.Start()
}

// Addr is where it listens on the loopback, as "host:port".
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is that of its database "postgres", over the loopback.
func (s *Server) URL() string { return s.At(s.Addr(), "postgres") }

// At is the URL of a database when the server is reached at an address: its own, or that of a proxy.
func (s *Server) At(addr, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(User), Host: addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// SocketURL is that of its database "postgres", over its unix socket.
func (s *Server) SocketURL() string {
	query := url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}}
	return "postgres://" + User + "@/postgres?" + query.Encode()
}

// Database is the URL of a new database of the shared server, for this test alone.
func Database(tb testing.TB) string {
	tb.Helper()
	s := Shared(tb)
	name := fmt.Sprint("test_", databases.Add(1))
	conn, err := pgx.Connect(tb.Context(), s.URL())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	if _, err := conn.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return s.At(s.Addr(), name)
}

var databases atomic.Int64

// Folder is a new folder that the server may write, for a tablespace. It goes with the server.
func (s *Server) Folder(name string) string {
	s.tb.Helper()
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.tb.Fatal(err)
	}
	if err := give(dir); err != nil {
		s.tb.Fatal(err)
	}
	return dir
}

// Log is what the server has logged.
func (s *Server) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}
