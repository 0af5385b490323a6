package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"parlor/store"
	"parlor/store/backup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything is of every sort, with what is empty and what is no text.
var everything = []store.Change{
	store.PutSetting{Name: "registration", Value: "off"},
	store.PutUser{Number: 3, Name: "alice", Folded: "a1ice", Secret: "$argon2id$..."},
	store.PutUser{Number: 1 << 60, Name: "\xff\x00", Folded: "", Secret: ""},
	store.PutInvite{Code: "c", User: "carol", Expires: -1, Left: 7},
	store.PutGame{Number: 2, Name: "chess", Kind: "k", Secret: "s", Creator: "alice", Durable: true},
	store.Append{Game: 2, First: 1, Last: 4, Data: []byte("entries")},
	store.Append{Game: 2, First: 5, Last: 5},
	store.PutSave{Save: store.Save{Game: 2, Entry: 3, Version: 9, Data: strings.Repeat("x", 2<<20), Room: []byte{0, 1}}, KeepJournal: true},
	store.PutGame{Number: 4, Name: "go"},
	store.PutSession{ID: "id", User: "alice", Key: "key", Game: 2, Tokens: [][]byte{{1, 2}, {}, {3}}},
}

var head = backup.Head{Created: time.Unix(1e9, 0), From: "a place", Key: "secret", Logins: []byte("12345678")}

func each(all []store.Change) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		for _, c := range all {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func written(t testing.TB, all []store.Change) []byte {
	t.Helper()
	var b bytes.Buffer
	counts, err := backup.Write(&b, head, each(all))
	if err != nil || counts.Bytes != int64(b.Len()) {
		t.Fatalf("written: %+v, %v, with %d bytes", counts, err, b.Len())
	}
	return b.Bytes()
}

func small() []store.Change {
	all := slices.Clone(everything)
	all[7] = store.PutSave{Save: store.Save{Game: 2, Entry: 3, Data: "state"}, KeepJournal: true}
	return all
}

func readAll(in io.Reader) (all []store.Change, err error) {
	r, err := backup.NewReader(in)
	if err != nil {
		return nil, err
	}
	for c, err := range r.Changes() {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func TestRoundTrip(t *testing.T) {
	text := written(t, everything)
	b, err := backup.Verify(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(head, b.Head); diff != "" {
		t.Error(diff)
	}
	want := backup.Counts{Users: 2, Invites: 1, Games: 2, Saves: 1, Pieces: 2, Sessions: 1, Bytes: int64(len(text))}
	if b.Counts != want {
		t.Errorf("counts %+v, want %+v", b.Counts, want)
	}
	got, err := readAll(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everything, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// TestDamage: whatever bit is another, and wherever it ends, it is refused.
func TestDamage(t *testing.T) {
	good := written(t, small())
	for n := range good {
		if _, err := backup.Verify(bytes.NewReader(good[:n])); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrForeign) {
			t.Fatalf("cut at %d of %d: %v", n, len(good), err)
		}
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[n] ^= 1 << bit
			_, err := backup.Verify(bytes.NewReader(bad))
			if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrForeign) && !errors.Is(err, backup.ErrNewer) {
				t.Fatalf("bit %d of byte %d of %d: %v", bit, n, len(good), err)
			}
		}
	}
	if _, err := backup.Verify(bytes.NewReader(append(good, 0))); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
	// Two halves of two backups, each of which is right.
	changes := small()
	changes[0] = store.PutSetting{Name: "registration", Value: "onn"}
	other := written(t, changes)
	if _, err := backup.Verify(bytes.NewReader(append(bytes.Clone(good[:len(good)/2]), other[len(good)/2:]...))); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("two halves: %v", err)
	}
}

// TestFailedExport: what was written is no backup.
func TestFailedExport(t *testing.T) {
	broken := errors.New("broken")
	var b bytes.Buffer
	_, err := backup.Write(&b, head, func(yield func(store.Change, error) bool) {
		_ = yield(everything[1], nil) && yield(nil, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := backup.Verify(bytes.NewReader(b.Bytes())); err == nil {
		t.Error("it can be read")
	}
	if _, err := backup.Write(io.Discard, head, each([]store.Change{store.DeleteUser{Name: "x"}})); err == nil {
		t.Error("a change that makes nothing was written")
	}
	if _, err := backup.Write(fullDisk{}, head, each(everything)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("to a full disk: %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// failing is a store whose commits fail from one on, as if the process ended there.
type failing struct {
	*store.Memory
	left int
}

var errKilled = errors.New("killed")

func (f *failing) Commit(ctx context.Context, changes ...store.Change) error {
	if f.left--; f.left < 0 {
		return errKilled
	}
	return f.Memory.Commit(ctx, changes...)
}

func export(t *testing.T, st store.Store) (all []store.Change) {
	t.Helper()
	for c, err := range st.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if g, is := c.(store.PutGame); is {
			g.Saved = 0 // it is told by the save
			c = g
		}
		all = append(all, c)
	}
	return all
}

// many needs several commits.
func many() (all []store.Change) {
	for i := range 12_000 {
		all = append(all, store.PutUser{Number: int64(i + 1), Name: fmt.Sprint("user", i), Folded: fmt.Sprint("folded", i)})
	}
	return append(all, everything[4:]...)
}

// TestRestoreKilled: wherever a restore ends, the store is as before, or says that it is half, and a second one makes it whole.
func TestRestoreKilled(t *testing.T) {
	all := many()
	b, err := backup.Verify(bytes.NewReader(written(t, all)))
	if err != nil {
		t.Fatal(err)
	}
	for commits := 0; ; commits++ {
		var m store.Memory
		if err := m.Commit(t.Context(), store.PutSetting{Name: "admin", Value: "hash"}); err != nil {
			t.Fatal(err)
		}
		before := export(t, &m)
		keys := 0
		err := b.Restore(t.Context(), &failing{&m, commits}, func() error { keys++; return nil })
		settings, _ := m.Settings(t.Context())
		if err == nil {
			if commits < 4 || keys != 1 || backup.Unfinished(settings) != nil {
				t.Fatalf("%d commits, %d keys, %v", commits, keys, backup.Unfinished(settings))
			}
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if unfinished := backup.Unfinished(settings); commits == 0 && (unfinished != nil || keys > 0 || !cmp.Equal(before, export(t, &m))) || commits > 0 && !errors.Is(unfinished, backup.ErrUnfinished) {
			t.Fatalf("after %d commits: %v, %d keys", commits, unfinished, keys)
		}
		if err := b.Restore(t.Context(), &failing{&m, max(0, commits-1)}, nil); commits > 1 && !errors.Is(err, errKilled) { // killed again, while it wipes
			t.Fatal(err)
		}
		if err := b.Restore(t.Context(), &m, nil); err != nil {
			t.Fatalf("again after %d commits: %v", commits, err)
		}
		if diff := cmp.Diff(all, export(t, &m), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("after %d commits (-backup +store):\n%s", commits, diff)
		}
	}
}

// TestNotEmpty: what is there is left alone.
func TestNotEmpty(t *testing.T) {
	b, err := backup.Verify(bytes.NewReader(written(t, everything)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []store.Change{everything[1], everything[3], everything[4]} {
		var m store.Memory
		if err := m.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		before := export(t, &m)
		if err := b.Restore(t.Context(), &m, func() error { t.Error("the key was put"); return nil }); !errors.Is(err, backup.ErrNotEmpty) {
			t.Errorf("with %T: %v", c, err)
		}
		if diff := cmp.Diff(before, export(t, &m)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestMemory: a million users and many journals are written and read in little memory.
func TestMemory(t *testing.T) {
	piece := make([]byte, 60_000)
	large := func(yield func(store.Change, error) bool) {
		for i := range 200_000 {
			if !yield(store.PutUser{Number: int64(i + 1), Name: fmt.Sprint("user", i), Secret: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2E$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"}, nil) {
				return
			}
		}
		for i := range uint64(1000) {
			if !yield(store.Append{Game: 1, First: i + 1, Last: i + 1, Data: piece}, nil) {
				return
			}
		}
	}
	in, out := io.Pipe()
	go func() { // ends with the reader
		_, err := backup.Write(out, head, large)
		out.CloseWithError(err)
	}()
	r, err := backup.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var start, now runtime.MemStats
	runtime.ReadMemStats(&start)
	n, most := 0, int64(0)
	for _, err := range r.Changes() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, int64(now.HeapAlloc)-int64(start.HeapAlloc))
		}
	}
	if n != 201_000 || most > 8<<20 {
		t.Errorf("%d changes, and %d bytes of memory", n, most)
	}
}

// FuzzReader: whatever comes, it ends, takes no more memory than came, and what it takes is written as the same.
func FuzzReader(f *testing.F) {
	f.Add(written(f, small()))
	f.Add([]byte("parlor backup\n\x01\x05h\x00\x00\x00\x00"))
	f.Add([]byte("parlor backup\n\x01\xff\xff\xff\xff\x03"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := backup.NewReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		var all []store.Change
		for c, err := range r.Changes() {
			if err != nil {
				break
			}
			all = append(all, c)
		}
		var out bytes.Buffer
		if _, err := backup.Write(&out, r.Head, each(all)); err != nil {
			t.Fatal(err)
		}
		again, err := readAll(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all, again); diff != "" {
			t.Error(diff)
		}
	})
}
