package client_test

import (
	"slices"
	"testing"

	"parlor"
	"parlor/client"
)

// FuzzParseGameDir: whatever a server answers with, the directory is read or refused, and what was read is
// read again from a directory of it.
func FuzzParseGameDir(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parlor.ParsePayload(text)
		if err != nil {
			return
		}
		games, err := client.ParseGameDir(p)
		if err != nil {
			return
		}
		dir := []byte(`{"games": {`)
		for i, g := range games {
			if i > 0 {
				dir = append(dir, ',')
			}
			dir = append(dir, parlor.Encode(g.Name).JSON()...) // equal names are entries of their own, too
			dir = append(dir, ':')
			dir = append(dir, parlor.Encode(parlor.Map{
				"name": g.Name, "users": g.Users, "password_protected": g.PasswordProtected, "info": g.Info,
			}).JSON()...)
		}
		p, err = parlor.ParsePayload(append(dir, "}}"...))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := client.ParseGameDir(p); err != nil || !slices.Equal(again, games) {
			t.Errorf("%q was read as %+v, then as %+v, %v", text, games, again, err)
		}
	})
}
