// Package storetest is the suite that every implementation of [store.Store] passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/store"
)

// Place is where a store is: it is opened again and again.
type Place struct {
	// Open opens the store.
	Open func() (store.Store, error)
	// Lasts tells that what is stored outlives Close, and that one server at a time has the store.
	Lasts bool
}

// Run runs the suite. Each subtest calls place for new, empty ones that last as long as the test. A store that is still
// open at the end of a test is closed.
func Run(t *testing.T, place func(t *testing.T) Place) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, new func() *opened)
	}{
		{"nothing", nothing},
		{"what is written is read", written},
		{"puts replace", replaced},
		{"deletes", deleted},
		{"texts stay as they are", texts},
		{"large values", large},
		{"users in pages", pages},
		{"numbers of users are used once", numbersOfUsers},
		{"who imitates whom", imitated},
		{"all or nothing", allOrNothing},
		{"a journal", journal},
		{"a journal that does not follow", gaps},
		{"a save drops the journal, or keeps it", saves},
		{"values belong to the store", owned},
		{"export and commit", export},
		{"an export is of one moment", oneMoment},
		{"an end of the context", ended},
		{"concurrent use", concurrent},
		{"opened again", again},
		{"one server at a time", oneServer},
		{"closed", closed},
		{"closed in a loop", closedInLoop},
		{"random changes", random},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, func() *opened { return open(t, place(t)) })
		})
	}
}

// opened is a store that is open.
type opened struct {
	store.Store
	t     *testing.T
	place Place
}

func open(t *testing.T, p Place) *opened {
	t.Helper()
	s, err := p.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return &opened{s, t, p}
}

// again closes the store and opens it again.
func (o *opened) again() *opened {
	o.t.Helper()
	if err := o.Close(); err != nil {
		o.t.Fatalf("close: %v", err)
	}
	return open(o.t, o.place)
}

func (o *opened) commit(changes ...store.Change) {
	o.t.Helper()
	if err := o.Commit(o.t.Context(), changes...); err != nil {
		o.t.Fatalf("commit of %d changes: %v", len(changes), err)
	}
}

// refuses commits what cannot be, and sees to it that nothing of it is there.
func (o *opened) refuses(changes ...store.Change) {
	o.t.Helper()
	before := o.export()
	if err := o.Commit(o.t.Context(), changes...); !errors.Is(err, store.ErrConflict) {
		o.t.Errorf("commit of %+v: error %v, want ErrConflict", changes, err)
	}
	if diff := cmp.Diff(before, o.export()); diff != "" {
		o.t.Errorf("a commit of %+v that failed has changed the store (-before +after):\n%s", changes, diff)
	}
}

// export is everything, in an order of its own.
func (o *opened) export() []store.Change {
	o.t.Helper()
	return sorted(exported(o.t, o.Store))
}

func exported(t *testing.T, s store.Store) (all []store.Change) {
	t.Helper()
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			t.Fatalf("export: %v", err)
		}
		all = append(all, c)
	}
	return all
}

// sorted are changes in an order by their texts, in which those that say the same are the same.
func sorted(all []store.Change) []store.Change {
	for i, c := range all {
		switch c := c.(type) {
		case store.PutSession:
			c.Tokens = slices.Clone(c.Tokens)
			slices.SortFunc(c.Tokens, slices.Compare)
			all[i] = c
		case store.PutGame:
			c.Saved = 0
			all[i] = c
		}
	}
	slices.SortFunc(all, func(a, b store.Change) int {
		return strings.Compare(fmt.Sprintf("%T%+v", a, a), fmt.Sprintf("%T%+v", b, b))
	})
	return all
}

// same compares what was read with what is wanted.
func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (o *opened) pieces(game int64, after uint64) (all []store.Piece) {
	o.t.Helper()
	for p, err := range o.Journal(o.t.Context(), game, after) {
		if err != nil {
			o.t.Fatalf("journal of game %d: %v", game, err)
		}
		all = append(all, p)
	}
	return all
}

func (o *opened) notFound(what string, err error) {
	o.t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		o.t.Errorf("%s: error %v, want ErrNotFound", what, err)
	}
}

func nothing(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	_, err := s.User(ctx, "zoe")
	s.notFound("a user", err)
	_, err = s.Save(ctx, 1)
	s.notFound("a save", err)
	is, err := s.Imitated(ctx, "zoe")
	same(t, "imitated", is, err, false)
	users, err := s.Users(ctx, 0, 10)
	same(t, "users", users, err, nil)
	n, err := s.CountUsers(ctx)
	same(t, "count of users", n, err, 0)
	invites, err := s.Invites(ctx)
	same(t, "invites", invites, err, nil)
	settings, err := s.Settings(ctx)
	same(t, "settings", settings, err, nil)
	games, err := s.Games(ctx)
	same(t, "games", games, err, nil)
	sessions, err := s.Sessions(ctx)
	same(t, "sessions", sessions, err, nil)
	if all := s.pieces(1, 0); len(all) > 0 {
		t.Errorf("a journal has %v", all)
	}
	if all := s.export(); len(all) > 0 {
		t.Errorf("exported %v", all)
	}
	if s.Path() == "" {
		t.Error("the path is empty")
	}
	s.commit() // of nothing
}

// Sample are changes that put something in every field.
func Sample() []store.Change {
	return []store.Change{
		store.PutSetting{Name: "registration", Value: "off"},
		store.PutSetting{Name: "admin", Value: "$argon2id$…"},
		store.PutUser{Name: "zoe", Folded: "zoe", Secret: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"},
		store.PutUser{Name: "bob٣", Folded: "bob3", Secret: "$pgnet$any text$00ff"},
		store.PutInvite{Code: "1a2b", User: "carol", Expires: 2_000_000_000, Left: 3},
		store.PutInvite{Code: "0000", Left: 1},
		store.PutGame{Number: 7, Name: "chess 7", Kind: "chess", Secret: "$argon2id$x", Creator: "zoe", Durable: true},
		store.PutGame{Number: 3, Name: "plain"},
		store.Append{Game: 7, First: 1, Last: 2, Data: []byte{0, 1, 2}},
		store.PutSave{Save: store.Save{Game: 7, Entry: 2, Version: 5, Data: "e4 e5", Room: []byte{9, 8}}},
		store.Append{Game: 7, First: 3, Last: 3, Data: []byte{255}},
		store.PutSave{Save: store.Save{Game: 3, Data: "x"}},
		store.PutSession{ID: "s1", User: "zoe", Key: "pk", Game: 7, Tokens: [][]byte{{1}, {2, 3}}},
	}
}

func written(t *testing.T, new func() *opened) {
	s := new()
	s.commit(Sample()...)
	s.hasSample()
}

func (s *opened) hasSample() {
	t, ctx := s.t, s.t.Context()
	t.Helper()
	zoe := store.User{Number: 1, Name: "zoe", Folded: "zoe", Secret: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"}
	bob := store.User{Number: 2, Name: "bob٣", Folded: "bob3", Secret: "$pgnet$any text$00ff"}
	u, err := s.User(ctx, "zoe")
	same(t, "user", u, err, zoe)
	users, err := s.Users(ctx, 0, 10)
	same(t, "users", users, err, []store.User{zoe, bob})
	n, err := s.CountUsers(ctx)
	same(t, "count of users", n, err, 2)
	_, err = s.User(ctx, "ZOE")
	s.notFound("a name in other letters", err)
	invites, err := s.Invites(ctx)
	same(t, "invites", invites, err, []store.Invite{{Code: "1a2b", User: "carol", Expires: 2_000_000_000, Left: 3}, {Code: "0000", Left: 1}})
	settings, err := s.Settings(ctx)
	same(t, "settings", settings, err, map[string]string{"registration": "off", "admin": "$argon2id$…"})
	games, err := s.Games(ctx)
	same(t, "games", games, err, []store.Game{
		{Number: 3, Name: "plain", Saved: 1},
		{Number: 7, Name: "chess 7", Kind: "chess", Secret: "$argon2id$x", Creator: "zoe", Durable: true, Saved: 5},
	})
	save, err := s.Save(ctx, 7)
	same(t, "save", save, err, store.Save{Game: 7, Entry: 2, Version: 5, Data: "e4 e5", Room: []byte{9, 8}})
	save, err = s.Save(ctx, 3)
	same(t, "save of a game that is not durable", save, err, store.Save{Game: 3, Data: "x"})
	same(t, "journal", s.pieces(7, 2), nil, []store.Piece{{Game: 7, First: 3, Last: 3, Data: []byte{255}}})
	sessions, err := s.Sessions(ctx)
	same(t, "sessions", sessions, err, []store.Session{{ID: "s1", User: "zoe", Key: "pk", Game: 7, Tokens: [][]byte{{1}, {2, 3}}}})
}

func replaced(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	s.commit(Sample()...)
	s.commit(
		store.PutUser{Name: "zoe", Folded: "zoe", Secret: "new"},
		store.PutInvite{Code: "1a2b", User: "dora", Left: 2},
		store.PutSetting{Name: "registration", Value: "on"},
		store.PutGame{Number: 7, Name: "chess eight", Creator: "zoe"},
		store.PutSession{ID: "s1", User: "zoe", Key: "other", Game: 3, Tokens: [][]byte{{4}}},
	)
	users, err := s.Users(ctx, 0, 1)
	same(t, "users", users, err, []store.User{{Number: 1, Name: "zoe", Folded: "zoe", Secret: "new"}})
	invites, err := s.Invites(ctx)
	same(t, "invites, in their order", invites, err, []store.Invite{{Code: "1a2b", User: "dora", Left: 2}, {Code: "0000", Left: 1}})
	settings, err := s.Settings(ctx)
	same(t, "settings", settings, err, map[string]string{"registration": "on", "admin": "$argon2id$…"})
	games, err := s.Games(ctx)
	same(t, "games", games, err, []store.Game{{Number: 3, Name: "plain", Saved: 1}, {Number: 7, Name: "chess eight", Creator: "zoe", Saved: 5}})
	same(t, "journal", len(s.pieces(7, 0)), nil, 1)
	sessions, err := s.Sessions(ctx)
	same(t, "sessions", sessions, err, []store.Session{{ID: "s1", User: "zoe", Key: "other", Game: 3, Tokens: [][]byte{{4}}}})
	s.commit(store.PutGame{Number: 8, Name: "chess 7"}) // the name is free
}

func deleted(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	s.commit(store.DeleteUser{Name: "zoe"}, store.DeleteInvite{Code: "x"}, store.DeleteGame{Number: 9}, store.DeleteSession{ID: "x"}, store.PutSetting{Name: "x"})
	s.commit(Sample()...)
	s.commit(store.DeleteUser{Name: "zoe"}, store.DeleteInvite{Code: "1a2b"}, store.PutSetting{Name: "admin"}, store.DeleteGame{Number: 7})
	_, err := s.User(ctx, "zoe")
	s.notFound("a deleted user", err)
	invites, err := s.Invites(ctx)
	same(t, "invites", invites, err, []store.Invite{{Code: "0000", Left: 1}})
	settings, err := s.Settings(ctx)
	same(t, "settings", settings, err, map[string]string{"registration": "off"})
	_, err = s.Save(ctx, 7)
	s.notFound("the save of a deleted game", err)
	same(t, "the journal of a deleted game", s.pieces(7, 0), nil, nil)
	sessions, err := s.Sessions(ctx)
	same(t, "the sessions of a deleted game", sessions, err, nil)
	s.commit(store.PutSession{ID: "s2", Game: 3}, store.DeleteSession{ID: "s2"}, store.DeleteUser{Name: "bob٣"}, store.DeleteInvite{Code: "0000"},
		store.PutSetting{Name: "registration"}, store.DeleteGame{Number: 3})
	if all := s.export(); len(all) > 0 {
		t.Errorf("%+v is left", all)
	}
}

func texts(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	var every strings.Builder
	for c := rune(0); c < 0x300; c++ {
		every.WriteRune(c)
	}
	var bytes strings.Builder
	for c := range 256 {
		bytes.WriteByte(byte(c))
	}
	for i, text := range []string{" ", "\x00", "a\x00b", "'\"\\;--", "ß\u0301 é ﬁ", "😀\U0010ffff", "\ufffd\ufeff", "%_*?", every.String()} {
		n := int64(i + 1)
		s.commit(store.PutUser{Name: text, Folded: text, Secret: text}, store.PutInvite{Code: text, User: text, Left: 1}, store.PutSetting{Name: text, Value: text},
			store.PutGame{Number: n, Name: text, Kind: text, Secret: text, Creator: text},
			store.PutSave{Save: store.Save{Game: n, Data: text + bytes.String(), Room: []byte(bytes.String())}},
			store.Append{Game: n, First: 1, Last: 1, Data: []byte(bytes.String())},
			store.PutSession{ID: text, User: text, Key: text, Game: n, Tokens: [][]byte{[]byte(bytes.String())}})
		u, err := s.User(ctx, text)
		same(t, "user", u, err, store.User{Number: n, Name: text, Folded: text, Secret: text})
		save, err := s.Save(ctx, n)
		same(t, "save", save, err, store.Save{Game: n, Data: text + bytes.String(), Room: []byte(bytes.String())})
		is, err := s.Imitated(ctx, text)
		same(t, "imitated", is, err, true)
		same(t, "journal", s.pieces(n, 0), nil, []store.Piece{{Game: n, First: 1, Last: 1, Data: []byte(bytes.String())}})
	}
	settings, err := s.Settings(ctx)
	for name, value := range settings {
		same(t, "setting", value, err, name)
	}
	same(t, "count of settings", len(settings), err, 9)
}

func large(t *testing.T, new func() *opened) {
	s := new()
	data, room := strings.Repeat("save\x00", 8<<20/5), make([]byte, 1<<20)
	for i := range room {
		room[i] = byte(i * i)
	}
	s.commit(store.PutGame{Number: 1, Name: "large"}, store.PutSave{Save: store.Save{Game: 1, Data: data, Room: room}}, store.Append{Game: 1, First: 1, Last: 1 << 40, Data: room})
	save, err := s.Save(t.Context(), 1)
	if err != nil || save.Data != data || !slices.Equal(save.Room, room) {
		t.Errorf("the save has %d and %d bytes, error %v", len(save.Data), len(save.Room), err)
	}
	if all := s.pieces(1, 1<<40-1); len(all) != 1 || all[0].Last != 1<<40 || !slices.Equal(all[0].Data, room) {
		t.Errorf("the journal has %d pieces", len(all))
	}
	games, err := s.Games(t.Context())
	same(t, "games", games, err, []store.Game{{Number: 1, Name: "large", Saved: len(data)}})
}

func pages(t *testing.T, new func() *opened) {
	s := new()
	var changes []store.Change
	for i := range 2500 {
		name := fmt.Sprintf("user %d", i*7919%2500) // not in the order of their names
		changes = append(changes, store.PutUser{Name: name, Folded: name})
	}
	s.commit(changes...)
	var got []string
	for after := int64(0); ; {
		users, err := s.Users(t.Context(), after, 400)
		if err != nil || len(users) > 400 {
			t.Fatalf("%d users behind %d, error %v", len(users), after, err)
		}
		if len(users) == 0 {
			break
		}
		for _, u := range users {
			got = append(got, u.Name)
		}
		after = users[len(users)-1].Number
	}
	for i, c := range changes {
		if len(got) != len(changes) || got[i] != c.(store.PutUser).Name {
			t.Fatalf("%d users were listed, and number %d is not %v", len(got), i, c)
		}
	}
	none, err := s.Users(t.Context(), 0, 0)
	same(t, "no users", none, err, nil)
	n, err := s.CountUsers(t.Context())
	same(t, "count of users", n, err, 2500)
}

func numbersOfUsers(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	s.commit(store.PutUser{Name: "a"}, store.PutUser{Name: "b"}, store.PutUser{Name: "c", Number: 10}, store.PutUser{Name: "d"})
	s.commit(store.DeleteUser{Name: "d"}, store.DeleteUser{Name: "a"})
	s = s.again()
	s.commit(store.PutUser{Name: "e"}, store.PutUser{Name: "a"})
	users, err := s.Users(ctx, 0, 10)
	same(t, "users", users, err, []store.User{{Number: 2, Name: "b"}, {Number: 10, Name: "c"}, {Number: 12, Name: "e"}, {Number: 13, Name: "a"}})
	s.refuses(store.PutUser{Name: "f"}, store.PutUser{Name: "g", Number: 10})
	s.commit(store.PutUser{Name: "c", Number: 5}) // she gets another one
	u, err := s.User(ctx, "c")
	same(t, "user", u, err, store.User{Number: 5, Name: "c"})
	n, err := s.CountUsers(ctx)
	same(t, "count of users", n, err, 4)
}

func imitated(t *testing.T, new func() *opened) {
	s := new()
	is := func(folded string, want bool) {
		t.Helper()
		got, err := s.Imitated(t.Context(), folded)
		same(t, "imitated "+folded, got, err, want)
	}
	s.commit(store.PutUser{Name: "bob3", Folded: "bob3"}, store.PutUser{Name: "bob٣", Folded: "bob3"})
	is("bob3", true)
	is("bob", false)
	s.commit(store.DeleteUser{Name: "bob3"})
	is("bob3", true)
	s.commit(store.PutUser{Name: "bob٣", Folded: "bob4"})
	is("bob3", false)
	is("bob4", true)
	s.commit(store.DeleteUser{Name: "bob٣"})
	is("bob4", false)
}

func allOrNothing(t *testing.T, new func() *opened) {
	s := new()
	some := []store.Change{
		store.PutUser{Name: "new", Folded: "new"}, store.PutUser{Name: "zoe", Secret: "changed"}, store.DeleteUser{Name: "bob٣"},
		store.PutInvite{Code: "new"}, store.DeleteInvite{Code: "0000"}, store.PutSetting{Name: "registration"}, store.PutSetting{Name: "new", Value: "1"},
		store.PutGame{Number: 9, Name: "new"}, store.DeleteGame{Number: 7}, store.PutSave{Save: store.Save{Game: 3, Data: "changed"}},
		store.Append{Game: 9, First: 1, Last: 1}, store.PutSession{ID: "new", Game: 9},
	}
	s.refuses(append(slices.Clone(some[:1]), store.PutSave{Save: store.Save{Game: 99}})...) // on an empty store
	s.commit(Sample()...)
	for what, wrong := range map[string]store.Change{
		"a name that another game has":   store.PutGame{Number: 8, Name: "plain"},
		"a number that another has":      store.PutUser{Name: "eve", Number: 1},
		"a save of no game":              store.PutSave{Save: store.Save{Game: 99}},
		"a journal of no game":           store.Append{Game: 99, First: 1, Last: 1},
		"a session in no game":           store.PutSession{ID: "x", Game: 99},
		"entries that do not follow":     store.Append{Game: 9, First: 3, Last: 3},
		"entries that are there":         store.Append{Game: 9, First: 1, Last: 1},
		"a piece without entries":        store.Append{Game: 9, First: 2, Last: 1},
		"a save from behind the journal": store.PutSave{Save: store.Save{Game: 9, Entry: 2}},
	} {
		t.Run(what, func(t *testing.T) {
			s := &opened{s.Store, t, s.place}
			s.refuses(append(slices.Clone(some), wrong)...)
			s.refuses(append([]store.Change{wrong}, some...)...)
			s.hasSample()
		})
	}
	s.commit(some...)
}

func journal(t *testing.T, new func() *opened) {
	s := new()
	s.commit(store.PutGame{Number: 1, Name: "a", Durable: true}, store.PutGame{Number: 2, Name: "b", Durable: true})
	var want []store.Piece
	first := uint64(1)
	for i := range 300 {
		p := store.Piece{Game: 1, First: first, Last: first + uint64(i%3), Data: []byte(fmt.Sprint("piece ", i))}
		first = p.Last + 1
		want = append(want, p)
		s.commit(store.Append(p), store.Append{Game: 2, First: uint64(i + 1), Last: uint64(i + 1)})
	}
	same(t, "journal", s.pieces(1, 0), nil, want)
	for _, n := range []int{0, 1, 150, 299} {
		p := want[n]
		same(t, "from the middle of a piece on", s.pieces(1, p.Last-1), nil, want[n:])
		same(t, "from behind a piece on", s.pieces(1, p.Last), nil, want[n+1:])
	}
	n := 0
	for range s.Journal(t.Context(), 2, 0) {
		if n++; n == 10 {
			break
		}
	}
	s.commit(store.Append{Game: 2, First: 301, Last: 301}) // also behind a loop that was left
	same(t, "journal of the other game", len(s.pieces(2, 0)), nil, 301)
}

func gaps(t *testing.T, new func() *opened) {
	s := new()
	s.commit(store.PutGame{Number: 1, Name: "a", Durable: true}, store.Append{Game: 1, First: 5, Last: 6})
	for _, p := range []store.Append{{First: 0, Last: 0}, {First: 5, Last: 6}, {First: 6, Last: 7}, {First: 8, Last: 8}, {First: 7, Last: 6}} {
		p.Game = 1
		s.refuses(p)
	}
	s.commit(store.Append{Game: 1, First: 7, Last: 7}, store.PutSave{Save: store.Save{Game: 1, Entry: 7}})
	s.refuses(store.Append{Game: 1, First: 1, Last: 1})
	s.refuses(store.Append{Game: 1, First: 7, Last: 7})
	s.commit(store.Append{Game: 1, First: 8, Last: 9})
	s.refuses(store.PutSave{Save: store.Save{Game: 1, Entry: 10}})
	s.refuses(store.PutSave{Save: store.Save{Game: 1, Entry: 6}}) // older than the one that is there
}

func saves(t *testing.T, new func() *opened) {
	s := new()
	s.commit(store.PutGame{Number: 1, Name: "a", Durable: true})
	for n := uint64(1); n <= 6; n++ {
		s.commit(store.Append{Game: 1, First: n, Last: n})
	}
	firsts := func() (all []uint64) {
		for _, p := range s.pieces(1, 0) {
			all = append(all, p.First)
		}
		return all
	}
	s.commit(store.PutSave{Save: store.Save{Game: 1, Entry: 2}, KeepJournal: true})
	same(t, "kept", firsts(), nil, []uint64{1, 2, 3, 4, 5, 6})
	s.commit(store.PutSave{Save: store.Save{Game: 1, Entry: 4}})
	same(t, "dropped", firsts(), nil, []uint64{5, 6})
	s.commit(store.PutSave{Save: store.Save{Game: 1, Entry: 6}})
	same(t, "all dropped", firsts(), nil, nil)
	s.commit(store.Append{Game: 1, First: 7, Last: 7})
	save, err := s.Save(t.Context(), 1)
	same(t, "save", save, err, store.Save{Game: 1, Entry: 6})
}

func owned(t *testing.T, new func() *opened) {
	s := new()
	data, room, token := []byte("piece"), []byte("room"), []byte("token")
	tokens := [][]byte{token}
	s.commit(store.PutGame{Number: 1, Name: "a"}, store.PutSave{Save: store.Save{Game: 1, Room: room}}, store.Append{Game: 1, First: 1, Last: 1, Data: data},
		store.PutSession{ID: "s", Game: 1, Tokens: tokens})
	want := s.export()
	for range 2 { // what was given, then what was read
		clear(data)
		clear(room)
		clear(token)
		tokens[0] = nil
		data = s.pieces(1, 0)[0].Data
		save, err := s.Save(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		room = save.Room
		sessions, err := s.Sessions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens = sessions[0].Tokens
		token = tokens[0]
	}
	if string(data) != "piece" || string(room) != "room" || string(token) != "token" {
		t.Errorf("what was read is %q, %q, %q", data, room, token)
	}
	if diff := cmp.Diff(want, s.export()); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func export(t *testing.T, new func() *opened) {
	s := new()
	s.commit(Sample()...)
	s.commit(store.PutSave{Save: store.Save{Game: 7, Entry: 3, Data: "d4"}, KeepJournal: true}, store.DeleteUser{Name: "zoe"})
	other := new()
	other.commit(exported(t, s.Store)...)
	if diff := cmp.Diff(s.export(), other.export()); diff != "" {
		t.Errorf("-exported +committed:\n%s", diff)
	}
	for range s.Export(t.Context()) {
		break
	}
	other.commit(store.Append{Game: 7, First: 4, Last: 4}, store.PutUser{Name: "zoe"})
}

func oneMoment(t *testing.T, new func() *opened) {
	s := new()
	s.commit(Sample()...)
	want := s.export()
	var got []store.Change
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			s.commit(store.DeleteGame{Number: 7}, store.DeleteGame{Number: 3}, store.DeleteInvite{Code: "0000"}, store.PutUser{Name: "late"}, store.DeleteUser{Name: "zoe"})
		}
		got = append(got, c)
	}
	if diff := cmp.Diff(want, sorted(got)); diff != "" {
		t.Errorf("-wanted +exported:\n%s", diff)
	}
}

func ended(t *testing.T, new func() *opened) {
	s := new()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, Sample()...); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: error %v", err)
	}
	if _, err := s.User(ctx, "zoe"); !errors.Is(err, context.Canceled) {
		t.Errorf("user: error %v", err)
	}
	for _, err := range s.Export(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("export: error %v", err)
		}
	}
	if all := s.export(); len(all) > 0 {
		t.Errorf("%v is there", all)
	}
	s.commit(Sample()...) // it goes on
}

func concurrent(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	const writers, each = 8, 40
	for w := range writers {
		s.commit(store.PutGame{Number: int64(w + 1), Name: fmt.Sprint(w)})
	}
	var wg sync.WaitGroup
	for w := range writers {
		game := int64(w + 1)
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d %d", w, i)
				if err := s.Commit(ctx, store.PutUser{Name: name, Folded: name}, store.Append{Game: game, First: uint64(i + 1), Last: uint64(i + 1)}); err != nil {
					t.Errorf("commit %s: %v", name, err)
				}
				if _, err := s.User(ctx, name); err != nil {
					t.Errorf("user %s: %v", name, err)
				}
			}
		})
		wg.Go(func() {
			for range each / 4 {
				n := 0
				for c, err := range s.Export(ctx) {
					if err != nil {
						t.Errorf("export: %v", err)
						return
					}
					switch c.(type) {
					case store.PutUser:
						n++
					case store.Append:
						n--
					}
				}
				if n != 0 {
					t.Errorf("an export has %d users more than entries", n)
				}
			}
		})
	}
	wg.Wait()
	n, err := s.CountUsers(ctx)
	same(t, "count of users", n, err, writers*each)
}

func again(t *testing.T, new func() *opened) {
	s := new()
	s.commit(Sample()...)
	for range 3 {
		s = s.again()
		s.hasSample()
	}
	s.commit(store.Append{Game: 7, First: 4, Last: 4})
	s = s.again()
	same(t, "journal", len(s.pieces(7, 0)), nil, 2)
}

func oneServer(t *testing.T, new func() *opened) {
	s := new()
	if !s.place.Lasts {
		t.Skip("this store is no place: who has it has it")
	}
	s.commit(Sample()...)
	if other, err := s.place.Open(); !errors.Is(err, store.ErrInUse) {
		t.Fatalf("opened twice: %v, error %v", other, err)
	}
	s.hasSample() // and is not disturbed
	s.commit(store.PutSetting{Name: "x", Value: "y"}, store.PutSetting{Name: "x"})
	s.again().hasSample()
}

func closed(t *testing.T, new func() *opened) {
	s, ctx := new(), t.Context()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if !s.place.Lasts {
		return
	}
	_, userErr := s.User(ctx, "zoe")
	_, gamesErr := s.Games(ctx)
	for what, err := range map[string]error{"commit": s.Commit(ctx, Sample()...), "user": userErr, "games": gamesErr} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: error %v, want ErrClosed", what, err)
		}
	}
	for _, err := range s.Export(ctx) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("export: error %v", err)
		}
	}
	if s.Path() == "" {
		t.Error("the path is empty")
	}
}

// closedInLoop: Close does not wait for the loop that it is called in, which is told.
func closedInLoop(t *testing.T, new func() *opened) {
	s := new()
	if !s.place.Lasts {
		return
	}
	s.commit(Sample()...)
	var last error
	for _, err := range s.Export(t.Context()) {
		if last = err; err != nil {
			break
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if !errors.Is(last, store.ErrClosed) {
		t.Errorf("the export's error is %v, want ErrClosed", last)
	}
}
