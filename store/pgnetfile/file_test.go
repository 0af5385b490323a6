package pgnetfile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parlor/internal/snapshot"
	"parlor/store/pgnetfile"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		hold(path)
	}
	goleak.VerifyTestMain(m)
}

func TestSuite(t *testing.T) {
	runSuite(t, func(t *testing.T) func() *pgnetfile.File {
		path := filepath.Join(t.TempDir(), "save.json")
		return func() *pgnetfile.File { return open(t, path, pgnetfile.Options{}) }
	})
}

func open(t *testing.T, path string, opts pgnetfile.Options) *pgnetfile.File {
	t.Helper()
	f, err := pgnetfile.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// sampleFile puts the captured file into a folder of its own.
func sampleFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "save.json")
	write(t, path, read(t, "../../testdata/pgnet/save.json"))
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, f *pgnetfile.File) snapshot.Snapshot {
	t.Helper()
	snap, found, err := f.Load()
	if err != nil || !found {
		t.Fatalf("Load = found %v, error %v", found, err)
	}
	return snap
}

func save(t *testing.T, f *pgnetfile.File, snap snapshot.Snapshot) {
	t.Helper()
	if err := f.Save(snap); err != nil {
		t.Fatal(err)
	}
}

// wantNames checks which files are in a folder.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// TestCaptured loads the file that the pgnet release wrote, and expects to write the same bytes.
func TestCaptured(t *testing.T) {
	path := sampleFile(t)
	f := open(t, path, pgnetfile.Options{})
	snap := load(t, f)

	var about struct {
		Passwords map[string]string
		Games     map[string]struct{ Password, State string }
		Invites   map[string]string `json:"invite_codes"`
	}
	if err := json.Unmarshal([]byte(read(t, "../../testdata/pgnet/save.about.json")), &about); err != nil {
		t.Fatal(err)
	}
	if len(snap.Users) != len(about.Passwords) || snap.Users[0].Name != "alice" || snap.Users[1].Name != "bobby" {
		t.Errorf("users = %+v", snap.Users)
	}
	for _, u := range snap.Users {
		if !u.Check(about.Passwords[u.Name]) || u.Check("admin") {
			t.Errorf("the password of %s does not fit", u.Name)
		}
	}
	if len(snap.Games) != len(about.Games) || snap.Games[0].Name != "keep one" {
		t.Errorf("games = %+v", snap.Games)
	}
	for _, g := range snap.Games {
		if want := about.Games[g.Name]; g.Data != want.State || g.Password != want.Password || g.Kind != "" {
			t.Errorf("game = %+v, want %+v", g, want)
		}
	}
	if !snap.Registration || !slices.Equal(snap.Invites, []snapshot.Invite{{Code: "1a2b", User: "carol"}}) {
		t.Errorf("registration %v, invites %+v", snap.Registration, snap.Invites)
	}

	save(t, f, snap)
	if got, want := read(t, path), read(t, "../../testdata/pgnet/save.json"); got != want {
		t.Errorf("saved\n%s\nwant\n%s", got, want)
	}
}

func TestRepeatedNamesAreLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	user := `{"name": "bob", "salt": "", "password": ""}`
	write(t, path, `{"users": [`+user+","+user+","+user+`], "games": [], "registration": true, "invite_codes": {}}`)
	log, text := logger()
	load(t, open(t, path, pgnetfile.Options{Logger: log}))
	if got := text.String(); !strings.Contains(got, "count=2") || !strings.Contains(got, "first=users[1].name") {
		t.Errorf("logged %q", got)
	}
}

func TestFoldersAndModes(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a", "b", "save.json")
	f := open(t, path, pgnetfile.Options{})
	save(t, f, sample())
	for name, want := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o700, "a/b/save.json": 0o600, "a/b/save.json.lock": 0o600} {
		wantMode(t, filepath.Join(root, name), want)
	}
	wantNames(t, filepath.Dir(path), "save.json", "save.json.lock")

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	save(t, f, sample())
	wantMode(t, path, 0o640)
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}

func TestSymbolicLink(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"real/deep", "links"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"links/dir":        "../real/deep",       // a folder
		"links/save":       "dir/../second.json", // to real/second.json, though it looks like links/second.json
		"real/second.json": "third.json",         // which does not exist yet
		"links/around":     "around",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(root, "links/save")
	f := open(t, path, pgnetfile.Options{})
	save(t, f, sample())
	save(t, f, sample())
	wantNames(t, filepath.Join(root, "links"), "around", "dir", "save")
	wantNames(t, filepath.Join(root, "real"), "deep", "second.json", "third.json", "third.json.lock")
	if got := f.Path(); got != path {
		t.Errorf("Path = %s, want it as configured, %s", got, path)
	}
	if info, err := os.Lstat(filepath.Join(root, "real/third.json")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the target is %v, error %v", info, err)
	}
	if _, err := pgnetfile.Open(filepath.Join(root, "links/around"), pgnetfile.Options{}); err == nil {
		t.Error("a link to itself was opened")
	}
}

// TestRelativePath: the process may change its folder after the file was opened.
func TestRelativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f := open(t, "save.json", pgnetfile.Options{})
	t.Chdir(t.TempDir())
	save(t, f, sample())
	wantNames(t, dir, "save.json", "save.json.lock")
}

func TestCannotOpen(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	for name, test := range map[string]struct {
		path string
		opts pgnetfile.Options
		want string
	}{
		"no path":        {"", pgnetfile.Options{}, "the path is empty"},
		"folder":         {dir, pgnetfile.Options{}, "is a folder, not a file"},
		"device":         {os.DevNull, pgnetfile.Options{}, "is not a regular file"},
		"file as folder": {filepath.Join(dir, "file", "save.json"), pgnetfile.Options{}, "folder"},
		"bad age":        {filepath.Join(dir, "s"), pgnetfile.Options{KeepPrevious: -1}, "KeepPrevious is negative"},
		"bad size":       {filepath.Join(dir, "s"), pgnetfile.Options{MaxSize: -1}, "MaxSize is negative"},
	} {
		f, err := pgnetfile.Open(test.path, test.opts)
		if err == nil {
			f.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
			t.Errorf("%s: error %q, want %q in it", name, err, test.want)
		}
	}
	wantNames(t, dir, "file")
}

func TestUnreadable(t *testing.T) {
	path := sampleFile(t)
	f := open(t, path, pgnetfile.Options{})
	f.Before(func(step string) error {
		if step == pgnetfile.StepRead {
			return fs.ErrPermission
		}
		return nil
	})
	if _, _, err := f.Load(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Load = %v", err)
	}
	if err := f.Save(sample()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Save over a file that cannot be read = %v", err)
	}
	if read(t, path) != read(t, "../../testdata/pgnet/save.json") {
		t.Error("the file was changed")
	}
}

func TestMaxSize(t *testing.T) {
	path := sampleFile(t)
	size := int64(len(read(t, path)))
	small := open(t, path, pgnetfile.Options{MaxSize: size - 1})
	_, _, err := small.Load()
	if !errors.Is(err, pgnetfile.ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(size-1)) {
		t.Errorf("Load above the limit = %v", err)
	}
	small.Close()

	f := open(t, path, pgnetfile.Options{MaxSize: size})
	snap := load(t, f)
	save(t, f, snap)
	snap.Users[0].Name += "x"
	if err := f.Save(snap); !errors.Is(err, pgnetfile.ErrTooLarge) {
		t.Errorf("Save above the limit = %v", err)
	}
	if read(t, path) != read(t, "../../testdata/pgnet/save.json") {
		t.Error("the file was changed")
	}
}

func TestClosed(t *testing.T) {
	f := open(t, sampleFile(t), pgnetfile.Options{})
	f.Close()
	if _, _, err := f.Load(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Load after Close = %v", err)
	}
	if err := f.Save(snapshot.Snapshot{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Save after Close = %v", err)
	}
}

// manyUsers is a snapshot of n users, with a game and an invite for every hundred.
func manyUsers(n int) (snap snapshot.Snapshot) {
	for i := range n {
		name := fmt.Sprintf("user%d", i)
		snap.Users = append(snap.Users, snapshot.User{Name: name, Salt: strings.Repeat("5", 40), Hash: strings.Repeat("a", 64)})
		if i%100 == 0 {
			snap.Games = append(snap.Games, snapshot.Game{Name: name, Kind: "k", Data: "é\xff"})
			snap.Invites = append(snap.Invites, snapshot.Invite{Code: name})
		}
	}
	return snap
}

// TestManyUsers compares how long many users take with how long fewer do: ten times as long or somewhat longer, and not a hundred times, as if
// any work were quadratic. The slowest try of the few and the quickest of the many are taken, as others use the machine too.
func TestManyUsers(t *testing.T) {
	took := func(n int) time.Duration {
		snap := manyUsers(n)
		f := open(t, filepath.Join(t.TempDir(), "save.json"), pgnetfile.Options{})
		start := time.Now()
		save(t, f, snap)
		if !equal(load(t, f), snap) {
			t.Error("what was loaded is not what was saved")
		}
		return time.Since(start)
	}
	const n, more, most = 20_000, 10, 50
	few := max(took(n), took(n), took(n))
	for try := 1; ; try++ {
		many := took(more * n)
		if many < most*few {
			break
		}
		if try == 3 {
			t.Errorf("%d users took %v, and %d took %v", n, few, more*n, many)
			break
		}
	}
}

// BenchmarkMillion measures a file of 200 MB.
func BenchmarkMillion(b *testing.B) {
	snap := manyUsers(1_000_000)
	f, err := pgnetfile.Open(filepath.Join(b.TempDir(), "save.json"), pgnetfile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			if err := f.Save(snap); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := f.Load(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestGamesAreEncodedOnce: a Save for another user, as at each registration, does not encode all games again; the
// file is what a whole encoding makes, whatever changes in between.
func TestGamesAreEncodedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "save.json")
	f := open(t, path, pgnetfile.Options{})
	const size = 8 << 20
	snap := snapshot.Snapshot{Games: []snapshot.Game{
		{Name: "large", Data: strings.Repeat("x", size), Creator: "zoe"}, {Name: "bytes", Data: "\xff\x00"},
	}}
	check := func() {
		t.Helper()
		save(t, f, snap)
		if read(t, path) != string(pgnetfile.Encode(snap)) {
			t.Fatal("the file is not the snapshot")
		}
	}
	check()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 4 {
		snap.Users = append(snap.Users, snapshot.User{Name: fmt.Sprint("user", i)})
		save(t, f, snap)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size {
		t.Errorf("4 saves took %d bytes of memory, though no game has changed", n)
	}
	f.MarkGames()
	snap.Users = append(snap.Users, snapshot.User{Name: "last"})
	save(t, f, snap)
	if !strings.Contains(read(t, path), "\"games\": [\n\t") {
		t.Error("the games were encoded again, though none has changed")
	}
	snap.Games[0].Password = "changed"
	check()
	snap.Games[1].Data = "\xfe" // in place: the file must not rely on the caller's slice
	check()
	snap.Games[1].Data = "text"
	check()
	snap.Games[0].Name = "renamed"
	check()
	snap.Games = snap.Games[:1]
	check()
	snap.Games = nil
	check()
}
