package sqlite

import (
	"embed"
	"fmt"
	"io/fs"

	"parlor/store"
)

// migrations are what made the schema what it is, in the order of their names, which begin with their numbers, from 1 without
// gaps. One that was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// application is what tells a store from other databases (PRAGMA application_id): "Prlr".
const application = 0x50726c72

// migrate brings the schema up to this version, each step in a transaction with the number of it, so that a step is there or not whoever
// is killed, and made once whoever else is at it.
func migrate(c *conn, path string) error {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return err
	}
	for {
		if done, err := step(c, path, files); done || err != nil {
			return err
		}
	}
}

// step makes the next step, or tells that all are done.
func step(c *conn, path string, files []fs.DirEntry) (done bool, err error) {
	if version, _, err := c.number("PRAGMA user_version"); err != nil || version == int64(len(files)) {
		return true, err
	}
	if err := c.run("BEGIN IMMEDIATE", nil); err != nil {
		return false, err
	}
	defer c.rollback()
	version, _, err := c.number("PRAGMA user_version") // another process may have been faster
	switch {
	case err != nil:
		return false, err
	case version == int64(len(files)):
		return true, nil
	case version < 0 || version > int64(len(files)):
		return false, newer(path, version, len(files))
	}
	text, err := fs.ReadFile(migrations, "migrations/"+files[version].Name())
	if err != nil {
		return false, err
	}
	if err := c.Exec(string(text)); err != nil {
		return false, fmt.Errorf("migration %s: %w", files[version].Name(), err)
	}
	if err := c.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", application, version+1)); err != nil {
		return false, err
	}
	return false, c.run("COMMIT", nil)
}

func newer(path string, version int64, known int) error {
	return fmt.Errorf("%w: %s has the schema %d, and this program knows those up to %d; start the version of the program that wrote it, or a later one",
		store.ErrNewer, path, version, known)
}
