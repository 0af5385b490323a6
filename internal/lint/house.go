package main

import (
	"slices"
	"strings"
)

// A rule says what the code of one package that is not a test may import of our own packages. Packages are
// named by their folder, "." for the root.
type rule struct {
	// pkg is the package. "bench/..." stands for a whole tree, whose packages may import each other;
	// "examples/*" for each folder in examples, as such a tree of its own.
	pkg string
	may []string
}

// A table has a rule for every package, in the order of the house: none may import one that comes later.
type table []rule

// house returns the table for this repository. docs/ARCHITECTURE.md describes the same in words.
//
// Siblings (the links, the stores) know nothing of each other; packet and the root know nothing of each
// other; a client knows no server. Only host, cmd and examples wire.
func house() table {
	public := []string{
		"msgpack", "box", "packet", "packet/ping", ".",
		"link", "link/wslink", "link/packetlink", "link/memlink",
		"store", "internal/snapshot", "store/backup", "store/sqlite", "store/postgres", "store/pgnetfile",
		"room", "server", "client",
	}
	abovePrograms := join(public, "host", "cluster", "console", "parlortest")

	return table{
		{"internal/keyset", nil},
		{"internal/pyjson", []string{"internal/keyset"}},
		{"internal/near", nil},
		{"internal/lockfile", nil},
		{"internal/folder", nil},
		{"internal/direct", nil},
		{"internal/late", nil},
		{"internal/crowd", nil},
		{"internal/openfiles", nil},
		{"internal/argon2", nil},
		{"internal/password", []string{"internal/argon2"}},
		{"internal/turnstile", []string{"internal/crowd"}},
		{"internal/memnet", nil},
		{"msgpack", nil},
		{"internal/transcode", []string{"internal/keyset", "internal/pyjson", "msgpack"}},
		{"box", []string{"internal/folder"}},
		{"packet", []string{"internal/direct", "internal/openfiles", "msgpack"}},
		{"packet/ping", []string{"msgpack", "packet"}},
		{".", []string{"internal/pyjson", "msgpack", "internal/transcode"}},
		{"link", []string{"internal/pyjson", "msgpack", "."}},
		{"link/wslink", []string{"internal/late", "internal/crowd", "internal/direct", "internal/pyjson", "msgpack", "box", ".", "link"}},
		{"link/packetlink", []string{"internal/late", "internal/crowd", "internal/pyjson", "msgpack", "packet", "packet/ping", ".", "link"}},
		{"link/memlink", []string{".", "link"}},
		{"store", nil},
		{"internal/snapshot", []string{"internal/password", "store"}},
		{"store/backup", []string{"store"}},
		{"store/sqlite", []string{"internal/lockfile", "internal/folder", "store"}},
		{"store/postgres", []string{".", "store"}},
		{"store/pgnetfile", []string{"internal/pyjson", "internal/lockfile", "internal/folder", "internal/password", ".", "internal/snapshot", "store"}},
		{"room", []string{"internal/pyjson", "."}},
		{"internal/gamefile", []string{"room"}},
		{"server", []string{"internal/pyjson", "internal/near", "internal/password", "internal/turnstile", "box", ".", "link", "internal/snapshot", "store", "room"}},
		{"client", []string{"internal/pyjson", "box", ".", "link", "link/wslink"}}, // wslink: the default dialer
		{"host", join(public, "internal/lockfile", "internal/openfiles")},
		{"cluster", []string{".", "link", "store", "room", "server"}},
		{"console", []string{"internal/pyjson", ".", "link", "store", "room", "server"}},
		{"parlortest", []string{"internal/memnet", "internal/gamefile", "box", ".", "link", "link/wslink", "link/packetlink", "link/memlink", "internal/snapshot", "store", "room", "server", "client", "host"}},
		{"examples/*", abovePrograms},
		{"cmd/parlor", join(abovePrograms, "internal/pyjson", "internal/near", "internal/password", "internal/gamefile", "internal/folder", "internal/lockfile", "examples/chat/game", "examples/tictactoe/game", "examples/positions/game")}, // the games it offers by itself
		{"bench/...", abovePrograms},

		// For tests alone: in nobody's list.
		{"internal/certtest", nil},
		{"internal/disktest", nil},
		{"internal/exampletest", []string{"msgpack", "packet", ".", "room"}},
		{"internal/pypeer", nil},
		{"internal/pgtest", nil},
		{"internal/crash/program/game", []string{"."}},
		{"internal/crash/program", []string{"host", "internal/crash/program/game"}},
		{"internal/crash", []string{"internal/crash/program/game"}},
		{"internal/lint", nil},
		{"docs", nil},
		{"examples", nil},
		{"link/linktest", []string{".", "link"}}, // the suites that every link and every store passes
		{"store/storetest", []string{"store"}},
	}
}

// join returns a new list of all of them.
func join(list []string, more ...string) []string {
	return slices.Concat(list, more)
}

// find returns the place in the table of the rule for a package, or -1.
func (t table) find(pkg string) int {
	return slices.IndexFunc(t, func(r rule) bool { return r.covers(pkg) })
}

// covers says if the rule is for the package.
func (r rule) covers(pkg string) bool {
	return pkg == r.pkg || r.tree(pkg) != ""
}

// allows says if the package, which the rule covers, may import the other.
func (r rule) allows(pkg, other string) bool {
	tree := r.tree(pkg)
	return slices.Contains(r.may, other) || tree != "" && tree == r.tree(other)
}

// tree returns the top folder of the tree of this rule in which a package is, or "" if it is in none.
func (r rule) tree(pkg string) string {
	if top, ok := strings.CutSuffix(r.pkg, "/..."); ok && within(pkg, top) {
		return top
	}
	if parent, ok := strings.CutSuffix(r.pkg, "*"); ok && strings.HasPrefix(pkg, parent) {
		name, _, _ := strings.Cut(pkg[len(parent):], "/")
		return parent + name
	}
	return ""
}
