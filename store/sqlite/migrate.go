package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// migrations are what made the schema what it is, in the order of their names, which begin with their numbers, from 1 without
// gaps. One that was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// application is what tells a store from other databases (PRAGMA application_id): "Prlr".
const application = 0x50726c72

// steps are the migrations' files.
func steps() []fs.DirEntry {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		panic(err) // it is in the program
	}
	return files
}

// schema is the number of the last migration that a database has had, 0 of one with nothing in it. Errors are ErrDamaged for a
// database of another program, or with nothing in it where there was a store, and ErrNewer.
func (s *Store) schema(c *conn) (version int64, err error) {
	marked := s.marked() // first: another process may just be making it, and marks it then
	var app, tables int64
	// All as of one moment, for the same reason.
	err = c.run("SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version", func(r *sqlite3.Stmt) error {
		app, version, tables = r.ColumnInt64(0), r.ColumnInt64(1), r.ColumnInt64(2)
		return nil
	})
	switch known := int64(len(steps())); {
	case err != nil:
		return 0, err
	case app == 0 && version == 0 && tables == 0:
		if marked {
			return 0, s.damage(errors.New("there was a store, and nothing is in the database: its log is gone, or was cut"))
		}
		return 0, nil
	case app != application || version < 1:
		return 0, s.damage(errors.New("it is the database of another program"))
	case version > known:
		return 0, fmt.Errorf("%w: %s has the schema %d, and this program knows those up to %d; start the version of the program that wrote it, or a later one",
			store.ErrNewer, s.path, version, known)
	}
	return version, nil
}

// migrate brings the schema up to this version, each step in a transaction with the number of it, so that a step is there or not whoever
// is killed, and made once whoever else is at it.
func (s *Store) migrate() error {
	for n, file := range steps() {
		if err := s.step(int64(n), file.Name()); err != nil {
			return err
		}
	}
	return nil
}

// step makes a step if the schema has had so many.
func (s *Store) step(before int64, name string) error {
	c := s.writer
	if version, err := s.schema(c); err != nil || version != before {
		return err
	}
	if err := c.run("BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	defer c.rollback()
	if version, err := s.schema(c); err != nil || version != before { // another process was faster
		return err
	}
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	if err := c.Exec(string(text)); err != nil {
		return fmt.Errorf("migration %s: %w", name, err)
	}
	if err := c.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", application, before+1)); err != nil {
		return err
	}
	return c.run("COMMIT", nil)
}
