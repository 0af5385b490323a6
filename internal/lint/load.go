package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A pkg is one package as its sources have it.
type pkg struct {
	name        string   // its folder in the repository, with slashes; "." for the root
	imports     []string // our packages that its code imports, sorted, by the same names
	testImports []string // our packages that its tests import
	tests       []source // its _test.go files
}

// A source is one parsed file.
type source struct {
	name string // its path in the repository
	fset *token.FileSet
	file *ast.File
}

// listed is what we read of the answer of go list.
type listed struct {
	ImportPath, Dir                           string
	Imports, TestImports, XTestImports        []string
	TestGoFiles, XTestGoFiles, IgnoredGoFiles []string
	Module                                    *struct{ Path string }
}

// load returns the packages of the module in the folder root and of the modules in its subfolders.
func load(ctx context.Context, root string) ([]pkg, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	// Go answers with real paths.
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	modules, err := findModules(root)
	if err != nil {
		return nil, err
	}
	var all []listed
	for _, dir := range modules {
		l, err := golist(ctx, dir)
		if err != nil {
			return nil, err
		}
		all = append(all, l...)
	}

	names := map[string]string{} // folder by import path
	var main string              // the root module's path
	for _, l := range all {
		rel, err := filepath.Rel(root, l.Dir)
		if err != nil {
			return nil, err
		}
		names[l.ImportPath] = filepath.ToSlash(rel)
		if main == "" && l.Module != nil {
			main = l.Module.Path
		}
	}
	ours := func(paths []string) []string {
		var out []string
		for _, p := range paths {
			name, ok := names[p]
			if !ok {
				// One of ours that is not written yet.
				name, ok = strings.CutPrefix(p, main+"/")
			}
			if ok {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}

	var pkgs []pkg
	for _, l := range all {
		p := pkg{name: names[l.ImportPath]}
		imports, testImports := l.Imports, slices.Concat(l.TestImports, l.XTestImports)
		for _, name := range slices.Concat(l.TestGoFiles, l.XTestGoFiles, l.IgnoredGoFiles) {
			s, err := parse(l.Dir, name, p.name)
			if err != nil {
				return nil, err
			}
			test := strings.HasSuffix(name, "_test.go")
			if test {
				p.tests = append(p.tests, s)
			}
			// Files of other platforms, which go list does not read.
			if slices.Contains(l.IgnoredGoFiles, name) {
				if test {
					testImports = append(testImports, s.imports()...)
				} else {
					imports = append(imports, s.imports()...)
				}
			}
		}
		p.imports, p.testImports = ours(imports), ours(testImports)
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
}

// findModules returns the folders with a go.mod, root first.
func findModules(root string) ([]string, error) {
	dirs := []string{root}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed while we walk
			return nil
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name()[0] == '.' || d.Name()[0] == '_' ||
			d.Name() == "testdata" || d.Name() == "vendor" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.Name() == "go.mod" && filepath.Dir(path) != root:
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	return dirs, err
}

// golist asks Go for the packages of the module in a folder. What does not compile is listed all the same.
func golist(ctx context.Context, dir string) ([]listed, error) {
	const fields = "ImportPath,Dir,Imports,TestImports,XTestImports,TestGoFiles,XTestGoFiles,IgnoredGoFiles,Module"
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-json="+fields, "./...")
	cmd.Dir = dir
	// A workspace of the developer's own does not count.
	cmd.Env = append(os.Environ(), "PWD="+dir, "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", dir, err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		switch err := dec.Decode(&l); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("read the answer of go list in %s: %w", dir, err)
		}
		all = append(all, l)
	}
}

// parse reads one file of a package. Of a file with syntax errors it takes what can be understood.
func parse(dir, name, pkg string) (source, error) {
	s := source{name: filepath.ToSlash(filepath.Join(pkg, name)), fset: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.fset, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
	if s.file == nil {
		return source{}, err
	}
	return s, nil
}

// imports returns the import paths of the file.
func (s source) imports() []string {
	var out []string
	for _, spec := range s.file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			out = append(out, path)
		}
	}
	return out
}
