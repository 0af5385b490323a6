package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parlor"
	"parlor/client"
	"parlor/store"
)

// pgnetSave is a save file as pgnet writes it: alice's password is wonderland, and that of the game talk sesame.
func pgnetSave(t *testing.T) (path, text string) {
	t.Helper()
	sum := sha256.Sum256([]byte("saltwonderland"))
	text = fmt.Sprintf(`{"users": [{"name": "alice", "salt": "salt", "password": "%x"}, {"name": "bobby", "salt": "a", "password": "b"},
		{"name": "bobby", "salt": "c", "password": "d"}],
		"games": [{"name": "talk", "password": "sesame", "data": "{\"log\": []}"}], "registration": false, "invite_codes": {"1a2b": "carol"}}`, sum)
	path = filepath.Join(t.TempDir(), "save.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// TestSaveImport: users log in with their old passwords, and all else is there too. It is not taken twice.
func TestSaveImport(t *testing.T) {
	t.Parallel()
	save, text := pgnetSave(t)
	dir := filepath.Join(t.TempDir(), "data")
	out, news, err := runParlor(t, "save", "import", save, "--store", dir)
	if err != nil {
		t.Fatal(err, news)
	}
	checkContains(t, out, "2 users, 1 games, 1 invite codes; registration is off")
	before := fmt.Sprint(allStored(t, dir))
	if strings.Contains(before, "sesame") {
		t.Error("a game's password is in clear")
	}
	_, _, err = runParlor(t, "save", "import", save, "--store", dir)
	checkError(t, err, "nothing of "+save+" was taken", `user "alice", user "bobby", game "talk", an invite code`)
	if after := fmt.Sprint(allStored(t, dir)); after != before {
		t.Errorf("it was\n%s and is\n%s", before, after)
	}
	if now, err := os.ReadFile(save); err != nil || string(now) != text {
		t.Errorf("the save file has changed: %v", err)
	}

	_, addr, _ := serveStore(t, "--store", dir)
	_, _, err = runParlor(t, "save", "import", save, "--store", dir)
	checkError(t, err, "in use by another server")
	alice := login(t, addr, client.Config{Username: "alice", Password: "wonderland"})
	ask(t, alice, parlor.RequestJoinGame, parlor.Map{"name": "talk", "password": "sesame"})
	login(t, addr, client.Config{Username: "carol", InviteCode: "1a2b", Password: "new"})

	// Back again, of the server that runs.
	back := filepath.Join(t.TempDir(), "back.json")
	out = mustParlor(t, "save", "export", back, "--store", dir)
	checkContains(t, out, "3 users, 1 games, 0 invite codes; registration is off",
		`the passwords of "alice", "carol"`, `the passwords of the games "talk", which anybody can join`)
	info, err := os.Stat(back)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	_, _, err = runParlor(t, "save", "export", back, "--store", dir)
	checkError(t, err, "is there already")
	other := filepath.Join(t.TempDir(), "other")
	checkContains(t, mustParlor(t, "save", "import", back, "--store", other), "3 users, 1 games, 0 invite codes")
}

// TestSaveImportDamaged: a file that was cut is refused, with what to do, and nothing is made or changed.
func TestSaveImportDamaged(t *testing.T) {
	t.Parallel()
	save, text := pgnetSave(t)
	cut := text[:len(text)/2]
	if err := os.WriteFile(save, []byte(cut), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	_, _, err := runParlor(t, "save", "import", save, "--store", dir)
	checkError(t, err, "is damaged at line", "repair it, restore it from a copy")
	if _, err := os.Stat(dir); err == nil {
		t.Error("a store was made")
	}
	if now, err := os.ReadFile(save); err != nil || string(now) != cut {
		t.Errorf("the save file has changed: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(save)); len(entries) != 1 {
		t.Errorf("beside the save file there is %v", entries)
	}
}

// TestSaveExportLosses: each sort of what pgnet's file has no place for is told.
func TestSaveExportLosses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	fillWith(t, dir,
		store.PutSetting{Name: store.SettingAdmin, Value: "$argon2id$"},
		store.PutUser{Name: "alice", Secret: "$argon2id$"},
		store.PutInvite{Code: "x", Expires: 1 << 40, Left: 3}, store.PutInvite{Code: "used up"},
		store.PutInvite{Code: "over", Expires: 5, Left: 1},
		store.PutGame{Number: 1, Name: "one", Durable: true}, store.Append{Game: 1, First: 1, Last: 2},
		store.PutGame{Number: 2, Name: "two", Durable: true}, store.Append{Game: 2, First: 1, Last: 2},
		store.PutSave{Save: store.Save{Game: 2, Entry: 1, Data: "state", Room: []byte("{}")}},
		store.PutSession{ID: "s", User: "bobby", Game: 2},
		store.PutGame{Number: 3, Name: "three", Secret: "$argon2id$"}, store.PutSave{Save: store.Save{Game: 3, Data: "state"}},
		store.PutGame{Number: 4, Name: "four"},
		store.PutGame{Number: 5, Name: "five", Durable: true}, store.Append{Game: 5, First: 1, Last: 1},
		store.PutSave{Save: store.Save{Game: 5, Entry: 1, Data: "state"}, KeepJournal: true})
	out := mustParlor(t, "save", "export", filepath.Join(t.TempDir(), "save.json"), "--store", dir)
	checkContains(t, out, "1 users, 3 games, 1 invite codes", `the passwords of "alice", who`, `the password of "admin", which`,
		`the games "one", "four", which were never saved`, `since their last save in the games "two"`+"\n", `seats of the games "two", which`,
		`the sessions of "bobby", who`, `the passwords of the games "three", which`, `codes for "anybody" are good more than once`,
		"when invite codes expire")
}
