package folder_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parlor/internal/folder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMake looks at which folders are synced: those above each that was made, and the one above the last that was there.
func TestMake(t *testing.T) {
	t.Chdir(t.TempDir())
	failed := errors.New("failed")
	for _, step := range []struct {
		what, dir string
		err       error // of syncing
		want      error
		synced    []string
	}{
		{"several levels", "a/b/c", nil, nil, []string{".", ".", "a", "a/b"}},
		{"it is there", "a/b/c", nil, nil, []string{"a/b"}},
		{"a slash behind it", "d/", nil, nil, []string{".", "."}},
		{"a slash behind it, and it is there", "d/", nil, nil, []string{"."}},
		{"not synced", "e/f", failed, failed, []string{".", "."}},
		{"made after that", "e/f", nil, nil, []string{".", "e"}},
		{"one that was there cannot be synced", "e/f", failed, nil, []string{"e"}},
		{"one that may not be looked into", "e/g", fs.ErrPermission, nil, []string{".", "e"}},
		{"the folder of the process", ".", nil, nil, []string{"."}},
	} {
		var synced []string
		err := folder.MakeWith(step.dir, func(dir string) error {
			synced = append(synced, filepath.ToSlash(dir))
			return step.err
		})
		if !errors.Is(err, step.want) || !cmp.Equal(synced, step.synced) {
			t.Errorf("%s: synced %q, error %v; want %q, %v", step.what, synced, err, step.synced, step.want)
		}
		if info, err := os.Stat(step.dir); step.want == nil && (err != nil || !info.IsDir()) {
			t.Errorf("%s: it is not there: %v", step.what, err)
		}
	}
}

func TestMakeRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "a"), filepath.Join(file, "a", "b")} {
		if err := folder.Make(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
}

func TestSync(t *testing.T) {
	dir := t.TempDir()
	if err := folder.Sync(dir); err != nil {
		t.Error(err)
	}
	if err := folder.Make(filepath.Join(dir, "a", "b")); err != nil {
		t.Error(err)
	}
}
