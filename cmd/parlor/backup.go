package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"parlor/box"
	"parlor/host"
	"parlor/internal/folder"
	"parlor/internal/lockfile"
	"parlor/store"
	"parlor/store/backup"
)

const backupHelp = `Write all that a server keeps into one file, as of one moment, also while the server runs: users, invite codes, settings,
games with their saves and journals, and the server's key. FILE is replaced when all of it is there, and not before; - is
standard output.

Who has the file has the key, and can try passwords on their hashes: keep it private. parlor restore puts it back, also
into another kind of store.`

// storeFlags are the flags of commands that work on a store and its key.
func storeFlags(cmd *cobra.Command, at, key *string) {
	host.StoreFlag(cmd, at)
	if key != nil {
		cmd.Flags().StringVar(key, "key", "", "the server's key file (default: server.key in the store's folder)")
	}
}

// untilSignal is a command's context, which a signal ends. A second one ends the program at once: it may be held up where no context helps, such
// as by a pipe that nobody reads.
func untilSignal(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func backupCommand() *cobra.Command {
	var at, key string
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write all that a server keeps into a file, while it runs", Long: backupHelp, Args: oneName("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := host.BindEnv(cmd); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd)
			defer stop()
			return makeBackup(ctx, cmd, args[0], at, key)
		},
	}
	storeFlags(cmd, &at, &key)
	return cmd
}

func makeBackup(ctx context.Context, cmd *cobra.Command, file, at, key string) error {
	st, err := host.ReadStore(ctx, at)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: name the server's with --store", err)
	}
	if err != nil {
		return err
	}
	defer st.Close()
	if err := spare(file, at, key); err != nil {
		return err
	}
	head := backup.Head{Created: time.Now(), From: st.Path()}
	if err := readKey(&head, at, key); err != nil {
		return err
	}
	if head.Key == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "the server's key is not in this backup, as it is not beside the store: give --key FILE, if the server has one")
	}
	var counts backup.Counts
	write := func(w io.Writer) (err error) {
		counts, err = backup.Write(w, head, st.Export(ctx))
		return err
	}
	out := cmd.OutOrStdout()
	if file == "-" {
		if terminalFile(out) != nil {
			return errors.New("a backup is not for a terminal: give a FILE, or send it on with a pipe")
		}
		err, out = write(out), cmd.ErrOrStderr()
	} else {
		err = replaceFile(file, write)
	}
	if err != nil {
		return fmt.Errorf("backup of %s: %w", st.Path(), err)
	}
	fmt.Fprintf(out, "backup of %s: %s; %d bytes\n", st.Path(), counts, counts.Bytes)
	return nil
}

// readKey reads the key file, and the logins beside it. Only a file that was asked for must be there.
func readKey(head *backup.Head, at, key string) error {
	asked := key != ""
	if !asked {
		if key = host.KeyFile(at); key == "" {
			return nil
		}
	}
	text, err := os.ReadFile(key)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the server's key: %w", err)
	}
	head.Key = string(bytes.TrimSpace(text))
	if _, err := box.ParseKey(head.Key); err != nil { // before restore finds it, when there may be no other copy
		return fmt.Errorf("the server's key, %s: %w: restore that file from a copy, or name another with --key", key, err)
	}
	head.Logins, err = os.ReadFile(host.LoginsFile(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the logins that the server has seen: %w", err)
	}
	return nil
}

// spare refuses a name for a new file that is one of the server's own: of its store, of its key, or of what stands beside that. Key may be empty.
func spare(file, at, key string) error {
	own := host.StoreFiles(at)
	if key != "" {
		own = append(own, key, host.LoginsFile(key))
	}
	info, _ := os.Stat(file)
	folder, _ := os.Stat(filepath.Dir(file))
	for _, path := range own {
		there, _ := os.Stat(path)
		beside, _ := os.Stat(filepath.Dir(path))
		if os.SameFile(info, there) || filepath.Base(file) == filepath.Base(path) && os.SameFile(folder, beside) {
			return fmt.Errorf("%s is a file that the server needs: choose another name", file)
		}
	}
	return nil
}

// What is behind the name of a file while it is written, and then some digits.
const unfinishedSuffix = ".unfinished-"

// replaceFile makes or replaces a file, for its owner alone, when all of it is written and on the disk. It removes what those have left who
// were killed before that, as there may be a key in it.
func replaceFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file: choose another name", path)
	}
	removeUnfinished(path)
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+unfinishedSuffix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // unless it was renamed
	if lock, err := lockfile.Acquire(tmp.Name()); err == nil && lock != nil {
		defer lock.Close() // until here nobody else removes it
	}
	if err = write(tmp); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	if err := folder.Sync(dir); err != nil && !errors.Is(err, fs.ErrPermission) { // one may put files where one may not look
		return err
	}
	return nil
}

// removeUnfinished removes what was to become a file, and nobody writes any more: nobody has it locked, a minute after it was last written.
// Where files have no locks that cannot be told, and all are left.
func removeUnfinished(path string) {
	prefix := filepath.Base(path) + unfinishedSuffix
	files, _ := os.ReadDir(filepath.Dir(path)) // what is wrong with it, who makes a file there is told
	for _, f := range files {
		digits, found := strings.CutPrefix(f.Name(), prefix)
		info, err := f.Info()
		if !found || digits == "" || strings.Trim(digits, "0123456789") != "" || err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		name := filepath.Join(filepath.Dir(path), f.Name())
		if lock, err := lockfile.Acquire(name); err == nil && lock != nil {
			_ = os.Remove(name) // else the next one does
			lock.Close()
		}
	}
}
