package client_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestBrowserBuild: the client compiles for the browser.
func TestBrowserBuild(t *testing.T) {
	cmd := exec.Command("go", "build", ".")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
