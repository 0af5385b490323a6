package main

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// checkTests returns what is wrong with the tests of one package.
func checkTests(p pkg) []string {
	if len(p.tests) == 0 {
		return nil
	}
	var problems []string
	if !slices.ContainsFunc(p.tests, checksLeaks) {
		problems = append(problems, p.name+
			": no TestMain that fails on leaked goroutines: add func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }, of go.uber.org/goleak")
	}
	for _, s := range p.tests {
		problems = append(problems, checkSleeps(s)...)
	}
	return problems
}

// checksLeaks says if the file has a TestMain that calls goleak.
func checksLeaks(s source) bool {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && f.Name.Name == "TestMain" && f.Body != nil {
			return len(s.uses(f.Body, "go.uber.org/goleak", "VerifyTestMain", "Find")) > 0
		}
	}
	return false
}

// sleepReason is the comment that allows a sleep: it has words in it.
var sleepReason = regexp.MustCompile(`^// sleep: *\S`)

// checkSleeps reports each time.Sleep on a line without a reason.
func checkSleeps(s source) []string {
	reasons := map[int]bool{} // lines
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if sleepReason.MatchString(c.Text) {
				reasons[s.fset.Position(c.Pos()).Line] = true
			}
		}
	}
	var problems []string
	for _, n := range s.uses(s.file, "time", "Sleep") {
		if line := s.fset.Position(n.Pos()).Line; !reasons[line] {
			problems = append(problems, fmt.Sprintf(
				"%s:%d: time.Sleep in a test: wait for what is to happen, or give the reason on the line: // sleep: why", s.name, line))
		}
	}
	return problems
}

// uses returns where within a node one of the functions of a package is named.
func (s source) uses(within ast.Node, importPath string, functions ...string) []ast.Node {
	local := s.localName(importPath)
	var found []ast.Node
	ast.Inspect(within, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			x, ok := sel.X.(*ast.Ident)
			if ok && x.Name == local && slices.Contains(functions, sel.Sel.Name) {
				found = append(found, sel)
			}
		}
		return true
	})
	return found
}

// localName returns by which name the file knows an imported package, or "" if it does not import it.
func (s source) localName(importPath string) string {
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}
