-- Texts are blobs: they may hold any bytes, and their lengths count bytes.

CREATE TABLE lease (
	id      INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
	epoch   INTEGER NOT NULL, -- one more for each server that took the store
	holder  TEXT    NOT NULL, -- for people; empty when it was given back
	since   INTEGER NOT NULL, -- milliseconds since 1970
	renewed INTEGER NOT NULL, -- likewise
	number  INTEGER NOT NULL, -- of the last commit
	users   INTEGER NOT NULL  -- how many there are
) STRICT;
INSERT INTO lease VALUES (1, 0, '', 0, 0, 0, 0);

CREATE TABLE users (
	number INTEGER PRIMARY KEY AUTOINCREMENT, -- none is given twice
	name   BLOB NOT NULL UNIQUE,
	folded BLOB NOT NULL,
	secret BLOB NOT NULL
) STRICT;
CREATE INDEX users_by_folded ON users (folded);

CREATE TABLE invites (
	number  INTEGER PRIMARY KEY AUTOINCREMENT,
	code    BLOB NOT NULL UNIQUE,
	user    BLOB NOT NULL,
	expires INTEGER NOT NULL,
	uses    INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
	name  BLOB PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE games (
	number  INTEGER PRIMARY KEY,
	name    BLOB NOT NULL UNIQUE,
	kind    BLOB NOT NULL,
	secret  BLOB NOT NULL,
	creator BLOB NOT NULL,
	durable INTEGER NOT NULL
) STRICT;

CREATE TABLE saves (
	game    INTEGER PRIMARY KEY,
	entry   INTEGER NOT NULL,
	version INTEGER NOT NULL,
	room    BLOB NOT NULL,
	data    BLOB NOT NULL
) STRICT;

-- The end of all journals, in the order in which they were written: a row for each commit that appended to some. See recent.go.
CREATE TABLE recent (
	number INTEGER PRIMARY KEY, -- of the commit
	data   BLOB NOT NULL        -- notes
) STRICT;

-- What is before, in rows of many pieces. Those that are made together stand together, whichever games they are of; the row that has
-- an entry is found by its last one.
CREATE TABLE journal (
	number INTEGER PRIMARY KEY,
	game   INTEGER NOT NULL,
	last   INTEGER NOT NULL,
	before INTEGER NOT NULL, -- entries of the row before its last
	data   BLOB NOT NULL,    -- for each piece how many entries it has besides its last, how many bytes, and these
	UNIQUE (game, last)
) STRICT;

CREATE TABLE sessions (
	id     BLOB PRIMARY KEY,
	user   BLOB NOT NULL,
	key    BLOB NOT NULL,
	game   INTEGER NOT NULL,
	tokens BLOB NOT NULL -- each behind its length, as a varint
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_game ON sessions (game);
