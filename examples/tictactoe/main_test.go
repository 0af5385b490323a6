package main

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor/client"
)

// asProgram, in the environment, has the test's binary be the program.
const asProgram = "PARLOR_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// start runs the program until the end of the test, and returns its address.
func start(t *testing.T) (address string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--listen", "localhost:0")
	cmd.Dir = t.TempDir() // for the save
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " "); strings.HasPrefix(name, "address") {
			return strings.TrimSpace(value)
		}
	}
	t.Fatal("the program has ended without an address")
	return ""
}

// TestProgram: the real program starts, and a client plays.
func TestProgram(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	c, err := client.Dial(t.Context(), start(t), client.Config{Username: "alice", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Close()
	if err := c.CreateGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := c.Request(t.Context(), "board", nil)
	if err != nil || r.Message != "Board." || r.Game != "room" || r.Payload.Empty() {
		t.Errorf("answer %s, %v", r.DebugText(), err)
	}
}
