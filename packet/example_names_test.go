package packet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesNamed: whoever reads the package's documentation or the README finds each example, which go doc does not
// show.
func TestExamplesNamed(t *testing.T) {
	files, err := filepath.Glob("example*_test.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, error %v", len(files), err)
	}
	for _, in := range []struct{ path, before, after string }{
		{"doc.go", "//   - ", ": "}, {"../README.md", "](packet/", ")"},
	} {
		text, err := os.ReadFile(in.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if file != "example_names_test.go" && !strings.Contains(string(text), in.before+file+in.after) {
				t.Errorf("%s does not name %s", in.path, file)
			}
		}
	}
}
