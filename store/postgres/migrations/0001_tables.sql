-- All texts are bytea, as a text of PostgreSQL holds neither zero bytes nor what is not UTF-8:
-- convert_from(name, 'UTF8') shows them. Names are found by hashes, as a B-tree takes only short ones.

-- One row for each server that has had the store; the last one has it, unless ended is set.
CREATE TABLE lease (
	epoch  bigint PRIMARY KEY,
	holder bytea NOT NULL,
	since  timestamptz NOT NULL,
	ended  timestamptz,
	commit bigint NOT NULL -- number of its last commit
);

CREATE TABLE users (
	number bigint PRIMARY KEY,
	name   bytea NOT NULL,
	folded bytea NOT NULL,
	secret bytea NOT NULL,
	EXCLUDE USING hash (name WITH =)
);
CREATE INDEX users_folded ON users USING hash (folded);

-- The highest number that a user has had.
CREATE TABLE last_user (number bigint NOT NULL);
INSERT INTO last_user VALUES (0);

CREATE TABLE invites (
	number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	code    bytea NOT NULL,
	name    bytea NOT NULL,
	expires bigint NOT NULL,
	uses    bigint NOT NULL,
	EXCLUDE USING hash (code WITH =)
);

CREATE TABLE settings (
	name  bytea NOT NULL,
	value bytea NOT NULL,
	EXCLUDE USING hash (name WITH =)
);

CREATE TABLE games (
	number  bigint PRIMARY KEY,
	name    bytea NOT NULL,
	kind    bytea NOT NULL,
	secret  bytea NOT NULL,
	creator bytea NOT NULL,
	durable boolean NOT NULL,
	EXCLUDE USING hash (name WITH =)
);

CREATE TABLE saves (
	game    bigint PRIMARY KEY,
	entry   bigint NOT NULL,
	version bigint NOT NULL,
	data    bytea NOT NULL,
	room    bytea NOT NULL
);

CREATE TABLE journal (
	game  bigint,
	first bigint,
	last  bigint NOT NULL,
	data  bytea NOT NULL,
	PRIMARY KEY (game, first)
);

CREATE TABLE sessions (
	id     bytea NOT NULL,
	name   bytea NOT NULL,
	key    bytea NOT NULL,
	game   bigint NOT NULL,
	tokens bytea NOT NULL, -- each behind its length, a uvarint
	EXCLUDE USING hash (id WITH =)
);
CREATE INDEX sessions_game ON sessions (game);

-- The functions are the changes. Each takes many of its kind, as arrays, in the order in which they are to be made. An error
-- of class PL ends the transaction: PL001 is store.ErrConflict, PL002 store.ErrFenced.

-- begin_commit is the first call of each transaction of the server with this epoch. The row stays locked until its end, so
-- that one is under way at a time, whatever has become of the connections of others.
CREATE FUNCTION begin_commit(my_epoch bigint, known bigint, next bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lease SET commit = next WHERE epoch = my_epoch AND commit = known AND ended IS NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the lease is not as this server left it' USING ERRCODE = 'PL002';
	END IF;
END $$;

-- settle waits for a commit of unknown outcome, and returns the number of the last one that is there. If that is not the
-- unknown one it never will be: the number is raised, so that a transaction that comes late finds another one than it knows.
CREATE FUNCTION settle(my_epoch bigint, known bigint, unknown bigint, next bigint, OUT number bigint, OUT fenced boolean) LANGUAGE plpgsql AS $$
BEGIN
	SELECT l.commit, l.ended IS NOT NULL INTO number, fenced FROM lease l WHERE l.epoch = my_epoch FOR UPDATE;
	IF NOT FOUND OR number < known THEN
		RAISE EXCEPTION 'the database is an older one than this server knows: it went back to a backup, or over to a replica that lagged behind'
			USING ERRCODE = 'PL002';
	END IF;
	IF number <> unknown AND NOT fenced THEN
		UPDATE lease l SET commit = next WHERE l.epoch = my_epoch;
		number := next;
	END IF;
END $$;

CREATE FUNCTION put_users(names bytea[], folds bytea[], secrets bytea[], numbers bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	u record;
	had bigint;
	gets bigint;
	highest bigint;
BEGIN
	SELECT l.number INTO highest FROM last_user l;
	FOR u IN SELECT * FROM unnest(names, folds, secrets, numbers) AS t(name, folded, secret, number) LOOP
		SELECT users.number INTO had FROM users WHERE users.name = u.name;
		gets := CASE WHEN u.number <> 0 THEN u.number ELSE coalesce(had, highest + 1) END;
		IF gets IS DISTINCT FROM had AND EXISTS (SELECT FROM users WHERE users.number = gets) THEN
			RAISE EXCEPTION 'another user has the number %', gets USING ERRCODE = 'PL001';
		END IF;
		IF had IS NULL THEN
			INSERT INTO users VALUES (gets, u.name, u.folded, u.secret);
		ELSE
			UPDATE users SET number = gets, folded = u.folded, secret = u.secret WHERE users.number = had;
		END IF;
		highest := greatest(highest, gets);
	END LOOP;
	UPDATE last_user SET number = highest WHERE number < highest;
END $$;

CREATE FUNCTION delete_users(names bytea[]) RETURNS void LANGUAGE sql AS $$
	DELETE FROM users WHERE name = ANY (names);
$$;

CREATE FUNCTION put_invites(codes bytea[], names bytea[], ends bigint[], lefts bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i record;
BEGIN
	FOR i IN SELECT * FROM unnest(codes, names, ends, lefts) AS t(code, name, expires, uses) LOOP
		UPDATE invites SET name = i.name, expires = i.expires, uses = i.uses WHERE code = i.code;
		IF NOT FOUND THEN
			INSERT INTO invites (code, name, expires, uses) VALUES (i.code, i.name, i.expires, i.uses);
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION delete_invites(codes bytea[]) RETURNS void LANGUAGE sql AS $$
	DELETE FROM invites WHERE code = ANY (codes);
$$;

CREATE FUNCTION put_settings(names bytea[], new bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT * FROM unnest(names, new) AS t(name, value) LOOP
		DELETE FROM settings WHERE name = s.name;
		IF s.value <> '' THEN
			INSERT INTO settings VALUES (s.name, s.value);
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION put_games(numbers bigint[], names bytea[], kinds bytea[], secrets bytea[], creators bytea[], durables boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	g record;
	other bigint;
BEGIN
	FOR g IN SELECT * FROM unnest(numbers, names, kinds, secrets, creators, durables) AS t(number, name, kind, secret, creator, durable) LOOP
		SELECT number INTO other FROM games WHERE name = g.name;
		IF other <> g.number THEN
			RAISE EXCEPTION 'game % has the name of game %', other, g.number USING ERRCODE = 'PL001';
		END IF;
		INSERT INTO games VALUES (g.number, g.name, g.kind, g.secret, g.creator, g.durable)
		ON CONFLICT (number) DO UPDATE SET name = g.name, kind = g.kind, secret = g.secret, creator = g.creator, durable = g.durable;
	END LOOP;
END $$;

CREATE FUNCTION delete_games(numbers bigint[]) RETURNS void LANGUAGE sql AS $$
	DELETE FROM sessions WHERE game = ANY (numbers);
	DELETE FROM journal WHERE game = ANY (numbers);
	DELETE FROM saves WHERE game = ANY (numbers);
	DELETE FROM games WHERE number = ANY (numbers);
$$;

-- tail is the last entry of a game, in its journal or its save; null if it has neither.
CREATE FUNCTION tail(of_game bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT greatest(
		(SELECT entry FROM saves WHERE game = of_game),
		(SELECT last FROM journal WHERE game = of_game ORDER BY first DESC LIMIT 1));
$$;

CREATE FUNCTION put_saves(games bigint[], entries bigint[], versions bigint[], datas bytea[], rooms bytea[], keeps boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	s record;
	before bigint;
	after bigint;
BEGIN
	FOR s IN SELECT * FROM unnest(games, entries, versions, datas, rooms, keeps) AS t(game, entry, version, data, room, keep) LOOP
		IF NOT EXISTS (SELECT FROM games WHERE number = s.game) THEN
			RAISE EXCEPTION 'a save of game %, which is not there', s.game USING ERRCODE = 'PL001';
		END IF;
		before := coalesce((SELECT entry FROM saves WHERE game = s.game), 0);
		after := tail(s.game);
		IF s.entry < before OR s.entry > after THEN
			RAISE EXCEPTION 'a save of game % with entry %, not one from % to %', s.game, s.entry, before, after USING ERRCODE = 'PL001';
		END IF;
		INSERT INTO saves VALUES (s.game, s.entry, s.version, s.data, s.room)
		ON CONFLICT (game) DO UPDATE SET entry = s.entry, version = s.version, data = s.data, room = s.room;
		IF NOT s.keep THEN
			DELETE FROM journal WHERE game = s.game AND first <= s.entry AND last <= s.entry;
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION append(game_numbers bigint[], firsts bigint[], lasts bigint[], datas bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	wrong record;
BEGIN
	SELECT * INTO wrong FROM (
		SELECT p.game, p.first, p.last, p.n, g.number IS NOT NULL AS there, coalesce(
			p.previous,
			greatest( -- as in tail, which costs twice as much when it is called
				(SELECT entry FROM saves WHERE game = p.game),
				(SELECT j.last FROM journal j WHERE j.game = p.game ORDER BY j.first DESC LIMIT 1)),
			p.first - 1) AS tail
		FROM (
			SELECT *, lag(last) OVER (PARTITION BY game ORDER BY n) AS previous
			FROM unnest(game_numbers, firsts, lasts) WITH ORDINALITY AS t(game, first, last, n)
		) p LEFT JOIN games g ON g.number = p.game
	) q WHERE NOT q.there OR q.first < 1 OR q.first <> q.tail + 1 OR q.last < q.first ORDER BY q.n LIMIT 1;
	IF NOT FOUND THEN
		INSERT INTO journal SELECT * FROM unnest(game_numbers, firsts, lasts, datas);
	ELSIF NOT wrong.there THEN
		RAISE EXCEPTION 'the journal of game %, which is not there', wrong.game USING ERRCODE = 'PL001';
	ELSE
		RAISE EXCEPTION 'entries % to % of game % behind entry %', wrong.first, wrong.last, wrong.game, wrong.tail USING ERRCODE = 'PL001';
	END IF;
END $$;

CREATE FUNCTION put_sessions(ids bytea[], names bytea[], keys bytea[], game_numbers bigint[], hashes bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT * FROM unnest(ids, names, keys, game_numbers, hashes) AS t(id, name, key, game, tokens) LOOP
		IF NOT EXISTS (SELECT FROM games WHERE number = s.game) THEN
			RAISE EXCEPTION 'a session in game %, which is not there', s.game USING ERRCODE = 'PL001';
		END IF;
		UPDATE sessions SET name = s.name, key = s.key, game = s.game, tokens = s.tokens WHERE id = s.id;
		IF NOT FOUND THEN
			INSERT INTO sessions VALUES (s.id, s.name, s.key, s.game, s.tokens);
		END IF;
	END LOOP;
END $$;

CREATE FUNCTION delete_sessions(ids bytea[]) RETURNS void LANGUAGE sql AS $$
	DELETE FROM sessions WHERE id = ANY (ids);
$$;
