package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"parlor/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(exampletest.Exit)) }

// TestCommandErrors: what cannot be understood is answered with what to try.
func TestCommandErrors(t *testing.T) {
	for line, want := range map[string]string{
		"nonsense":          `unknown command "nonsense": try serve, connect, ping, user, invite, game, backup, restore, save or version; see parlor --help`,
		"--nonsense":        "unknown flag: --nonsense; see parlor --help",
		"version x":         `unexpected argument "x": settings are given as flags; see parlor version --help`,
		"serve x":           `unexpected argument "x": settings are given as flags; see parlor serve --help`,
		"version --x":       "unknown flag: --x; see parlor version --help",
		"serve --x":         "unknown flag: --x; see parlor serve --help",
		"connect --x":       "unknown flag: --x; see parlor connect --help",
		"connect one two":   `unexpected argument "two": there is one address only; see parlor connect --help`,
		"serve --max-users": "flag needs an argument: --max-users; see parlor serve --help",
	} {
		cmd := rootCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(line))
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || err.Error() != want {
			t.Errorf("parlor %s: error %v, want %s", line, err, want)
		}
	}
}

// TestNoCommand: without a command there is help.
func TestNoCommand(t *testing.T) {
	var out bytes.Buffer
	cmd := rootCommand()
	cmd.SetArgs([]string{})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkContains(t, out.String(), "parlor serve", "parlor connect", "parlor ping", "version")
}

// TestVersion: both ways to ask for it.
func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		var out bytes.Buffer
		cmd := rootCommand()
		cmd.SetArgs([]string{arg})
		cmd.SetOut(&out)
		if err := cmd.ExecuteContext(t.Context()); err != nil || out.String() != versionText()+"\n" {
			t.Errorf("parlor %s: %v, printed %q", arg, err, &out)
		}
	}
}

// TestFlagErrors: each command says where to look, and what a flag takes.
func TestFlagErrors(t *testing.T) {
	t.Parallel()
	var all func(cmd *cobra.Command, path ...string)
	all = func(cmd *cobra.Command, path ...string) {
		_, news, err := runParlor(t, append(slices.Clip(path), "--nothing")...)
		if err == nil {
			t.Errorf("parlor %q --nothing: no error", path)
			return
		}
		checkContains(t, err.Error()+news, "unknown flag: --nothing; see "+strings.Join(append([]string{"parlor"}, path...), " ")+" --help")
		for _, c := range cmd.Commands() {
			all(c, append(slices.Clip(path), c.Name())...)
		}
	}
	all(rootCommand())
	_, _, err := runParlor(t, "invite", "create", "--uses", "many")
	checkError(t, err, `--uses: "many" is not a whole number; see parlor invite create --help`)
}
