package pgnetfile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parlor/internal/snapshot"
	"parlor/store/pgnetfile"
)

// runSuite runs what holds of every place for a snapshot. Each subtest calls place for a new, empty place that lasts as long as the test, and the
// function it returns to open a store there: a second time only after the first store is closed. A store that
// is still open at the end of the test is closed.
func runSuite(t *testing.T, place func(t *testing.T) (open func() *pgnetfile.File)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, func() *pgnetfile.File)
	}{
		{"load of nothing", loadNothing},
		{"load gives what was saved", saveAndLoad},
		{"texts stay as they are", texts},
		{"saves of any bytes stay as they are", anyBytes},
		{"order stays", order},
		{"save over save", saveOver},
		{"save does not change the snapshot", saveReadsOnly},
		{"reopened", reopen},
		{"reopened with nothing", reopenNothing},
		{"close twice", closeTwice},
	} {
		t.Run(test.name, func(t *testing.T) {
			open := place(t)
			test.run(t, func() *pgnetfile.File {
				s := open()
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}

// equal tells whether two snapshots hold the same in the same order.
func equal(a, b snapshot.Snapshot) bool {
	return a.Registration == b.Registration && slices.Equal(a.Users, b.Users) &&
		slices.Equal(a.Games, b.Games) && slices.Equal(a.Invites, b.Invites)
}

// sample is a snapshot with something in every field.
func sample() snapshot.Snapshot {
	return snapshot.Snapshot{
		Users:        []snapshot.User{snapshot.NewUser("zoe", "pass"), {Name: "bob", Salt: "any text", Hash: "00ff"}},
		Games:        []snapshot.Game{{Name: "chess 7", Password: "sesame", Kind: "chess", Data: "e4 e5", Version: 3, Creator: "zoe"}, {Name: "plain", Data: "x"}},
		Registration: true,
		Invites:      []snapshot.Invite{{Code: "1a2b", User: "carol"}, {Code: "0000"}, {Code: "ffff", Expires: 2_000_000_000}},
	}
}

func loadNothing(t *testing.T, open func() *pgnetfile.File) {
	s := open()
	got, found, err := s.Load()
	if err != nil || found {
		t.Errorf("Load = found %v, error %v, want nothing", found, err)
	}
	if !equal(got, snapshot.Snapshot{}) {
		t.Errorf("Load of nothing = %+v", got)
	}
	if s.Path() == "" {
		t.Error("Path is empty")
	}
}

func saveAndLoad(t *testing.T, open func() *pgnetfile.File) {
	s := open()
	for name, snap := range map[string]snapshot.Snapshot{
		"sample":               sample(),
		"empty":                {},
		"empty, registration":  {Registration: true},
		"invite only":          {Invites: []snapshot.Invite{{Code: "c", User: "u"}}},
		"game of default kind": {Games: []snapshot.Game{{Name: "abc", Data: "x"}}},
	} {
		save(t, s, snap)
		want(t, s, name, snap)
	}
}

// oddTexts are in every field that takes text.
var oddTexts = []string{
	"", " ", "plain", "\x00", "\x01\x1f\x7f", "\t\n\r\b\f", `"quoted" \ back / slash`, "<&>'", "\ufeffbom",
	"café", "日本語", "😀 pair", "\u2028\u2029", "e\u0301", "\ufffd", "\U0010ffff", "{}", "null", "$1 ?1 %s",
	"\xed\xa0\x80 lone surrogate", "\xed\xb0\x80", strings.Repeat("long é ", 20_000),
}

func texts(t *testing.T, open func() *pgnetfile.File) {
	s := open()
	snap := snapshot.Snapshot{}
	for i, text := range oddTexts {
		name := fmt.Sprintf("%d%s", i, text) // names are unique
		snap.Users = append(snap.Users, snapshot.User{Name: name, Salt: text, Hash: text})
		snap.Games = append(snap.Games, snapshot.Game{Name: name, Password: text, Kind: text, Data: text, Creator: text})
		snap.Invites = append(snap.Invites, snapshot.Invite{Code: name, User: text})
	}
	save(t, s, snap)
	want(t, s, "odd texts", snap)
}

// anyBytes: the save of a game is a Go string, and authors put into it what they like.
func anyBytes(t *testing.T, open func() *pgnetfile.File) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	s := open()
	snap := snapshot.Snapshot{Games: []snapshot.Game{
		{Name: "all bytes", Data: string(all)},
		{Name: "text", Data: "text"},
		{Name: "cut", Kind: "k", Data: "caf\xc3"},
		{Name: "two halves", Data: "\xed\xa0\xbd\xed\xb8\x80"},
	}}
	save(t, s, snap)
	want(t, s, "any bytes", snap)
}

func order(t *testing.T, open func() *pgnetfile.File) {
	const n = 300
	snap := snapshot.Snapshot{}
	for i := range n {
		name := fmt.Sprintf("n%d", i*7919%n) // in no order that sorting gives
		snap.Users = append(snap.Users, snapshot.User{Name: name})
		snap.Games = append(snap.Games, snapshot.Game{Name: name, Kind: name, Data: "x"})
		snap.Invites = append(snap.Invites, snapshot.Invite{Code: name})
	}
	s := open()
	save(t, s, snap)
	want(t, s, "first order", snap)

	snap = clone(snap)
	slices.Reverse(snap.Users)
	slices.Reverse(snap.Games)
	slices.Reverse(snap.Invites)
	save(t, s, snap)
	want(t, s, "reversed", snap)
}

func saveOver(t *testing.T, open func() *pgnetfile.File) {
	s := open()
	save(t, s, sample())
	less := sample()
	less.Users, less.Games, less.Invites, less.Registration = less.Users[1:], less.Games[:1], nil, false
	less.Users[0].Hash = "changed"
	save(t, s, less)
	want(t, s, "less", less)
	for range 20 {
		less.Users = append(clone(less).Users, snapshot.User{Name: fmt.Sprintf("user%d", len(less.Users))})
		save(t, s, less)
	}
	want(t, s, "more and more", less)
}

func saveReadsOnly(t *testing.T, open func() *pgnetfile.File) {
	snap, before := sample(), clone(sample())
	before.Users[0] = snap.Users[0] // its salt is random
	save(t, open(), snap)
	if !equal(snap, before) {
		t.Errorf("Save made %+v of %+v", snap, before)
	}
}

func reopen(t *testing.T, open func() *pgnetfile.File) {
	first := open()
	save(t, first, snapshot.Snapshot{})
	snap := sample()
	save(t, first, snap)
	closeIt(t, first)

	second := open()
	want(t, second, "reopened", snap)
	snap.Invites = nil
	save(t, second, snap)
	closeIt(t, second)
	want(t, open(), "reopened twice", snap)
}

func reopenNothing(t *testing.T, open func() *pgnetfile.File) {
	closeIt(t, open())
	if _, found, err := open().Load(); err != nil || found {
		t.Errorf("Load = found %v, error %v, want nothing", found, err)
	}
}

func closeTwice(t *testing.T, open func() *pgnetfile.File) {
	s := open()
	save(t, s, sample())
	closeIt(t, s)
	closeIt(t, s)
}

func clone(s snapshot.Snapshot) snapshot.Snapshot {
	s.Users, s.Games, s.Invites = slices.Clone(s.Users), slices.Clone(s.Games), slices.Clone(s.Invites)
	return s
}

func closeIt(t *testing.T, s *pgnetfile.File) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func want(t *testing.T, s *pgnetfile.File, what string, snap snapshot.Snapshot) {
	t.Helper()
	got, found, err := s.Load()
	if err != nil || !found {
		t.Fatalf("%s: Load = found %v, error %v", what, found, err)
	}
	if !equal(got, snap) {
		t.Errorf("%s: Load = %.2000q, want %.2000q", what, fmt.Sprint(got), fmt.Sprint(snap))
	}
}
