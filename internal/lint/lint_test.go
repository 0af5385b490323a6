package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leakCheck is a test file as each package shall have one.
const leakCheck = `package x
import ("testing"; "go.uber.org/goleak")
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
`

// TestLint runs the whole check on small trees.
func TestLint(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  []string // the beginnings of the problems
	}{
		"a good house": {
			files: map[string]string{
				"parlor.go":                "package parlor\nimport _ \"parlor/internal/pyjson\"",
				"internal/pyjson/x.go":     "package pyjson",
				"link/x.go":                "package link\nimport _ \"parlor\"",
				"link/wslink/x.go":         "package wslink\nimport (_ \"parlor/link\"; _ \"fmt\"; _ \"example.com/parlor/server\")",
				"host/x.go":                "package host\nimport (_ \"parlor/link/wslink\"; _ \"parlor/link\")",
				"examples/chat/x.go":       "package chat\nimport _ \"parlor/examples/chat/words\"",
				"examples/chat/words/x.go": "package words",
				"cmd/parlor/x.go":          "package main\nimport (_ \"parlor/host\"; _ \"parlor/examples/chat/game\")",
				"examples/chat/game/x.go":  "package game",
				"testdata/x.go":            "package unknown",
			},
		},
		"each import rule": {
			files: map[string]string{
				"parlor.go":            "package parlor\nimport _ \"parlor/packet\"",
				"packet/x.go":          "package packet",
				"link/x.go":            "package link",
				"link/wslink/x.go":     "package wslink\nimport _ \"parlor/link/memlink\"",
				"link/memlink/x.go":    "package memlink\nimport _ \"parlor/server\"",
				"server/x.go":          "package server\nimport _ \"parlor/internal/pypeer\"",
				"client/x.go":          "package client\nimport _ \"parlor/cmd/parlor\"",
				"host/x.go":            "package host\nimport _ \"parlor/examples/chat\"",
				"room/x.go":            "package room\nimport _ \"parlor/attic\"",
				"internal/pypeer/x.go": "package pypeer",
				"examples/chat/x.go":   "package chat",
				"examples/echo/x.go":   "package echo\nimport _ \"parlor/examples/chat\"",
				"cmd/parlor/x.go":      "package notmain",
			},
			want: []string{
				".: imports packet: it is not in its list",
				"client: imports cmd/parlor: nobody imports a command",
				"examples/echo: imports examples/chat: nobody imports it",
				"host: imports examples/chat: nobody imports it",
				"link/memlink: imports server: it comes later in the house",
				"link/wslink: imports link/memlink: siblings never import each other: move what both need into link,",
				"room: imports attic: the import table does not know that package",
				"server: imports internal/pypeer: it is for tests alone",
			},
		},
		"a package nobody knows": {
			files: map[string]string{"attic/x.go": "package attic"},
			want:  []string{"attic: the import table does not know this package: add it to internal/lint/house.go and to docs/ARCHITECTURE.md"},
		},
		"files of another platform": {
			files: map[string]string{
				"client/x.go":       "package client",
				"client/x_plan9.go": "package client\nimport _ \"parlor/server\"",
				"server/x.go":       "package server",
			},
			want: []string{"client: imports server"},
		},
		"a module in a subfolder": {
			files: map[string]string{
				"link/x.go":        "package link\nimport _ \"parlor/bench\"",
				"bench/go.mod":     "module parlor/bench\ngo 1.26\nrequire parlor v0.0.0\nreplace parlor => ../",
				"bench/x.go":       "package bench\nimport (_ \"parlor/link\"; _ \"parlor/internal/certtest\"; _ \"parlor/bench/peers\")",
				"bench/peers/x.go": "package peers",
			},
			want: []string{
				"bench: imports internal/certtest: it is for tests alone",
				"link: imports bench: nobody imports it",
			},
		},
		"code that does not compile": {
			files: map[string]string{"box/x.go": "package box\nimport _ \"parlor/host\"\nfunc half( {", "host/x.go": "package host"},
			want:  []string{"box: imports host"},
		},
		"tests": {
			files: map[string]string{
				"packet/x_test.go":     leakCheck,
				"packet/y_test.go":     "package x_test\nimport _ \"parlor/host\"",
				"link/x_test.go":       "package link_test\nimport (\"testing\"; _ \"parlor/host\")\nfunc TestMain(m *testing.M) { m.Run() }",
				"room/x_test.go":       "package room\nimport \"testing\"\nfunc TestX(t *testing.T) {}",
				"room/b_test.go":       leakCheck,
				"server/x_test.go":     strings.Replace(leakCheck, "\"testing\";", "\"testing\"; _ \"parlor/cmd/parlor\";", 1),
				"store/x_test.go":      "package store\nimport (\"testing\"; leak \"go.uber.org/goleak\")\nfunc TestMain(m *testing.M) { m.Run(); _ = leak.Find() }",
				"host/x.go":            "package host",
				"cmd/parlor/x.go":      "package main",
				"cmd/parlor/x_test.go": strings.Replace(leakCheck, "package x", "package main_test", 1),
			},
			want: []string{
				"link: no TestMain that fails on leaked goroutines: add func TestMain",
				"server: a test imports cmd/parlor: nobody imports a command",
			},
		},
		"sleeps": {
			files: map[string]string{
				"box/x.go":      "package box\nimport \"time\"\nfunc X() { time.Sleep(1) }",
				"box/x_test.go": leakCheck,
				"box/y_test.go": `package x
import clock "time"
// clock.Sleep(1) in a comment
func a() { clock.Sleep(1) }
func b() { clock.Sleep(1) } // sleep: the kernel has no event for this
func c() { clock.Sleep(1) } // sleep:
`,
				"box/x_plan9_test.go": "package box\nimport \"time\"\nfunc d() { time.Sleep(1) }",
			},
			want: []string{
				"box/x_plan9_test.go:3: time.Sleep in a test",
				"box/y_test.go:4: time.Sleep in a test",
				"box/y_test.go:6: time.Sleep in a test",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := lint(t.Context(), tree(t, test.files), house())
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if len(got) != len(test.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(test.want), strings.Join(got, "\n"))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got  %s\nwant %s ...", got[i], want)
				}
			}
		})
	}
}

// tree writes the files into a new folder, with a go.mod of a module named parlor.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module parlor\ngo 1.26\n")
	for name, text := range files {
		write(name, text)
	}
	return root
}

func TestLintNoModule(t *testing.T) {
	if _, err := lint(t.Context(), t.TempDir(), house()); err == nil {
		t.Error("no error for a folder without a module")
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	if !report(&out, nil) || out.Len() > 0 {
		t.Errorf("no problems: not good, or %q", &out)
	}
	if report(&out, []string{"a", "b"}) || out.String() != "a\nb\n" {
		t.Errorf("two problems: good, or %q", &out)
	}
}

// TestHouse holds the table against what the design says in words.
func TestHouse(t *testing.T) {
	table := house()
	seen := map[string]bool{}
	for _, r := range table {
		if seen[r.pkg] {
			t.Errorf("%s has two rules", r.pkg)
		}
		for _, other := range r.may {
			at := table.find(other)
			switch {
			case at < 0:
				t.Errorf("%s may import %s, which has no rule", r.pkg, other)
			case !seen[table[at].pkg]:
				t.Errorf("%s may import %s, which comes later", r.pkg, other)
			case siblings(r.pkg, other):
				t.Errorf("%s may import its sibling %s", r.pkg, other)
			}
		}
		seen[r.pkg] = true
	}

	// What a package may reach, through whatever it imports.
	reach := map[string]map[string]bool{}
	for _, r := range table {
		all := map[string]bool{}
		for _, other := range r.may {
			all[other] = true
			for further := range reach[table[table.find(other)].pkg] {
				all[further] = true
			}
		}
		reach[r.pkg] = all
	}
	never := map[string][]string{
		"internal/pyjson": {"msgpack", "box", "packet", "."},
		"msgpack":         {"box", "packet", "."},
		"box":             {"msgpack", "packet", "."},
		"packet":          {"box", ".", "link"},
		"packet/ping":     {"box", ".", "link"},
		".":               {"box", "packet", "link"},
		"client":          {"server", "room", "store", "packet"},
		"room":            {"link", "store", "server"},
		"server":          {"client", "link/wslink", "link/memlink", "link/packetlink", "store/sqlite", "host"},
	}
	for pkg, others := range never {
		for _, other := range others {
			if reach[pkg][other] {
				t.Errorf("%s may reach %s", pkg, other)
			}
		}
	}
}

func TestAllows(t *testing.T) {
	tests := []struct {
		pkg, other string
		want       bool
	}{
		{"examples/chat", "examples/chat/board", true},
		{"examples/chat/board", "examples/chat", true},
		{"examples/chat", "examples/echo", false},
		{"examples/chat", "host", true},
		{"examples/chat", "internal/pyjson", false},
		{"cmd/parlor", "examples/tictactoe/game", true},
		{"cmd/parlor", "store/sqlite", true},
		{"bench", "client", true},
		{"bench/peers", "bench", true},
		{"bench/peers", "internal/memnet", false},
		{"host", "cmd/parlor", false},
		{"parlortest", "host", true},
		{"parlortest", "internal/memnet", true},
		{"server", "internal/memnet", false},
		{"parlortest", "store/sqlite", false},
	}
	table := house()
	for _, test := range tests {
		at := table.find(test.pkg)
		if got := at >= 0 && table[at].allows(test.pkg, test.other); got != test.want {
			t.Errorf("may %s import %s: %v, want %v", test.pkg, test.other, got, test.want)
		}
	}
}

func TestFindModules(t *testing.T) {
	root := tree(t, map[string]string{
		"bench/go.mod":            "",
		"testdata/a/go.mod":       "",
		".cache/go.mod":           "",
		"console/vendor/m/go.mod": "",
	})
	got, err := findModules(root)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{root, filepath.Join(root, "bench")}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
