package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	defectRow = regexp.MustCompile(`^\| D?(\d+) \|`)
	testName  = regexp.MustCompile("`([a-z0-9/]+\\.Test[^`]*)`")
)

// TestDefects checks that each table has every defect once, in order, and that the tests it names exist.
func TestDefects(t *testing.T) {
	tests := allTests(t)
	for _, table := range []struct {
		file           string
		defects, least int // rows, and tests in them
	}{
		{"defects-pgnet.md", 48, 60},
		{"defects-peng3dnet.md", 33, 55},
	} {
		t.Run(table.file, func(t *testing.T) {
			number, known := checkDefects(t, table.file, tests)
			if number != table.defects || known < table.least {
				t.Errorf("%d defects and %d tests found, want %d and at least %d", number, known, table.defects, table.least)
			}
		})
	}
}

// checkDefects checks one table, and returns how many rows there are, and tests that exist.
func checkDefects(t *testing.T, file string, tests map[string][]string) (number, known int) {
	for line := range strings.Lines(readText(t, file)) {
		row := defectRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		number++
		if row[1] != strconv.Itoa(number) {
			t.Errorf("row %d is of defect %s", number, row[1])
		}
		named := testName.FindAllStringSubmatch(line, -1)
		if len(named) == 0 && !strings.HasSuffix(line, "| none |\n") {
			t.Errorf("defect %d names no test, nor none", number)
		}
		for _, match := range named {
			function, part := splitPart(match[1])
			parts, exists := tests[function]
			switch {
			case !exists:
				t.Errorf("defect %d: there is no test %s", number, function)
			case part != "" && !slices.Contains(parts, part):
				t.Errorf("defect %d: %s has no part %q", number, function, part)
			default:
				known++
			}
		}
	}
	return number, known
}

// splitPart splits a name at the slash behind the function's name; there may be others in the folder before.
func splitPart(name string) (function, part string) {
	at := strings.Index(name, ".Test")
	function, part, _ = strings.Cut(name[at:], "/")
	return name[:at] + function, part
}

// allTests are the test functions of the repository, as folder.Name, each with the texts in it: the names of
// its parts are among them.
func allTests(t *testing.T) map[string][]string {
	t.Helper()
	tests := make(map[string][]string)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(path.Dir(filepath.ToSlash(file)), "../")
		if folder == ".." {
			folder = "parlor"
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				tests[folder+"."+f.Name.Name] = textsIn(f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// textsIn are the string literals of a function.
func textsIn(f *ast.FuncDecl) []string {
	texts := []string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			texts = append(texts, text)
		}
		return true
	})
	return texts
}

// TestTables: each row of a table has as many cells as its head; what it has more is not shown.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../README.md", "../bench/README.md") {
		head := 0
		for i, line := range strings.Split(readText(t, file), "\n") {
			if !strings.HasPrefix(line, "|") {
				head = 0
				continue
			}
			cells := strings.Count(line, "|") - strings.Count(line, `\|`)
			if head == 0 {
				head = cells
			}
			if cells != head {
				t.Errorf("%s:%d: %d cells in a table of %d", file, i+1, cells-1, head-1)
			}
		}
	}
}
