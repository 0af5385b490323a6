package pyjson_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parlor/internal/pyjson"
)

// object draws JSON text with objects in which keys repeat, as Python writes all else.
func object(depth int) *rapid.Generator[string] {
	if depth == 0 {
		return rapid.Map(rapid.IntRange(0, 9), strconv.Itoa)
	}
	inner := rapid.Deferred(func() *rapid.Generator[string] { return object(depth - 1) })
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		for range rapid.SampledFrom([]int{0, 1, 2, 3, 4, 20}).Draw(t, "members") {
			key := rapid.IntRange(0, 30).Draw(t, "key") % 25
			members = append(members, `"k`+strconv.Itoa(key)+`": [`+inner.Draw(t, "value")+`]`)
		}
		return "{" + strings.Join(members, ", ") + "}"
	})
}

// TestRepeats compares with encoding/json, for which the last of equal keys counts too, and with a simple way that
// keeps the order.
func TestRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(object(rapid.IntRange(1, 4).Draw(t, "depth")).Draw(t, "text"))
		got := pyjson.AppendRaw([]byte("<"), text)
		if got[0] != '<' || pyjson.Check(got[1:], 20) != nil {
			t.Fatalf("%s: got %s", text, got)
		}
		var want, have any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got[1:], &have); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("%s: got %s, -want +got:\n%s", text, got, diff)
		}
		if want := withoutRepeats(t, text); string(got[1:]) != want {
			t.Fatalf("%s: got %s, want %s", text, got, want)
		}
		python := strings.ReplaceAll(string(got[1:]), `"`, `'`)
		if repr := string(pyjson.AppendRepr(nil, text)); repr != python {
			t.Fatalf("%s: repr %s, want %s", text, repr, python)
		}
	})
}

// withoutRepeats does it by way of a list of each object's keys.
func withoutRepeats(t *rapid.T, text []byte) string {
	var keys []string
	values := map[string]string{}
	err := pyjson.Members(text, 20, func(key, value []byte) error {
		if _, known := values[string(key)]; !known {
			keys = append(keys, string(key))
		}
		values[string(key)] = string(value)
		return nil
	})
	if err == pyjson.ErrNotObject {
		return string(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		inner := values[key]
		keys[i] = `"` + key + `": [` + withoutRepeats(t, []byte(inner[1:len(inner)-1])) + `]`
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

// TestNestedRepeatsCostOnce: what is within many objects is not written again for each of them.
func TestNestedRepeatsCostOnce(t *testing.T) {
	const levels = 100
	big := `"` + strings.Repeat("a", 200_000) + `"`
	wide := strings.Repeat(`"x", `, 30)
	for i := range 30 {
		wide = strings.Replace(wide, `"x",`, `"`+strconv.Itoa(i)+`": 0,`, 1)
	}
	for name, before := range map[string]string{
		"repeats": `{"a": 0, "a": `, "many keys": `{` + wide + `"a": `, "many repeats": `{` + wide + wide + `"a": `,
	} {
		text := []byte(strings.Repeat(before, levels) + big + strings.Repeat("}", levels))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := pyjson.AppendRaw(nil, text)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 20*uint64(len(text)) {
			t.Errorf("%s: %d bytes for a text of %d", name, took, len(text))
		}
		if !bytes.Contains(got, []byte(big)) {
			t.Errorf("%s: got %.100s", name, got)
		}
	}
}
