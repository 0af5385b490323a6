//go:build linux

package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parlor/internal/disktest"
)

// TestFullDisk fills the disk under load, and makes room again. Now and then the server is killed while it is full.
func TestFullDisk(t *testing.T) {
	dir := disktest.New(t, t.TempDir(), "48m").Dir
	filler := filepath.Join(dir, "filler")
	w := newWorld(t, seed(t), newHost(t, "--store", filepath.Join(dir, "data")))
	r := w.rand("disk")
	w.populate(3)
	w.up()
	for round := range *roundsFlag {
		w.wrong(w.look(r))
		refused := w.refusals()
		if err := fill(filler); err != nil {
			t.Fatal(err)
		}
		w.wrong(w.await(patience, "requests are refused on each wire", func() bool { return w.refusedSince(refused) }))
		w.ended(fmt.Sprintf("with the disk full for time %d", round+1))
		if round%2 == 1 {
			w.kill()
			w.start()
			// It may run, and refuse what it cannot store, or say why it does not.
			if err := w.server.await(patience); err != nil && !strings.Contains(w.server.out.String(), "make room") {
				w.wrong(fmt.Errorf("on a full disk: %w", err))
			}
			w.pause(time.Duration(r.Int64N(int64(time.Second))))
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.server.done:
			w.up()
		default:
		}
	}
	w.wrong(w.look(r))
	w.wrong(w.server.stop())
	w.ended("when there was room again")
	w.finish()
}

// fill writes a file until there is no room left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return nil
}

// TestReadOnlyDisk starts a server where nothing can be written, and then where it can. A disk on which files are open does not
// become read-only.
func TestReadOnlyDisk(t *testing.T) {
	small := disktest.New(t, t.TempDir(), "48m")
	dir := small.Dir
	w := newWorld(t, seed(t), newHost(t, "--store", filepath.Join(dir, "data")))
	r := w.rand("disk")
	w.populate(2)
	w.up()
	for range *roundsFlag {
		w.wrong(w.look(r))
		w.kill()
		small.Change("48m", true)
		w.start()
		if err := w.server.await(patience); err == nil || !strings.Contains(w.server.out.String(), "another folder") {
			w.wrong(fmt.Errorf("on a read-only disk the server has ended with %v", err))
		}
		small.Change("48m", false)
		w.up()
		w.ended("on a disk that was read-only")
	}
	w.wrong(w.look(r))
	w.wrong(w.server.stop())
	w.ended("when the disk could be written again")
	w.finish()
}
