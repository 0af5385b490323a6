package pyjson_test

import (
	"encoding/json"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vectors reads a file of vectors captured from the Python release. Their JSON
// texts are ASCII or plain UTF-8 without lone surrogates of their own.
func vectors(t *testing.T, file string) []map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../testdata/pgnet/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Vectors []map[string]string }
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Vectors) < 30 {
		t.Fatalf("%d vectors in %s", len(f.Vectors), file)
	}
	return f.Vectors
}
