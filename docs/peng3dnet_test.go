package docs_test

import (
	"cmp"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parlor/packet"
	"parlor/packet/ping"
)

// ofParlor are the sections of docs/peng3dnet.md on what package packet has of its own, by number.
func ofParlor(t *testing.T) map[string]string {
	t.Helper()
	sections := make(map[string]string)
	for _, text := range strings.Split(readText(t, "peng3dnet.md"), "\n## ") {
		number, rest, _ := strings.Cut(text, ". ")
		if strings.HasPrefix(rest, "Parlor: ") {
			sections[number] = rest
		}
	}
	if len(sections) != 3 {
		t.Fatalf("%d sections", len(sections))
	}
	return sections
}

// rows are the rows of all tables in a text, without their heads.
func rows(text string) [][]string {
	var all [][]string
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|--") && !strings.HasPrefix(lines[i+1], "|--") {
			all = append(all, splitCells(line))
		}
	}
	return all
}

var goName = regexp.MustCompile(`^(ping\.)?[A-Z]\w*(\.[A-Z]\w*)?$`)

// TestParlorNames: what the sections name exists.
func TestParlorNames(t *testing.T) {
	h, checked := newHouse(), 0
	for number, text := range ofParlor(t) {
		for _, ref := range backquoted(text) {
			name := goName.FindString(ref)
			for _, of := range []string{"Process", "ProcessWait", "Connect", "ConnectConn"} {
				if name == of { // methods of what servers and clients have in common
					name = "Client." + name
				}
			}
			if name == "" || name == "D1" {
				continue
			}
			checked++
			if !h.exists(t, "packet/"+name) && !h.exists(t, "packet."+name) {
				t.Errorf("section %s: there is no %s", number, ref)
			}
		}
	}
	if checked < 130 {
		t.Errorf("%d names", checked)
	}
}

// TestParlorComplete: all options but those of ConfigFromMap, all counters and all reasons but peng3dnet's are told of,
// with the defaults that the options' own comments tell.
func TestParlorComplete(t *testing.T) {
	text := ofParlor(t)["18"]
	documented := map[string]bool{"Enabled": true}
	ast.Inspect(parseGo(t, filepath.Join("..", "packet", "configmap.go")), func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			if name, ok := pair.Key.(*ast.Ident); ok {
				documented[name.Name] = true
			}
		}
		return true
	})
	comments := commentsOf(t, "config.go", "Config", "TLS")
	for name := range comments {
		_, field, _ := strings.Cut(name, ".")
		if !documented[field] && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("nothing of %s", name)
		}
	}
	for name := range commentsOf(t, "endpoint.go", "Stats") {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("nothing of %s", name)
		}
	}
	names := newHouse().names(t, "packet")
	theirs, _, _ := strings.Cut(readText(t, "peng3dnet.md"), "\n## 17.")
	for name, reason := range names {
		if strings.HasPrefix(name, "Reason") && !strings.Contains(theirs, "`"+reason+"`") && !strings.Contains(text, "| `"+reason+"` | `"+name+"` |") {
			t.Errorf("nothing of %s, %q", name, reason)
		}
	}
	limits := 0
	for _, row := range rows(text) {
		if len(row) != 4 || !strings.HasPrefix(row[0], "`Config.") {
			continue
		}
		limits++
		fields := backquoted(row[0])
		if comment := comments[fields[len(fields)-1]]; !strings.Contains(comment, "default "+row[1]) {
			t.Errorf("the default of %s is %s, its comment says %q", row[0], row[1], comment)
		}
	}
	if limits != 14 {
		t.Errorf("%d limits", limits)
	}
}

// commentsOf are the comments of the fields of some types in a file of packet, by TYPE.FIELD.
func commentsOf(t *testing.T, file string, types ...string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "packet", file), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	comments := make(map[string]string)
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !slices.Contains(types, spec.Name.Name) {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()+field.Comment.Text()), " ")
			}
		}
		return true
	})
	return comments
}

// TestParlorCode: the code of the sections is that of the example.
func TestParlorCode(t *testing.T) {
	_, code, ok := strings.Cut(ofParlor(t)["19"], "```go\n")
	code, _, _ = strings.Cut(code, "```")
	if !ok || !strings.Contains(readText(t, "../packet/example_reconnect_test.go"), code) {
		t.Errorf("packet/example_reconnect_test.go does not have\n%s", code)
	}
}

// witness notes on which goroutine something was called.
type witness struct {
	mu   sync.Mutex
	seen map[string]string
}

func (w *witness) note(what string) {
	stack, where := string(debug.Stack()), "the sender's"
	switch {
	case strings.Contains(stack, "packet.(*endpoint).Process("):
		where = "`Process`"
	case strings.Contains(stack, "packet.(*Server).Serve("):
		where = "`Server.Serve`"
	case strings.Contains(stack, "packet.(*Client).Connect("):
		where = "`Connect`"
	case strings.Contains(stack, "packet.(*Conn).serve"), strings.Contains(stack, "packet.(*Server).start"):
		where = "the connection's"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.seen[what]; old != "" && old != where {
		where = old + ", and " + where
	}
	w.seen[what] = where
}

// TestGoroutines: the table of section 17 is true.
func TestGoroutines(t *testing.T) {
	table := rows(ofParlor(t)["17"])
	for column, manual := range map[int]bool{1: false, 2: true} {
		w := &witness{seen: make(map[string]string)}
		w.watch(t, manual)
		told := 0
		for what, where := range w.seen {
			at := slices.IndexFunc(table, func(row []string) bool { return strings.Contains(row[0], what) })
			if at < 0 || table[at][column] != where {
				t.Errorf("with Manual %v, %s is called on %s", manual, what, where)
			}
			told++
		}
		if told != 16 || len(table) != 12 {
			t.Errorf("with Manual %v, %d callbacks were seen, of %d rows", manual, told, len(table))
		}
	}
}

// watch has a server and its clients call whatever they call.
func (w *witness) watch(t *testing.T, manual bool) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	came := make(chan *packet.Conn, 1)
	reg := packet.NewRegistry()
	text := packet.MustRegister(reg, "test:text", func(c *packet.Conn, _ string) error {
		w.note("`Register`")
		came <- c
		return nil
	}, packet.Smart(), packet.OnSend(func(*packet.Conn, any) error { w.note("`OnSend`"); return nil }))
	if _, err := reg.Handle("test:message", func(c *packet.Conn, _ *packet.Message) error {
		w.note("`Registry.Handle`")
		came <- c
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	own := packet.ConnType{
		Init:    func(c *packet.Conn) error { w.note("`ConnType.Init`"); c.SetState(packet.StateActive); return nil },
		Receive: func(*packet.Conn, *packet.Message) (bool, error) { w.note("`ConnType.Receive`"); return false, nil },
		Send:    func(*packet.Conn, *packet.Outgoing) (bool, error) { w.note("`ConnType.Send`"); return false, nil },
	}
	config := func(connType, side string) packet.Config {
		return packet.Config{Manual: manual, ConnType: connType, Logger: slog.New(slog.DiscardHandler), Hooks: packet.Hooks{
			Accept:    func(*packet.Conn) bool { w.note("`Hooks.Accept`"); return true },
			Connect:   func(*packet.Conn) error { w.note("`Hooks.Connect`, on a " + side); return nil },
			Handshake: func(*packet.Conn) { w.note("`Hooks.Handshake`") },
			Receive:   func(*packet.Conn, *packet.Message) { w.note("`Hooks.Receive`") },
			Send: func(_ *packet.Conn, o *packet.Outgoing) error {
				if o.ID < packet.FirstAutoID {
					w.note("`Hooks.Send` for the handshake's own packets")
				} else {
					w.note("`Hooks.Send`")
				}
				return nil
			},
			Close: func(*packet.Conn, *packet.CloseError) { w.note("`Hooks.Close`") },
			Done:  func(*packet.Conn) { w.note("`Hooks.Done`") },
		}}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	process := func(wait func(context.Context, int) (int, error)) {
		wg.Go(func() { // ends with the server or client
			for manual {
				if _, err := wait(context.Background(), 0); err != nil {
					return
				}
			}
		})
	}
	receive := func() *packet.Conn {
		select {
		case c := <-came:
			return c
		case <-ctx.Done():
			t.Fatal("nothing comes")
			return nil
		}
	}

	srv := packet.NewServer(reg, config("", "server"))
	if err := cmp.Or(srv.AddConnType("own", own), ping.Serve(srv, ping.Options{Func: func(*packet.Conn, *packet.Message) map[string]any {
		w.note("`ping.Options.Func`")
		return nil
	}})); err != nil {
		t.Fatal(err)
	}
	ln, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { srv.Serve(ln) }) // ends with srv
	defer srv.Close()
	process(srv.ProcessWait)
	for _, connType := range []string{packet.ConnTypeClassic, "own"} {
		client := packet.NewClient(reg, config(connType, "client"))
		if err := client.AddConnType("own", own); err != nil {
			t.Fatal(err)
		}
		if err := client.Connect(ctx, ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		process(client.ProcessWait)
		if err := text.Send(client.Conn, "to the server"); err != nil {
			t.Fatal(err)
		}
		theirs := receive()
		if err := theirs.Send("test:message", "to the client"); err != nil {
			t.Fatal(err)
		}
		receive()
		client.Close(nil)
		<-client.Done()
		<-theirs.Done()
	}
	if _, err := ping.Do(ctx, ln.Addr().String(), nil, packet.Config{}); err != nil {
		t.Fatal(err)
	}
}
