package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parlor/store"
)

// random does the same at random to a store and to one in memory, and compares them.
func random(t *testing.T, new func() *opened) {
	rapid.Check(t, func(r *rapid.T) {
		s := new()
		defer s.Close()
		var model store.Memory
		for range rapid.IntRange(1, 12).Draw(r, "commits") {
			changes := rapid.SliceOfN(rapid.Custom(drawChange), 1, 8).Draw(r, "changes")
			want, got := model.Commit(t.Context(), changes...), s.Commit(t.Context(), changes...)
			if (want == nil) != (got == nil) || want != nil && !errors.Is(got, store.ErrConflict) {
				r.Fatalf("commit of %+v: error %v, the model's is %v", changes, got, want)
			}
			if diff := cmp.Diff(sorted(exported(t, &model)), s.export()); diff != "" {
				r.Fatalf("behind %+v (-model +store):\n%s", changes, diff)
			}
		}
	})
}

func drawChange(t *rapid.T) store.Change {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	game := rapid.Int64Range(1, 3).Draw(t, "game")
	entry := rapid.Uint64Range(0, 6)
	switch rapid.IntRange(0, 10).Draw(t, "kind of change") {
	case 0:
		return store.PutUser{Name: name.Draw(t, "user"), Folded: name.Draw(t, "folded"), Number: rapid.Int64Range(0, 4).Draw(t, "number"), Secret: name.Draw(t, "secret")}
	case 1:
		return store.DeleteUser{Name: name.Draw(t, "user")}
	case 2:
		return store.PutInvite{Code: name.Draw(t, "code"), User: name.Draw(t, "user"), Left: rapid.IntRange(0, 3).Draw(t, "left")}
	case 3:
		return store.DeleteInvite{Code: name.Draw(t, "code")}
	case 4:
		return store.PutSetting{Name: name.Draw(t, "setting"), Value: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value")}
	case 5:
		return store.PutGame{Number: game, Name: name.Draw(t, "name"), Durable: rapid.Bool().Draw(t, "durable")}
	case 6:
		return store.DeleteGame{Number: game}
	case 7:
		n := entry.Draw(t, "entry")
		return store.PutSave{Save: store.Save{Game: game, Entry: n, Data: fmt.Sprint("save ", n)}, KeepJournal: rapid.Bool().Draw(t, "keep")}
	case 8, 9:
		first := entry.Draw(t, "first")
		return store.Append{Game: game, First: first, Last: first + rapid.Uint64Range(0, 2).Draw(t, "more"), Data: []byte{byte(first)}}
	default:
		if rapid.Bool().Draw(t, "end") {
			return store.DeleteSession{ID: name.Draw(t, "session")}
		}
		return store.PutSession{ID: name.Draw(t, "session"), Game: game, Tokens: [][]byte{{1}}}
	}
}
