package link_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"testing"

	"parlor/internal/pypeer"
	"parlor/link"
	"parlor/msgpack"
)

type pythonResult struct {
	Written, Error string
	Left           int
}

// python reads envelopes with Python's msgpack.
func python(t *testing.T, envelopes [][]byte) []pythonResult {
	t.Helper()
	var texts []string
	for _, b := range envelopes {
		texts = append(texts, hex.EncodeToString(b))
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(pypeer.Find(t), "-B", "testdata/envelopes.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var results []pythonResult
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(envelopes) {
		t.Fatalf("%d results for %d envelopes, error %v", len(results), len(envelopes), err)
	}
	return results
}

// TestAsPython: what Python's msgpack reads and writes again is what is written here, and what it cannot read is refused.
func TestAsPython(t *testing.T) {
	examples := readVectors(t).all(t)
	for i := range 200 {
		examples = append(examples, appendEnvelope(t, nil, envelope().Example(i)))
	}
	var all [][]byte
	for i, b := range examples {
		all = append(all, b, append(bytes.Clone(b), 1, 2, 3))
		for at := range min(len(b), 30) { // what is special is at the beginning
			harmed := bytes.Clone(b)
			harmed[at] = byte(i + 37*at)
			all = append(all, harmed)
		}
	}
	refused := 0
	for i, want := range python(t, all) {
		b := all[i]
		e, rest, err := link.DecodeEnvelope(b, msgpack.Limits{})
		if want.Error != "" {
			refused++
			if err == nil {
				t.Errorf("%x: got %s, Python fails with %s", b, text(e), want.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%x: error %v, Python has %s", b, err, want.Written)
			continue
		}
		if got := appendEnvelope(t, nil, e); hex.EncodeToString(got) != want.Written || len(rest) != want.Left {
			t.Errorf("%x: got %x, %d are left; Python has %s and %d", b, got, len(rest), want.Written, want.Left)
		}
	}
	t.Logf("of %d Python refuses %d", len(all), refused)
}
