package pgnetfile_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parlor/internal/snapshot"
	"parlor/store/pgnetfile"
)

func logger() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

// wantDamaged checks that neither Load nor Save gets past a damaged file, and that it stays.
func wantDamaged(t *testing.T, f *pgnetfile.File) *pgnetfile.DamagedError {
	t.Helper()
	before := read(t, f.Path())
	_, found, err := f.Load()
	var damaged *pgnetfile.DamagedError
	if !errors.As(err, &damaged) || found {
		t.Fatalf("Load = found %v, error %v, want a DamagedError", found, err)
	}
	if err := f.Save(sample()); !errors.As(err, new(*pgnetfile.DamagedError)) {
		t.Errorf("Save over a damaged file = %v, want a DamagedError", err)
	}
	if after := read(t, f.Path()); after != before {
		t.Errorf("the file was changed to %q", after)
	}
	return damaged
}

func TestCutAnywhere(t *testing.T) {
	full := read(t, "../../testdata/pgnet/save.json")
	path := filepath.Join(t.TempDir(), "save.json")
	f := open(t, path, pgnetfile.Options{})
	for n := range len(full) {
		write(t, path, full[:n])
		e := wantDamaged(t, f)
		if e.Offset > n || n > 0 && e.Line == 0 {
			t.Errorf("cut to %d bytes: %+v", n, e)
		}
	}
	wantNames(t, filepath.Dir(path), "save.json", "save.json.lock")
}

// TestFlippedAnywhere damages each byte in turn. Most of it is damage within a text, which nobody can see.
func TestFlippedAnywhere(t *testing.T) {
	full := []byte(read(t, "../../testdata/pgnet/save.json"))
	for i := range full {
		for _, c := range []byte{0, '"', '{', ']', ',', 0xff, full[i] ^ 1} {
			text := bytes.Clone(full)
			text[i] = c
			if snap, err := pgnetfile.Decode(text); err == nil {
				again, err := pgnetfile.Decode(pgnetfile.Encode(snap))
				if err != nil || !equal(again, snap) {
					t.Errorf("byte %d as %#x: %+v was saved as %+v, error %v", i, c, snap, again, err)
				}
			}
		}
	}
}

func TestDamage(t *testing.T) {
	const good = `{"name": "bob", "salt": "", "password": ""}`
	const rest = `, "games": [], "registration": true, "invite_codes": {}}`
	const start = `{"users": [], "games": [], "registration": true, "invite_codes": {}`
	for name, test := range map[string]struct {
		text         string
		key, what    string
		line, column int
	}{
		"empty":             {"", "", "it is empty", 0, 0},
		"white space":       {" \n", "", "it is empty", 1, 1},
		"zeros":             {"\x00\x00\x00", "", "expected a value", 1, 1},
		"byte order mark":   {"\ufeff" + start + "}", "", "expected a value", 1, 1},
		"not JSON":          {"users:\n- bob\n", "", "expected a value", 1, 1},
		"a list":            {"[]", "", "it should be an object and is a list", 1, 1},
		"text after it":     {start + "}\n}", "", "", 2, 1},
		"no UTF-8":          {"{\n\"é\": \"\xff\"}", "", "invalid UTF-8 in a string", 2, 7},
		"too deep":          {`{"x": ` + strings.Repeat("[", 2000), "", "too deep", 0, 0},
		"no users":          {"\n{\"games\": 1}", "users", "the key is missing", 1, 1},
		"no invites":        {`{"users": [], "games": [], "registration": true}`, "invite_codes", "the key is missing", 1, 1},
		"keys in capitals":  {strings.Replace(start, "users", "Users", 1) + "}", "users", "the key is missing", 1, 1},
		"users null":        {`{"users": null` + rest, "users", "it should be a list and is null", 1, 11},
		"games an object":   {`{"users": [], "games": {}, "registration": true, "invite_codes": {}}`, "games", "a list and is an object", 1, 24},
		"registration 1":    {`{"users": [], "games": [], "registration": 1, "invite_codes": {}}`, "registration", "true or false and is a number", 1, 44},
		"invites a list":    {`{"users": [], "games": [], "registration": true, "invite_codes": []}`, "invite_codes", "an object and is a list", 1, 66},
		"invite for nobody": {`{"users": [], "games": [], "registration": true, "invite_codes": {"a\n": null}}`, `invite_codes["a\n"]`, "a text and is null", 1, 74},
		"user a text":       {"{\"users\": [" + good + ",\n\"bob\"]" + rest, "users[1]", "an object and is a text", 2, 1},
		"no salt":           {"{\"users\": [" + good + ",\n" + good + ",\n  {\"name\": \"b\", \"password\": \"\"}]" + rest, "users[2].salt", "the key is missing", 3, 3},
		"name a number":     {"{\"users\": [\n" + `{"salt": "é", "name": 5, "password": ""}]` + rest, "users[0].name", "a text and is a number", 2, 23},
		"data an object":    {`{"users": [], "games": [{"name": "", "password": "", "data": {}}], "registration": true, "invite_codes": {}}`, "games[0].data", "a text and is an object", 1, 62},
		"parlor a list":     {start + `, "parlor": []}`, "parlor", "an object and is a list", 1, 80},
		"kind a number":     {start + `, "parlor": {"kinds": {"abc": 1}}}`, `parlor.kinds["abc"]`, "a text and is a number", 1, 98},
		"creator null":      {start + `, "parlor": {"creators": {"abc": null}}}`, `parlor.creators["abc"]`, "a text and is null", 1, 101},
		"version a number":  {start + `, "parlor": {"versions": {"abc": 2}}}`, `parlor.versions["abc"]`, "a text and is a number", 1, 101},
		"exact data null":   {start + `, "parlor": {"data": null}}`, "parlor.data", "an object and is null", 1, 89},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "save.json")
			write(t, path, test.text)
			e := wantDamaged(t, open(t, path, pgnetfile.Options{}))
			if e.Key != test.key || e.Line != test.line || e.Column != test.column || !strings.Contains(e.What, test.what) {
				t.Errorf("damage is %+v, want key %q, line %d, column %d, %q", e, test.key, test.line, test.column, test.what)
			}
			if (e.Offset < 0) != (e.Line == 0) || e.Path != path || e.Previous != "" {
				t.Errorf("damage is %+v", e)
			}
		})
	}
}

func TestDamageText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	write(t, path, "{\n    \"users\": [{}], \"games\": [], \"registration\": true, \"invite_codes\": {}}")
	f := open(t, path, pgnetfile.Options{})
	want := "save file " + path + " is damaged at line 2, column 15 (users[0].name): the key is missing. Nothing was overwritten. "
	if got := wantDamaged(t, f).Error(); got != want+
		"There is no file before this one: repair it, restore it from a copy, or move it away to start with nothing" {
		t.Errorf("without a previous file: %s", got)
	}
	write(t, path+".previous", read(t, "../../testdata/pgnet/save.json"))
	at := time.Date(2026, 7, 5, 12, 30, 0, 0, time.Local)
	if err := os.Chtimes(path+".previous", time.Time{}, at); err != nil {
		t.Fatal(err)
	}
	if got := wantDamaged(t, f).Error(); got != want+
		"The file before this one is "+path+".previous, of 2026-07-05 12:30:00: to go back to it, without what changed since then, copy it over "+path {
		t.Errorf("with a previous file: %s", got)
	}

	// The advice works, without another start.
	write(t, path, read(t, path+".previous"))
	save(t, f, load(t, f))
}

// TestOnlyPrevious: a server that started empty would let anybody register the lost names.
func TestOnlyPrevious(t *testing.T) {
	path := sampleFile(t)
	if err := os.Rename(path, path+".previous"); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, pgnetfile.Options{})
	_, found, err := f.Load()
	if !errors.Is(err, pgnetfile.ErrOnlyPrevious) || found || !strings.Contains(err.Error(), "copy "+path+".previous, of 20") || !strings.Contains(err.Error(), ", to "+path+" to go on from it") {
		t.Errorf("Load = found %v, error %v", found, err)
	}
	if err := f.Save(snapshot.Snapshot{}); !errors.Is(err, pgnetfile.ErrOnlyPrevious) {
		t.Errorf("Save = %v", err)
	}
	wantNames(t, filepath.Dir(path), "save.json.lock", "save.json.previous")

	if err := os.Rename(path+".previous", path+".old"); err != nil {
		t.Fatal(err)
	}
	save(t, f, snapshot.Snapshot{})
	wantNames(t, filepath.Dir(path), "save.json", "save.json.lock", "save.json.old")
}
