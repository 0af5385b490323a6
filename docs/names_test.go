package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// namesRow is one row of a table of names: the names of the other library, and what they are in Go.
type namesRow struct {
	section string
	cells   []string
	key     string // section and name, as in the checklist
}

// inGo is the last cell.
func (r namesRow) inGo() string { return r.cells[len(r.cells)-1] }

// text is the cell with the texts on the wire, or empty in the tables that have none.
func (r namesRow) text() string {
	switch r.section {
	case "Request names", "Other texts and keys on the wire":
		return r.cells[1]
	case "All response messages of the server", "All status texts of the client":
		return r.cells[0]
	}
	return ""
}

// readNames reads all tables of a page. Where the first column groups rows, an empty cell repeats the one above.
func readNames(t *testing.T, path string) []namesRow {
	t.Helper()
	var rows []namesRow
	var section, group string
	var grouped, inside bool
	for line := range strings.Lines(readText(t, path)) {
		line = strings.TrimSuffix(line, "\n")
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section = heading
		}
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := splitCells(line)
		if !inside {
			inside, group = true, ""
			grouped = cells[0] == "submodule" || cells[0] == "where"
			if last := cells[len(cells)-1]; last != "in Go" {
				t.Errorf("%s: the last column of a table in %q is %q, not \"in Go\"", path, section, last)
			}
			continue
		}
		if strings.HasPrefix(cells[0], "---") {
			continue
		}
		key := section + ": " + cells[0]
		if grouped {
			if cells[0] != "" {
				group = cells[0]
			}
			key = section + ": " + group + ": " + cells[1]
		}
		rows = append(rows, namesRow{section: section, cells: cells, key: key})
	}
	return rows
}

func splitCells(line string) []string {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var backquotes = regexp.MustCompile("`([^`]+)`")

// backquoted are the parts of a cell in backquotes.
func backquoted(cell string) []string {
	var parts []string
	for _, m := range backquotes.FindAllStringSubmatch(cell, -1) {
		parts = append(parts, m[1])
	}
	return parts
}

// house is the source of this module, read by folder and by file as it is needed.
type house struct {
	packages map[string]goNames
	literals map[string][]string
}

func newHouse() *house {
	return &house{packages: map[string]goNames{}, literals: map[string][]string{}}
}

// goNames are the exported names of a package: functions, types, variables, constants, and as TYPE.NAME the
// methods and fields, as TYPE: the types that it embeds. The value is that of a constant that is text, else empty.
type goNames map[string]string

func (h *house) names(t *testing.T, dir string) goNames {
	t.Helper()
	if names := h.packages[dir]; names != nil {
		return names
	}
	names := goNames{}
	paths, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, decl := range parseGo(t, path).Decls {
			names.addDecl(decl)
		}
	}
	h.packages[dir] = names
	return names
}

func parseGo(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (n goNames) addDecl(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			n.add(d.Name.Name, "")
		} else {
			n.add(receiver(d.Recv.List[0].Type)+"."+d.Name.Name, "")
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				n.addValues(s)
			case *ast.TypeSpec:
				n.addType(s)
			}
		}
	}
}

func (n goNames) addValues(s *ast.ValueSpec) {
	for i, name := range s.Names {
		value := ""
		if i < len(s.Values) {
			if lit, ok := s.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value, _ = strconv.Unquote(lit.Value)
			}
		}
		n.add(name.Name, value)
	}
}

func (n goNames) addType(s *ast.TypeSpec) {
	n.add(s.Name.Name, "")
	var members *ast.FieldList
	switch typ := s.Type.(type) {
	case *ast.StructType:
		members = typ.Fields
	case *ast.InterfaceType:
		members = typ.Methods
	default:
		return
	}
	for _, m := range members.List {
		for _, name := range m.Names {
			n.add(s.Name.Name+"."+name.Name, "")
		}
		if embedded := receiver(m.Type); len(m.Names) == 0 && embedded != "" {
			n[s.Name.Name+":"] += " " + embedded
		}
	}
}

// find finds a name, also one that a type has from another one of the package that it embeds.
func (n goNames) find(name string) (value string, found bool) {
	if value, found = n[name]; found {
		return value, true
	}
	typ, member, ok := strings.Cut(name, ".")
	for _, embedded := range strings.Fields(n[typ+":"]) {
		if value, found = n.find(embedded + "." + member); ok && found {
			return value, true
		}
	}
	return "", false
}

// add adds an exported name. Members of types that are not exported are for types that embed them.
func (n goNames) add(name, value string) {
	if ast.IsExported(name[strings.LastIndexByte(name, '.')+1:]) {
		n[name] = value
	}
}

// receiver is the name of a receiver's type, without pointer and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// lookup finds a name such as link/wslink.Dialer.Dial, and the value of a constant that is text.
func (h *house) lookup(t *testing.T, ref string) (value string, found bool) {
	t.Helper()
	slash := strings.LastIndexByte(ref, '/') + 1
	base, name, _ := strings.Cut(ref[slash:], ".")
	dir := ref[:slash] + base
	if dir == "parlor" {
		dir = "."
	}
	names := h.names(t, dir)
	if name == "" { // a package, which may be a command
		return "", len(names) > 0 || isCommand(dir)
	}
	return names.find(name)
}

// exists tells whether there is such a file or name.
func (h *house) exists(t *testing.T, ref string) bool {
	t.Helper()
	if strings.HasSuffix(ref, ".go") {
		_, err := os.Stat(filepath.Join("..", ref))
		return err == nil
	}
	_, found := h.lookup(t, ref)
	return found
}

func isCommand(dir string) bool {
	_, err := os.Stat(filepath.Join("..", dir, "main.go"))
	return err == nil
}

// texts are the string literals of a file, struct tags included.
func (h *house) texts(t *testing.T, path string) []string {
	t.Helper()
	if texts := h.literals[path]; texts != nil {
		return texts
	}
	var texts []string
	ast.Inspect(parseGo(t, filepath.Join("..", path)), func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			texts = append(texts, text)
		}
		return true
	})
	h.literals[path] = texts
	return texts
}

var (
	// What a message has in capitals stands for a value.
	placeholder = regexp.MustCompile(`<class '[A-Z]+'>|\b(NAME|REQUEST|KEY|TYPE|GOT|VALUE|CODE|PATH|BOOL|CLASS|X|ADDRESS|IP|PORT|REASON)\b`)
	wireKey     = regexp.MustCompile(`^[a-z_]+$`)
	letter      = regexp.MustCompile(`[A-Za-z]`)
)

// missing is the first part of a text that none of the literals has, or empty. A text without values in it
// must be a literal of its own; a key may also stand in JSON or in a struct tag.
func missing(text string, literals []string) string {
	if slices.Contains(literals, text) {
		return ""
	}
	contains := func(part string) bool {
		return slices.ContainsFunc(literals, func(l string) bool { return strings.Contains(l, part) })
	}
	switch {
	case wireKey.MatchString(text):
		if contains(`"`+text+`"`) || contains(`"`+text+`,`) {
			return ""
		}
		return text
	case !placeholder.MatchString(text):
		return text
	}
	for _, part := range placeholder.Split(text, -1) {
		part = strings.Trim(part, "'") // Python's quotes are made with the value
		if letter.MatchString(part) && !contains(part) {
			return part
		}
	}
	return ""
}

// pages are the pages of names, with the checklists that they are measured by.
var pages = map[string]string{
	"names-pgnet.md":     "testdata/pgnet-names.txt",
	"names-peng3dnet.md": "testdata/peng3dnet-names.txt",
}

func TestNamesComplete(t *testing.T) {
	for page, list := range pages {
		var got []string
		for _, row := range readNames(t, page) {
			got = append(got, row.key)
		}
		want := strings.Split(strings.TrimSpace(readText(t, list)), "\n")
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("row %d of %s is %q, but line %d of %s is %q", i+1, page, at(got, i), i+1, list, at(want, i))
				break
			}
		}
	}
}

func at(list []string, i int) string {
	if i >= len(list) {
		return "missing"
	}
	return list[i]
}

func TestNamesExist(t *testing.T) {
	h := newHouse()
	for page := range pages {
		for _, row := range readNames(t, page) {
			if row.inGo() == "" {
				t.Errorf("%s: nothing in Go, and no reason", row.key)
			}
			for _, ref := range backquoted(row.inGo()) {
				if !h.exists(t, ref) {
					t.Errorf("%s: there is no %s", row.key, ref)
				}
			}
		}
	}
}

// TestPeng3dnetTextsInCode checks that events and reasons have the documented texts, and that all options are
// those of ConfigFromMap.
func TestPeng3dnetTextsInCode(t *testing.T) {
	h := newHouse()
	options, rows := h.texts(t, "packet/configmap.go"), readNames(t, "names-peng3dnet.md")
	checked := 0
	for _, row := range rows {
		text, kind := strings.Trim(row.cells[0], "`"), row.cells[1]
		switch kind {
		case "config":
			checked++
			if !slices.Contains(options, text) {
				t.Errorf("%s: packet/configmap.go has no such text", row.key)
			}
		case "event", "reason":
			checked++
			ref := backquoted(row.inGo())[0]
			if value, _ := h.lookup(t, ref); value != text {
				t.Errorf("%s: %s is %q", row.key, ref, value)
			}
		}
	}
	if len(rows) != 236 || checked != 49 {
		t.Errorf("%d rows, %d of them events, options and reasons; want 236 and 49", len(rows), checked)
	}
}

func TestPgnetTextsInCode(t *testing.T) {
	h := newHouse()
	for _, row := range readNames(t, "names-pgnet.md") {
		texts := backquoted(row.text())
		if len(texts) == 0 || strings.HasPrefix(row.inGo(), "none: ") {
			continue
		}
		checked := false
		for _, ref := range backquoted(row.inGo()) {
			if !strings.HasSuffix(ref, ".go") {
				if value, _ := h.lookup(t, ref); value != "" {
					checked = true
					if len(texts) != 1 || value != texts[0] {
						t.Errorf("%s: %s is %q", row.key, ref, value)
					}
				}
				continue
			}
			checked = true
			for _, text := range texts {
				if part := missing(text, h.texts(t, ref)); part != "" {
					t.Errorf("%s: %s does not have %q", row.key, ref, part)
				}
			}
		}
		if !checked {
			t.Errorf("%s: neither a constant nor a file that holds the text", row.key)
		}
	}
}
