package sqlite

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// What each connection waits for another program that has the database locked, such as one that makes a copy of it.
const busyTimeout = 5 * time.Second

// conn is a connection with the statements that it has prepared. One goroutine at a time uses it.
type conn struct {
	*sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

// connect opens the database, and does not make it. The connection leaves the log alone when it is closed.
func (s *Store) connect(ctx context.Context, pragmas string) (*conn, error) {
	// What SQLite makes beside it has its mode.
	uri := "file:" + (&url.URL{Path: s.path}).EscapedPath() + "?mode=rw&vfs=" + s.opt.test.vfs + "&modeof=" + url.PathEscape(s.path)
	db, err := sqlite3.OpenContext(ctx, uri)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: db, stmts: make(map[string]*sqlite3.Stmt)}
	_, err = c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	if err == nil {
		err = c.BusyTimeout(busyTimeout)
	}
	if err == nil {
		// What is in the database may be damaged: it gets no functions to call.
		err = c.Exec("PRAGMA trusted_schema = off; PRAGMA cell_size_check = on; " + pragmas)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connection, and its statements with it.
func (c *conn) Close() error {
	if c == nil {
		return nil
	}
	for _, s := range c.stmts {
		s.Close()
	}
	c.stmts = nil
	return c.Conn.Close()
}

// run runs a statement, which is prepared once, and calls row for each row. Arguments are int64, string or []byte; texts are
// bound as blobs.
func (c *conn) run(sql string, row func(*sqlite3.Stmt) error, args ...any) error {
	s := c.stmts[sql]
	if s == nil {
		var err error
		if s, _, err = c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return err
		}
		c.stmts[sql] = s
	}
	if err := bind(s, args); err != nil {
		return err
	}
	var err error
	for err == nil && s.Step() {
		if row != nil {
			err = row(s)
		}
	}
	if failed := s.Reset(); err == nil {
		err = failed
	}
	// A statement keeps a copy of what is bound.
	if failed := s.ClearBindings(); err == nil {
		err = failed
	}
	return err
}

func bind(s *sqlite3.Stmt, args []any) (err error) {
	for i, arg := range args {
		switch arg := arg.(type) {
		case int64:
			err = s.BindInt64(i+1, arg)
		case string:
			err = bindBlob(s, i+1, []byte(arg))
		case []byte:
			err = bindBlob(s, i+1, arg)
		default:
			err = fmt.Errorf("no argument can be a %T", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bindBlob binds bytes; none are an empty blob, and not NULL.
func bindBlob(s *sqlite3.Stmt, param int, b []byte) error {
	if len(b) == 0 {
		return s.BindZeroBlob(param, 0)
	}
	return s.BindBlob(param, b)
}

// number runs a statement whose first column is a number; there tells if it had a row.
func (c *conn) number(sql string, args ...any) (n int64, there bool, err error) {
	err = c.run(sql, func(s *sqlite3.Stmt) error {
		n, there = s.ColumnInt64(0), true
		return nil
	}, args...)
	return n, there, err
}

// rollback ends a transaction that has failed, if SQLite has not done that by itself.
func (c *conn) rollback() {
	if !c.GetAutocommit() {
		_ = c.run("ROLLBACK", nil)
	}
}

// text is a column of text, which is a blob.
func text(s *sqlite3.Stmt, column int) string { return string(s.ColumnRawBlob(column)) }

// blob is a copy of a column.
func blob(s *sqlite3.Stmt, column int) []byte { return s.ColumnBlob(column, nil) }
