package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	tableFile = "internal/lint/house.go"
	wirers    = "host, cmd or examples" // who may bring together what does not know each other
)

// checkImports returns what the table holds against the imports of one package.
func checkImports(t table, p pkg) []string {
	at := t.find(p.name)
	if at < 0 {
		return []string{fmt.Sprintf("%s: the import table does not know this package: add it to %s and to docs/ARCHITECTURE.md",
			p.name, tableFile)}
	}
	var problems []string
	for _, other := range p.imports {
		if !t[at].allows(p.name, other) {
			problems = append(problems, fmt.Sprintf("%s: imports %s: %s", p.name, other, t.reason(at, p.name, other)))
		}
	}
	for _, other := range p.testImports {
		// A test of a command may import the command.
		if isCommand(other) && other != p.name {
			problems = append(problems, fmt.Sprintf("%s: a test imports %s: nobody imports a command; start the program instead", p.name, other))
		}
	}
	return problems
}

// reason says why a package may not import the other, and what to do.
func (t table) reason(at int, pkg, other string) string {
	to := t.find(other)
	const mend = ": declare an interface here and let " + wirers + " wire them, or change " + tableFile +
		" and docs/ARCHITECTURE.md if the house is to change"
	switch {
	case to < 0:
		return "the import table does not know that package: add it to " + tableFile + " and to docs/ARCHITECTURE.md"
	case isCommand(other):
		return "nobody imports a command: move what both need into a package above"
	case within(other, "examples"), within(other, "bench"):
		return "nobody imports it: move what both need into a package above"
	case !t.used(other):
		return "it is for tests alone"
	case siblings(pkg, other):
		return "siblings never import each other: move what both need into " + path.Dir(pkg) + ", or wire them in " + wirers
	case to > at:
		return "it comes later in the house" + mend
	default:
		return "it is not in its list" + mend
	}
}

// used says if any package may import this one.
func (t table) used(pkg string) bool {
	return slices.ContainsFunc(t, func(r rule) bool { return slices.Contains(r.may, pkg) })
}

func isCommand(pkg string) bool { return within(pkg, "cmd") }

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// siblings says if two packages are in one folder that is itself a package of the house, as link/wslink and
// link/memlink are.
func siblings(a, b string) bool {
	dir := path.Dir(a)
	return dir != "." && dir != "internal" && dir == path.Dir(b)
}
