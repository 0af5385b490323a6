package box_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parlor/box"
)

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new folder", "server.key")
	first, err := box.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	again, err := box.LoadKey(path)
	if err != nil || again.Public() != first.Public() {
		t.Errorf("loaded again: %v, error %v, want the key %s", again, err, first.Public())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files beside the key: %v, error %v", entries, err)
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	good := "vlM7knecHTxTvRjqezHRBealkqP99AWmkFH9GvupUCc=\n"
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		says string
	}{
		"readable by others":   {good, 0o604, "chmod 600"},
		"readable by a group":  {good, 0o640, "chmod 600"},
		"empty":                {"", 0o600, "damaged"},
		"cut":                  {good[:20], 0o600, "damaged"},
		"not base64":           {"this is no key at all, but 44 characters long", 0o600, "damaged"},
		"two keys in one file": {good + good, 0o600, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server.key")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := box.LoadKey(path)
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names the file and says %q", err, test.says)
			}
			if test.says == "damaged" && !errors.Is(err, box.ErrBadKey) {
				t.Errorf("error %v, want ErrBadKey", err)
			}
			if got, _ := os.ReadFile(path); string(got) != test.text {
				t.Errorf("the file now holds %q", got)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := box.LoadKey(t.TempDir()); err == nil {
			t.Error("no error")
		}
	})
	t.Run("in no folder", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := box.LoadKey(filepath.Join(file, "key")); err == nil {
			t.Error("no error")
		}
	})
}

// TestLoadKeyAtOnce: of servers that start at the same moment, all have the same key.
func TestLoadKeyAtOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "server.key")
		keys := make([]string, 16)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				k, err := box.LoadKey(path)
				if err != nil {
					t.Error(err)
					return
				}
				keys[i] = k.Public()
			})
		}
		wg.Wait()
		for _, k := range keys {
			if k != keys[0] {
				t.Fatalf("keys %v", keys)
			}
		}
	}
}

// TestKeyFileWithoutLinks: also where there are no hard links, a key file is never overwritten.
func TestKeyFileWithoutLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	if err := box.WriteExclusive(path, "vlM7knecHTxTvRjqezHRBealkqP99AWmkFH9GvupUCc=\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := box.LoadKey(path); err != nil { // it looks at the mode too
		t.Error(err)
	}
	before, _ := os.ReadFile(path)
	if err := box.WriteExclusive(path, "other"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want one that the file exists", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("the file now holds %q", after)
	}
}
