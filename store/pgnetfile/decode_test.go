package pgnetfile_test

import (
	"path/filepath"
	"testing"

	"parlor/internal/snapshot"
	"parlor/store/pgnetfile"
)

// TestBytes checks the layout against texts that Python's json.dumps(…, indent=4) wrote.
func TestBytes(t *testing.T) {
	for name, test := range map[string]struct {
		snap snapshot.Snapshot
		file string
	}{
		"empty": {snapshot.Snapshot{}, "empty.json"},
		"odd": {snapshot.Snapshot{
			Users: []snapshot.User{{Name: "\u0663\u0663\u0663", Salt: "\"\\/\x7f", Hash: "😀"}},
			Games: []snapshot.Game{
				{Name: "a\nb", Kind: "ch\u00e9ss", Data: "\xed\xa0\x80"},
				{Name: "bin", Password: "<&>", Data: "\xff\x00\x01"},
			},
			Invites: []snapshot.Invite{{Code: "0000"}, {Code: "0001", User: "eve"}},
		}, "odd.json"},
	} {
		want := read(t, filepath.Join("testdata", test.file))
		if got := string(pgnetfile.Encode(test.snap)); got != want {
			t.Errorf("%s: wrote\n%s\nwant\n%s", name, got, want)
		}
		if got, err := pgnetfile.Decode([]byte(want)); err != nil || !equal(got, test.snap) {
			t.Errorf("%s: read %+v, error %v, want %+v", name, got, err, test.snap)
		}
	}
}

func TestTaken(t *testing.T) {
	const users, games = `{"users": [`, `], "games": [`
	const rest = `], "registration": false, "invite_codes": {}}`
	for name, test := range map[string]struct {
		text string
		want snapshot.Snapshot
	}{
		"any formatting": {"\r\n\t{\"invite_codes\":{},\"registration\":true,\"games\":[],\"users\":[]} \n", snapshot.Snapshot{Registration: true}},
		"ignored keys": {
			`{"x": [NaN, {"y": 1e999}], "Users": 1, "users": [{"name": "abc", "salt": "", "password": "", "x": 0}], "games": [` + rest,
			snapshot.Snapshot{Users: []snapshot.User{{Name: "abc"}}},
		},
		"names that are not allowed": {
			users + `{"name": "", "salt": "s", "password": "h"}, {"name": "Admin", "salt": "", "password": ""}` +
				games + `{"name": " a\t", "password": "", "data": ""}` + rest,
			snapshot.Snapshot{Users: []snapshot.User{{Salt: "s", Hash: "h"}, {Name: "Admin"}}, Games: []snapshot.Game{{Name: " a\t"}}},
		},
		"admin": {
			users + `{"name": "admin", "salt": "s", "password": "h"}, {"name": "bob", "salt": "", "password": ""}` + games + rest,
			snapshot.Snapshot{Users: []snapshot.User{{Name: "bob"}}},
		},
		"names in UTF-8": {
			users + `{"name": "é", "salt": "", "password": "\ud83d\ude00"}` + games + rest,
			snapshot.Snapshot{Users: []snapshot.User{{Name: "é", Hash: "😀"}}},
		},
		"the last of equal keys": {
			`{"users": 5, "users": [{"name": 1, "name": "bob", "salt": "", "password": ""}], "games": [], "registration": true, "games": [` +
				`], "registration": false, "invite_codes": {"a": "1", "b": "2", "\u0061": "3"}}`,
			snapshot.Snapshot{Users: []snapshot.User{{Name: "bob"}}, Invites: []snapshot.Invite{{Code: "a", User: "3"}, {Code: "b", User: "2"}}},
		},
		"the last of equal names": {
			users + `{"name": "bob", "salt": "1", "password": ""}, {"name": "eve", "salt": "", "password": ""}, {"name": "bob", "salt": "2", "password": ""}` +
				games + `{"name": "abc", "password": "", "data": "1"}, {"name": "abc", "password": "", "data": "2"}` + rest,
			snapshot.Snapshot{Users: []snapshot.User{{Name: "bob", Salt: "2"}, {Name: "eve"}}, Games: []snapshot.Game{{Name: "abc", Data: "2"}}},
		},
		"parlor first, of games that are gone": {
			`{"parlor": {"new": 1, "kinds": {"gone": "k", "abc": "chess"}, "data": {"gone": "AA==", "abc": "!"}}, "users": [` +
				games + `{"name": "abc", "password": "", "data": "x"}` + rest,
			snapshot.Snapshot{Games: []snapshot.Game{{Name: "abc", Kind: "chess", Data: "x"}}},
		},
		"data that somebody changed": {
			`{"parlor": {"data": {"abc": "/w=="}}, "users": [` + games + `{"name": "abc", "password": "", "data": "new"}` + rest,
			snapshot.Snapshot{Games: []snapshot.Game{{Name: "abc", Data: "new"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pgnetfile.Decode([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, test.want) {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
		})
	}
}
