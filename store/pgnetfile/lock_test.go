package pgnetfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"parlor/store/pgnetfile"
)

// holdEnv makes the test binary a server that holds the file named there until it is killed.
const holdEnv = "PGNETFILE_TEST_HOLD"

func hold(path string) {
	_, err := pgnetfile.Open(path, pgnetfile.Options{})
	fmt.Println("open:", err)
	bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(1)
}

func TestLocked(t *testing.T) {
	path := sampleFile(t)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	first := open(t, path, pgnetfile.Options{})
	for _, path := range []string{path, link} {
		_, err := pgnetfile.Open(path, pgnetfile.Options{})
		wantLocked(t, err)
	}
	first.Close()
	open(t, link, pgnetfile.Options{})
	first.Close()
	_, err := pgnetfile.Open(path, pgnetfile.Options{})
	wantLocked(t, err)
}

func wantLocked(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, pgnetfile.ErrLocked) || !strings.Contains(err.Error(), "another server is using it") {
		t.Errorf("Open of a file in use = %v", err)
	}
}

func TestLockEndsWithProcess(t *testing.T) {
	path := sampleFile(t)
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err1 := server.StdinPipe() // it waits for this
	stdout, err2 := server.StdoutPipe()
	if err := errors.Join(err1, err2, server.Start()); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "open: <nil>\n" {
		t.Errorf("the server said %q, error %v", line, err)
	}
	_, err = pgnetfile.Open(path, pgnetfile.Options{})
	wantLocked(t, err)
	server.Process.Kill()
	server.Wait()
	load(t, open(t, path, pgnetfile.Options{}))
}
