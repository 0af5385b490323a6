package main_test

import (
	"bytes"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	bench "parlor/bench"
)

// TestMain is also the children's: they are this program, started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"server", "echo", "raw", "packets", "storm"}, os.Args[1]) {
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
	const spread = `\d+\.\d % \(\d+\.\d\.\.\d+\.\d\)`
	wants := []string{
		`Packets of 74 bytes, with a body of 64, beside a raw TCP echo of the same frames\.`,
		`(?m)^  in turn +echo/s +packets/s +p50 +p99 +server CPU +allocations +of the echo$`,
		`(?m)^  pipelined, one connection +echo/s +packets/s +server CPU +allocations +of the echo$`,
		`1 client in 1 game`, `10 clients in 1 game`, `10 clients in 10 games`,
		`lobby +\d+ \(\d+\.\.\d+\) +\d`, `of the echo: +\d+\.\d %`, `times its 12899/s`,
	}
	for kind, aim := range map[string]string{"body": "", "map": " +aim 500000/s: (reached|MISSED)", "typed": " +aim 1500000/s: (reached|MISSED)", "plain": ""} {
		for _, clients := range []string{"1 client", "10 clients"} {
			wants = append(wants, `(?m)^  `+clients+`, `+kind+` +\d+ +\d+ +\S+s +\S+s +\d+\.\d µs +\d+\.\d +`+spread+` +aim 80 %: (reached|MISSED)$`)
		}
		wants = append(wants, `(?m)^  `+kind+` +\d+ +\d+ \(\d+\.\.\d+\) +\d+\.\d\d µs +\d+\.\d\d +`+spread+aim+`$`)
	}
	const ratio = `: ` + spread + `   aim at (least|most) \d+ %: (reached|MISSED)$`
	for _, title := range []string{`10 clients in 1 game, in turn`, `16 clients in 1 game, with 32 messages under way each`, `16 clients in 16 games, with 32 messages under way each`} {
		wants = append(wants, `(?m)^`+title+`\n.*\n  raw TCP .*\n  raw WebSocket .*\n  native .*\n  rate, of the raw WebSocket`+ratio, `(?m)^  the same by CPU time: \d+\.\d %$`)
	}
	for _, title := range []string{`10 clients in 1 game, in turn`, `16 clients in 1 game, with 32 messages under way each`, `16 clients in 16 games, with 32 messages under way each`} {
		wants = append(wants, `(?m)^`+title+`\n.*\n  raw TCP .*\n  packet wire `)
	}
	wants = append(wants, `(?m)^  rate: \d+/s   aim at least 400000/s: (reached|MISSED)$`, `(?m)^A broadcast to 20 users .*\n.*\n  raw WebSocket .*\n  native .*\n  rate, of the raw WebSocket`+ratio,
		`(?m)^5 games of 4 users, .*\n.*\n  raw WebSocket .*\n  native .*\n  p99, of the raw WebSocket`+ratio, `(?m)^  server CPU, of the raw WebSocket`+ratio)
	wants = append(wants, `(?m)^50 clients in 50 games, in turn\n.*\n  undisturbed .*\n  beside bad rooms .*\n  p99, of the undisturbed`+ratio,
		`(?m)^20 clients on the native wire, in games of 10, whose links are all cut`, `(?m)^  all back after \S+s; half of them after \S+s; 0 have another seat$`,
		`(?m)^  20 links, of which 20 have resumed; 0 pushes lost, and 0 gaps in what was pushed$`, `(?m)^  all back, median: .* aim at most 10s: (reached|MISSED)$`)
	for _, title := range []string{`100 moves a second by the clock, one at a time`, `100 moves a second by the clock, 4 together`} {
		wants = append(wants, `(?m)^5 rooms of one user, `+title+`\n.*\n  not durable .*\n  memory .*\n  SQLite .*\n  rate, of the not durable: `+spread+`$`)
	}
	wants = append(wants, `(?m)^  p99 of SQLite, median of the turns: \S+s   aim at most 25ms: (reached|MISSED)$`,
		`(?m)^5 rooms of one user, with 4 moves under way each\n.*\n  not durable .*\n  memory .*\n  SQLite .*\n  rate: \d+/s   aim at least 20000/s: (reached|MISSED)$`,
		`(?m)^The server of SQLite was killed behind the last answer: .*   aim all: reached\n  bytes of a move: \d+\.\d in the journal, .*   aim at most 200: (reached|MISSED)$`,
		`(?m)^20 durable games of 100 entries each, whose server was killed .*\n  from the start .* aim at most 10s: (reached|MISSED)$`,
		`(?m)^A store of 200 users on SQLite, .*\n  from the start .* aim at most 2s: (reached|MISSED)\n  logins then, .* ms each`)
	if runtime.GOOS == "linux" {
		const percents = `: \d+ % \(\d+\.\.\d+\)   aim at most 200 %: (reached|MISSED)$`
		for _, from := range []string{"one address", "100 addresses"} {
			wants = append(wants, `(?m)^from `+from+`: the last 200 took .* failed$\n(  the first .*\n)?.*\n  before .*\n  beside .*\n  in the storm .*\n  p50, of that before`+percents+`\n  p99, of that before`+percents,
				`(?m)^  in, where she was before: after \d.* 0 not let in   aim all, and at most 5s: (reached|MISSED)$`, `(?m)^  memory of the server at most: -?\d+ MB .* aim at most 128 MB: (reached|MISSED)$`)
		}
		wants = append(wants, `(?m)^20 idle packet connections: -?\d+\.\d MB, -?\d+\.\d\d kB each +aim 10 KiB: (reached|MISSED)$`,
			`(?m)^  at Shutdown: 20 were told the reason, 0 something else, 0 nothing +aim all told: reached$`,
			`(?m)^  goroutines of the server: \d+ at first, \d+ with the connections, \d+ after Shutdown +aim none left: reached$`)
	}
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the output has no %q", want)
		}
	}
}

// TestIdleVerdicts: connections that hear nothing, or not the reason, and goroutines that stay are aims missed.
func TestIdleVerdicts(t *testing.T) {
	for _, test := range []struct {
		told, unclear, lost, left int
		want                      []string
	}{
		{20, 0, 0, 1, []string{"all told: reached", "none left: reached"}},
		{20, 0, 0, 3, []string{"all told: reached", "none left: reached"}},
		{19, 1, 0, 4, []string{"19 were told the reason, 1 something else, 0 nothing   aim all told: MISSED", "none left: MISSED"}},
		{19, 0, 1, 23, []string{"all told: MISSED", "3 at first, 23 with the connections, 23 after Shutdown   aim none left: MISSED"}},
	} {
		var out bytes.Buffer
		bench.PrintIdle(&out, test.told, test.unclear, test.lost, 3, 23, test.left)
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the output has no %q:\n%s", want, &out)
			}
		}
	}
}

// TestPipelinedSpread: the ratio is printed with its spread.
func TestPipelinedSpread(t *testing.T) {
	var out bytes.Buffer
	bench.PrintPipelined(&out, []float64{0.1, 0.3, 0.05})
	if !strings.Contains(out.String(), "10.0 % (5.0..30.0)") {
		t.Error(out.String())
	}
}

// TestUsage refuses what it cannot measure before anything is started.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-pairs", "0"}, {"-only", "nothing"}, {"-crowd", "0"}, {"-rooms", "-1"}, {"-storm", "99"}, {"-seconds", "1000"}, {"-clients", "-1"}, {"-idle", "0"}, {"unexpected"}, {"-unknown"},
	} {
		var out, errs bytes.Buffer
		if code := bench.Run(args, nil, &out, &errs); code != 1 || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: exit code %d, output %q, errors %q", args, code, out.String(), errs.String())
		}
	}
}
