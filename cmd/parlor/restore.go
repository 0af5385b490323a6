package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"parlor/box"
	"parlor/host"
	"parlor/internal/folder"
	"parlor/store/backup"
)

const restoreHelp = `Put a backup into a store that is empty, or is made by this: a folder, or a PostgreSQL database, whatever kind the
backup is from. The server's key is put back too: into the folder, or into the file of --key, without which it is not
when the store is a PostgreSQL database.

All of FILE is verified before anything is written. If this is ended before its end, no server takes the store; restore
the same again, which begins anew. Only if it is killed while it makes the store may there be an empty one, which a
server would take as new.`

func restoreCommand() *cobra.Command {
	var at, key string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup into an empty store", Long: restoreHelp, Args: oneName("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := host.BindEnv(cmd); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd)
			defer stop()
			if err := restore(ctx, cmd, args[0], at, key); err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			return nil
		},
	}
	storeFlags(cmd, &at, &key)
	return cmd
}

func restore(ctx context.Context, cmd *cobra.Command, file, at, key string) error {
	if err := host.CheckStore(at); err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := backup.Verify(in)
	if errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrForeign) {
		err = fmt.Errorf("%w: nothing of it was taken: look for another copy", err)
	}
	if err != nil {
		return err
	}
	if key == "" {
		key = host.KeyFile(at)
	}
	saved, err := keyToPut(b.Head, key)
	if err != nil {
		return err
	}
	st, err := host.OpenStoreToRestore(ctx, at, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
	if err != nil {
		return err
	}
	err = b.Restore(ctx, st, func() error { return putKey(saved, b.Head, key) })
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "restored %s, of %s, into %s: %s\n", b.Head.From, b.Head.Created.UTC().Format("2006-01-02 15:04:05 UTC"), st.Path(), b.Counts)
	switch {
	case b.Head.Key == "":
		fmt.Fprintln(cmd.ErrOrStderr(), "the server's key is not in the backup: clients that give the old one with --pubkey will refuse this server")
	case key == "":
		fmt.Fprintln(cmd.ErrOrStderr(), "the server's key, which is in the backup, was not put anywhere; to have it, drop what was restored (DROP SCHEMA parlor CASCADE), and restore again with --key FILE, which parlor serve needs too")
	}
	return nil
}

// keyToPut is the backup's key, if it is to be put into the file; nil if there is nothing to do. Another key is in its way.
func keyToPut(head backup.Head, path string) (*box.Key, error) {
	if head.Key == "" || path == "" {
		return nil, nil
	}
	key, err := box.ParseKey(head.Key)
	if err != nil {
		return nil, fmt.Errorf("the server's key in the backup: %w", err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return key, nil
	}
	there, err := box.LoadKey(path)
	if err != nil {
		return nil, err
	}
	if there.Public() != key.Public() {
		return nil, fmt.Errorf("%s has another key than the backup: move it away, with %s, or give another --key", path, host.LoginsFile(path))
	}
	return key, nil
}

// putKey writes the logins that the key's server has seen, and then the key, so that the key is not there without them.
func putKey(key *box.Key, head backup.Head, path string) error {
	if key == nil {
		return nil
	}
	if _, err := os.Stat(path); err == nil { // the same key
		return nil
	}
	if err := folder.Make(filepath.Dir(path)); err != nil {
		return err
	}
	err := replaceFile(host.LoginsFile(path), func(w io.Writer) error {
		_, err := w.Write(head.Logins)
		return err
	})
	if err != nil {
		return err
	}
	return key.Save(path)
}
