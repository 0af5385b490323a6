package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parlor/store"
	"parlor/store/backup"
	"parlor/store/pgnetfile"
	"parlor/store/postgres"
	"parlor/store/sqlite"
)

const (
	// DefaultStore is the folder in which a server program keeps everything, if nothing else is said.
	DefaultStore = "parlor-data"
	// MemoryStore is the place of a store that ends with the process.
	MemoryStore = "memory"

	keyName      = "server.key" // in the store's folder
	databaseName = "parlor.db"  // likewise
	standbyEvery = time.Second
)

// StoreFlag gives a command the flag --store, with DefaultStore as its default.
func StoreFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "store", DefaultStore, "where users, games and all else is kept: a folder, or postgres://USER@HOST/DATABASE (its password as PGPASSWORD, "+
		"or in ~/.pgpass)")
}

// KeyFile is where a server keeps its key that has its store at a place, if it is not told otherwise: in the store's folder. Empty: nowhere.
func KeyFile(at string) string {
	if !isFolder(at) {
		return ""
	}
	return filepath.Join(at, keyName)
}

// LoginsFile is where a server keeps the logins that it has seen, so that they are not taken twice: beside its key file.
func LoginsFile(key string) string { return key + ".logins" }

// StoreFiles are the paths of the files that a server with its store at a place needs, with its key file, if it is not told otherwise. A database of
// PostgreSQL has others of its own.
func StoreFiles(at string) []string {
	if !isFolder(at) {
		return nil
	}
	key := KeyFile(at)
	return append(sqlite.Files(at), key, LoginsFile(key))
}

// isFolder tells whether a store's place is a folder.
func isFolder(at string) bool { return at != "" && at != MemoryStore && !strings.Contains(at, "://") }

// CheckStore is what is wrong with a place at which OpenStore and ReadStore open nothing, whatever is there: it is empty, MemoryStore, which is
// within one server and ends with it, a file, or a URL of no store that there is. They say it too; who has much to do before asks here.
func CheckStore(at string) error {
	scheme, _, _ := strings.Cut(at, "://")
	switch {
	case at == "":
		return fmt.Errorf("--store is empty: give a folder such as %s, or postgres://USER@HOST/DATABASE", DefaultStore)
	case at == MemoryStore:
		return errors.New("--store memory is within one server, and would be gone at once: give a folder, or postgres://USER@HOST/DATABASE")
	case isFolder(at) && (strings.HasPrefix(at, "postgres:") || strings.HasPrefix(at, "postgresql:")): // it may have a password in it
		return errors.New("--store postgres:...: a database is given as postgres://USER@HOST/DATABASE, and a folder of that name as ./postgres:NAME")
	case isFolder(at):
		return checkFolder(at)
	case scheme != "postgres" && scheme != "postgresql":
		return fmt.Errorf("--store %s://...: there are no such stores: try a folder, or postgres://USER@HOST/DATABASE", scheme)
	}
	return nil
}

// OpenStore opens the store at a place, a folder or a database as Config.Store says, for this process alone; it is made if it is not there. Errors
// are that of CheckStore and those of the stores, for errors.Is: store.ErrInUse and so on, and backup.ErrUnfinished for a store with a part of a
// backup only. They have no secrets in them. What is there is not changed then.
func OpenStore(ctx context.Context, at string, logger *slog.Logger) (store.Store, error) {
	st, err := openPlace(ctx, at, logger)
	if err != nil {
		return nil, err
	}
	return finished(ctx, st)
}

// OpenStoreToRestore is OpenStore also for a store with a part of a backup only.
func OpenStoreToRestore(ctx context.Context, at string, logger *slog.Logger) (store.Store, error) {
	return openPlace(ctx, at, logger)
}

// ReadStore opens the store at a place for reading, also while a server has it, which goes on. It must be there: else the error is store.ErrNotFound.
// Other errors are those of OpenStore, but for store.ErrInUse.
func ReadStore(ctx context.Context, at string) (st store.Store, err error) {
	if err := CheckStore(at); err != nil {
		return nil, err
	}
	if isFolder(at) {
		st, err = opened(sqlite.OpenReadOnly(ctx, at, sqlite.Options{}))
	} else {
		st, err = opened(postgres.OpenReadOnly(ctx, at, postgres.Options{}))
	}
	if err != nil {
		return nil, err
	}
	return finished(ctx, st)
}

// finished refuses a store with a part of a backup only, and closes it.
func finished(ctx context.Context, st store.Store) (store.Store, error) {
	settings, err := st.Settings(ctx)
	if err == nil {
		err = backup.Unfinished(settings)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", st.Path(), err), st.Close())
	}
	return st, nil
}

func openPlace(ctx context.Context, at string, logger *slog.Logger) (store.Store, error) {
	if err := CheckStore(at); err != nil {
		return nil, err
	}
	if isFolder(at) {
		return opened(sqlite.Open(ctx, at, sqlite.Options{Logger: logger}))
	}
	return opened(postgres.Open(ctx, at, postgres.Options{}))
}

// opened is a store without a nil of its type in it.
func opened[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkFolder says what is wrong with a folder's name if something else has it.
func checkFolder(at string) error {
	info, err := os.Stat(at)
	if err != nil || info.IsDir() {
		return nil // what is wrong with it, the store says
	}
	return fmt.Errorf("--store %s: this is a file, and not a folder: choose another; if it is pgnet's save file, serve it with --save %[1]s, "+
		"or take it over with parlor save import %[1]s", at)
}

// isThere tells whether there is a file.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// openStore opens what the configuration says, and looks at the settings in it.
func (s *Server) openStore(ctx context.Context) error {
	st, err := s.awaitStore(ctx)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, st)
	s.store = st
	settings, err := st.Settings(ctx)
	if err != nil {
		return err
	}
	s.fresh, s.hasAdmin = len(settings) == 0, settings[store.SettingAdmin] != ""
	if s.fresh && s.cfg.Store == DefaultStore {
		s.mentionSaves()
	}
	return nil
}

// awaitStore opens the store, and as a standby waits for it. One in memory is this server's own.
func (s *Server) awaitStore(ctx context.Context) (store.Store, error) {
	if s.cfg.SaveFile != "" {
		// As text a save takes up to eight times its bytes. A smaller limit than the file's own would stop registrations.
		most := max(1<<30, 8*int64(s.cfg.Limits.SavesSize))
		return opened(pgnetfile.OpenStore(s.cfg.SaveFile, pgnetfile.Options{Logger: s.cfg.Logger, MaxSize: most}))
	}
	if s.cfg.Store == MemoryStore {
		return new(store.Memory), nil
	}
	for waiting := false; ; waiting = true {
		st, err := OpenStore(ctx, s.cfg.Store, s.cfg.Logger)
		inUse := errors.Is(err, store.ErrInUse)
		switch {
		case inUse && !s.cfg.Standby:
			return nil, fmt.Errorf("%w; to have this server wait until that one has ended, and take over, give --standby", err)
		case inUse && !waiting:
			s.cfg.Logger.Info("standby: another server has the store; this one takes over when that has ended", "why", err)
		case !inUse && (!waiting || !errors.Is(err, store.ErrUnavailable)):
			return st, err
		}
		select {
		case <-time.After(standbyEvery):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the store: %w", ctx.Err())
		}
	}
}

// mentionSaves tells who starts with nothing that there are save files of servers that were started with --save.
func (s *Server) mentionSaves() {
	keys, _ := filepath.Glob("*.key") // the pattern is good
	for _, key := range keys {
		if save := strings.TrimSuffix(key, ".key"); isThere(save) {
			s.cfg.Logger.Warn("this server starts with nothing, and there is a save file here, perhaps of it: end the server, delete "+DefaultStore+
				", and take the file over with parlor save import, or serve it with --save", "file", save)
		}
	}
}
