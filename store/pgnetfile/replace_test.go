package pgnetfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parlor/internal/snapshot"
	"parlor/store/pgnetfile"
)

var errDisk = errors.New("disk on fire")

// failAt makes steps fail.
func failAt(f *pgnetfile.File, steps ...string) {
	f.Before(func(step string) error {
		if slices.Contains(steps, step) {
			return errDisk
		}
		return nil
	})
}

func TestFailedStep(t *testing.T) {
	for _, step := range pgnetfile.Steps {
		if step == pgnetfile.StepLinkPrevious || step == pgnetfile.StepLinkBack {
			continue // not every file system has links: see below
		}
		t.Run(step, func(t *testing.T) {
			path := sampleFile(t)
			f := open(t, path, pgnetfile.Options{})
			before := load(t, f)
			failAt(f, step)
			for range 2 { // the second finds what the first left
				if err := f.Save(sample()); !errors.Is(err, errDisk) {
					t.Fatalf("Save = %v", err)
				}
				if read(t, path) != read(t, "../../testdata/pgnet/save.json") {
					t.Fatal("the file was changed")
				}
				wantNoLeftovers(t, path)
			}
			if !equal(load(t, f), before) {
				t.Error("Load gives something else than before")
			}

			failAt(f) // the disk is well again
			snap := sample()
			save(t, f, snap)
			if !equal(load(t, f), snap) {
				t.Error("the next Save did not save")
			}
			if read(t, path+".previous") != read(t, "../../testdata/pgnet/save.json") {
				t.Error("the previous file is not what was loaded")
			}
			wantNoLeftovers(t, path)
		})
	}
}

// TestFailedFirstSave: where there was no file, there is none after a failure.
func TestFailedFirstSave(t *testing.T) {
	for _, step := range pgnetfile.Steps {
		path := filepath.Join(t.TempDir(), "save.json")
		f := open(t, path, pgnetfile.Options{})
		failAt(f, step)
		if err := f.Save(sample()); err == nil {
			continue // a step that only a file that is there needs
		}
		if _, found, err := f.Load(); found || err != nil {
			t.Errorf("%s: Load = found %v, error %v", step, found, err)
		}
		wantNames(t, filepath.Dir(path), "save.json.lock")
	}
}

func wantNoLeftovers(t *testing.T, path string) {
	t.Helper()
	for _, suffix := range pgnetfile.Leftovers {
		if _, err := os.Lstat(path + suffix); err == nil {
			t.Errorf("%s is left", path+suffix)
		}
	}
}

func TestNoHardLinks(t *testing.T) {
	path := sampleFile(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, pgnetfile.Options{})
	failAt(f, pgnetfile.StepLinkPrevious, pgnetfile.StepLinkBack)
	snap := sample()
	save(t, f, snap)
	if !equal(load(t, f), snap) {
		t.Error("Load is not what was saved")
	}
	if read(t, path+".previous") != read(t, "../../testdata/pgnet/save.json") {
		t.Error("the previous file is not what was loaded")
	}
	wantMode(t, path+".previous", 0o640)
	wantNoLeftovers(t, path)

	failAt(f, pgnetfile.StepLinkBack, pgnetfile.StepSyncFolder)
	if err := f.Save(snapshot.Snapshot{}); !errors.Is(err, errDisk) {
		t.Errorf("Save = %v", err)
	}

	second := sampleFile(t)
	f = open(t, second, pgnetfile.Options{})
	failAt(f, pgnetfile.StepLinkPrevious, pgnetfile.StepCopyPrevious)
	if err := f.Save(snap); !errors.Is(err, errDisk) || read(t, second) != read(t, "../../testdata/pgnet/save.json") {
		t.Errorf("Save without a previous file = %v", err)
	}
}

// TestKilledBetweenSteps looks at the folder before each step, as the next start would after a kill there.
func TestKilledBetweenSteps(t *testing.T) {
	path := sampleFile(t)
	f := open(t, path, pgnetfile.Options{})
	before, after := load(t, f), sample()
	var seen []string
	f.Before(func(step string) error {
		seen = append(seen, step)
		killed := copyFolder(t, filepath.Dir(path))
		// As far as the kernel got with the write.
		if err := os.WriteFile(filepath.Join(killed, "save.json"+pgnetfile.Leftovers[0]), []byte(`{"users`), 0o600); err != nil {
			t.Error(err)
		}
		wantWhole(t, killed, step, before, before)
		return nil
	})
	save(t, f, after)
	if !slices.Equal(seen, pgnetfile.Steps) {
		t.Errorf("the steps were %q", seen)
	}
	wantWhole(t, copyFolder(t, filepath.Dir(path)), "the end", after, before)
}

// wantWhole opens a folder in which a server was killed.
func wantWhole(t *testing.T, dir, step string, want, previous snapshot.Snapshot) {
	t.Helper()
	path := filepath.Join(dir, "save.json")
	f := open(t, path, pgnetfile.Options{})
	defer f.Close()
	wantNoLeftovers(t, path)
	got := load(t, f)
	if !equal(got, want) && step != pgnetfile.StepSyncFolder { // at which either is right
		t.Errorf("killed before %q: Load = %+v", step, got)
	}
	if _, err := os.Stat(path + ".previous"); err == nil {
		old, err := pgnetfile.Decode([]byte(read(t, path+".previous")))
		if err != nil || !equal(old, previous) {
			t.Errorf("killed before %q: the previous file is %+v, error %v", step, old, err)
		}
	}
	save(t, f, got)
}

func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestPrevious(t *testing.T) {
	now := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	opts := pgnetfile.Options{Now: func() time.Time { return now }}
	path := filepath.Join(t.TempDir(), "save.json")
	var f *pgnetfile.File
	saves := 0
	step := func(after time.Duration, restart bool, wantPrevious int) {
		t.Helper()
		now = now.Add(after)
		if f == nil || restart {
			if f != nil {
				f.Close()
			}
			f = open(t, path, opts)
		}
		saves++
		save(t, f, numbered(saves))
		if got := savedIn(t, path); got != saves {
			t.Errorf("save %d: the file is of save %d", saves, got)
		}
		if got := savedIn(t, path+".previous"); got != wantPrevious {
			t.Errorf("save %d: the previous file is of save %d, want %d", saves, got, wantPrevious)
		}
	}
	step(0, false, 0)                           // 1: nothing was there
	step(time.Second, false, 0)                 // 2: of a second ago is not worth keeping
	step(time.Hour-2*time.Second, false, 0)     // 3
	step(time.Second, false, 3)                 // 4: an hour after the first
	step(time.Minute, false, 3)                 // 5
	step(58*time.Minute, false, 3)              // 6
	step(time.Minute, false, 6)                 // 7
	step(time.Second, true, 7)                  // 8: of the last start
	step(time.Second, false, 7)                 // 9
	step(24*time.Hour, false, 9)                // 10: rare saves
	step(-48*time.Hour, false, 9)               // 11: the clock was set back
	step(48*time.Hour+30*time.Minute, false, 9) // 12
	step(time.Second, true, 12)                 // 13
	step(time.Second, true, 13)                 // 14

	// A start that saves nothing keeps it as it is.
	f.Close()
	f = open(t, path, opts)
	load(t, f)
	if got := savedIn(t, path+".previous"); got != 13 {
		t.Errorf("a start without a save made the previous file that of save %d", got)
	}
}

func TestKeepPrevious(t *testing.T) {
	now := time.Now()
	path := filepath.Join(t.TempDir(), "save.json")
	f := open(t, path, pgnetfile.Options{KeepPrevious: time.Minute, Now: func() time.Time { return now }})
	for i := range 3 {
		save(t, f, numbered(i+1))
		now = now.Add(time.Minute)
	}
	if got := savedIn(t, path+".previous"); got != 2 {
		t.Errorf("the previous file is of save %d, want 2", got)
	}
}

func numbered(n int) snapshot.Snapshot {
	return snapshot.Snapshot{Users: []snapshot.User{{Name: "save", Salt: fmt.Sprint(n)}}}
}

// savedIn returns the number of the snapshot in a file, 0 if there is none.
func savedIn(t *testing.T, path string) (n int) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	snap, err := pgnetfile.Decode([]byte(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(snap.Users[0].Salt, &n)
	return n
}

// TestFileVanishes: a server that runs has everything in memory, and writes it where it should be.
func TestFileVanishes(t *testing.T) {
	path := sampleFile(t)
	f := open(t, path, pgnetfile.Options{})
	save(t, f, load(t, f))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	snap := sample()
	save(t, f, snap)
	if !equal(load(t, f), snap) {
		t.Error("Load is not what was saved")
	}
	if read(t, path+".previous") != read(t, "../../testdata/pgnet/save.json") {
		t.Error("the previous file is not what was loaded")
	}
}

func TestLeftovers(t *testing.T) {
	path := sampleFile(t)
	for _, suffix := range pgnetfile.Leftovers {
		write(t, path+suffix, "half")
	}
	write(t, path+".tmp-mine", "not ours")
	open(t, path, pgnetfile.Options{})
	wantNames(t, filepath.Dir(path), "save.json", "save.json.lock", "save.json.tmp-mine")
}
