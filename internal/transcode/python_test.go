package transcode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"parlor/internal/pypeer"
	"parlor/internal/transcode"
)

// python transcodes with Python's own modules.
func python(t *testing.T, cases []map[string]string) []string {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(pypeer.Find(t), "-B", "testdata/transcode.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var results []string
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(cases) {
		t.Fatalf("%d results for %d cases, error %v", len(results), len(cases), err)
	}
	return results
}

// examples is how many values are compared with Python each way, besides those of the tables.
const examples = 400

// TestMsgPackAsPython: what Python's msgpack writes of what its json reads, and no value where they fail.
func TestMsgPackAsPython(t *testing.T) {
	var texts []string
	for _, c := range fromJSON {
		if c.err != transcode.ErrDepth { // Python nests deeper
			texts = append(texts, c.json)
		}
	}
	for i := range examples {
		texts = append(texts, jsonText(3).Example(i))
	}
	var cases []map[string]string
	for _, text := range texts {
		cases = append(cases, map[string]string{"json": text})
	}
	failed := 0
	for i, want := range python(t, cases) {
		got, err := transcode.AppendMsgPack(nil, []byte(texts[i]))
		if strings.HasPrefix(want, "!") {
			failed++
			if err == nil {
				t.Errorf("%s: got %x, Python fails with %s", texts[i], got, want[1:])
			}
			continue
		}
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: got %x, error %v, Python has %s", texts[i], got, err, want)
		}
	}
	t.Logf("of %d Python cannot write %d", len(cases), failed)
}

// TestJSONAsPython: what Python's json writes of what its msgpack reads, with bytes in base64.
func TestJSONAsPython(t *testing.T) {
	var messages [][]byte
	for _, c := range fromMsgPack {
		if c.err != transcode.ErrDepth { // Python nests deeper
			messages = append(messages, unhex(t, c.msgpack))
		}
	}
	for i := range examples {
		messages = append(messages, message(3).Example(i))
	}
	var cases []map[string]string
	for _, m := range messages {
		cases = append(cases, map[string]string{"msgpack": hex.EncodeToString(m)})
	}
	failed := 0
	for i, want := range python(t, cases) {
		got, err := appendJSON(nil, messages[i])
		if strings.HasPrefix(want, "!") {
			failed++
			if err == nil {
				t.Errorf("%x: got %s, Python fails with %s", messages[i], got, want[1:])
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%x: got %s, error %v, Python has %s", messages[i], got, err, want)
		}
	}
	t.Logf("of %d Python cannot write %d", len(cases), failed)
}
