package packet_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// scratch are folders that tests share, to be removed at the end.
var scratch []string

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, dir := range scratch {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}
