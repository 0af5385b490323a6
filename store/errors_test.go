package store_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"strings"
	"testing"

	"parlor/store"
)

// TestKind: each error is one kind, itself, however it is wrapped.
func TestKind(t *testing.T) {
	for _, kind := range store.Kinds {
		if got := store.Kind(fmt.Errorf("commit: %w: %w", kind, net.ErrWriteToConnected)); got != kind {
			t.Errorf("%v is of the kind %v", kind, got)
		}
	}
	for _, err := range []error{nil, errors.New("the store is closed"), net.ErrClosed} {
		if got := store.Kind(err); got != nil {
			t.Errorf("%v is of the kind %v", err, got)
		}
	}
}

// TestKinds: none is forgotten that this package has.
func TestKinds(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names, kinds := 0, len(store.Kinds)
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
			names++
		}
		return true
	})
	if names != kinds || names == 0 {
		t.Errorf("there are %d errors, and %d kinds", names, kinds)
	}
}
