// Command lint checks what go vet and staticcheck cannot know about this repository:
//
//   - the import rules of the house: see [house] for the table,
//   - that each package with tests fails on leaked goroutines, by a TestMain that calls goleak,
//   - that no test sleeps for a fixed time without saying why.
//
// Start it in the root of the repository, by "make lint" or by
//
//	go run ./internal/lint [folder]
//
// It prints one line for each thing to mend, and ends with status 1 if there is one. It reads the sources of
// this module and of those in its subfolders, files of other platforms included (but not packages that have
// no other files). It changes nothing, and does not need the code to compile.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	problems, err := lint(ctx, root, house())
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	if !report(os.Stdout, problems) {
		os.Exit(1)
	}
}

// lint returns the problems of the module in the folder root, judged by the table.
func lint(ctx context.Context, root string, t table) ([]string, error) {
	pkgs, err := load(ctx, root)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, p := range pkgs {
		problems = append(problems, checkImports(t, p)...)
		problems = append(problems, checkTests(p)...)
	}
	return problems, nil
}

// report prints the problems, and says if there are none.
func report(w io.Writer, problems []string) bool {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	return len(problems) == 0
}
