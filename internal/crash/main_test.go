package crash_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if dir, err := programs(); err == nil {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

// programs is where the programs are built that tests run, once.
var programs = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "parlor-crash-") })

var (
	serverProgram = sync.OnceValues(func() (string, error) { return build("./program") })
	parlorProgram = sync.OnceValues(func() (string, error) { return build("../../cmd/parlor") })
)

func build(pkg string) (path string, err error) {
	dir, err := programs()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, pkg)
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
}
