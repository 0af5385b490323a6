package main_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	bench "parlor/bench"
)

// TestMain is also the children's: they are this program, started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "echo" || os.Args[1] == "packets") {
		os.Exit(bench.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// TestQuick runs everything once, so that the program cannot rot. It says nothing of speed.
func TestQuick(t *testing.T) {
	var out, errs bytes.Buffer
	if code := bench.Run([]string{"-quick"}, nil, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("exit code %d, errors %q", code, errs.String())
	}
	t.Log(out.String())
	for _, want := range []string{
		`1 client in 1 game`, `10 clients in 1 game`, `10 clients in 10 games`,
		`lobby +\d+ \(\d+\.\.\d+\) +\d`, `of the echo: +\d+\.\d %`, `times its 12899/s`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the output has no %q", want)
		}
	}
}

// TestUsage refuses what it cannot measure before anything is started.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-pairs", "0"}, {"-seconds", "1000"}, {"-clients", "-1"}, {"-idle", "0"}, {"unexpected"}, {"-unknown"},
	} {
		var out, errs bytes.Buffer
		if code := bench.Run(args, nil, &out, &errs); code != 1 || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: exit code %d, output %q, errors %q", args, code, out.String(), errs.String())
		}
	}
}
