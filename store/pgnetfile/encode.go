package pgnetfile

import (
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"

	"parlor/internal/pyjson"
	"parlor/internal/snapshot"
)

// place is an entry of one of the file's lists.
type place struct {
	list  string
	index int
}

// key names a member of the entry, or the entry, for people.
func (p place) key(name string) string {
	key := p.list + "[" + strconv.Itoa(p.index) + "]"
	if name == "" {
		return key
	}
	return key + "." + name
}

// gamesText is what the file says of games. It is kept from one Save to the next: saves are most of a file and
// change at intervals, but each registration writes them again.
type gamesText struct {
	of    []snapshot.Game // nil before the first
	list  []byte
	exact []byte // the table of the saves that are not text; empty if there are none
}

// update makes the texts of the games, unless they are of the same ones. Comparing is cheap where nothing has
// changed, as the saves are in the same place then.
func (t *gamesText) update(games []snapshot.Game) {
	if t.of != nil && slices.Equal(t.of, games) {
		return
	}
	t.of = append(make([]snapshot.Game, 0, len(games)), games...)
	t.list = slices.Grow(t.list[:0], estimate(snapshot.Snapshot{Games: games}))
	t.list = appendList(t.list, games, func(b []byte, g snapshot.Game) []byte {
		return appendEntry(b, gameKeys, g.Name, g.Password, g.Data)
	})
	exact := slices.DeleteFunc(slices.Clone(games), func(g snapshot.Game) bool { return isText(g.Data) })
	if t.exact = t.exact[:0]; len(exact) > 0 {
		t.exact = appendTable(t.exact, indent, len(exact), func(i int) (string, string) {
			return exact[i].Name, base64.StdEncoding.EncodeToString([]byte(exact[i].Data))
		})
	}
}

// snapshot is the file as Python's json.dumps(file, indent=4) would write it, in pieces: it is not copied
// together, as it may be large.
func (t *gamesText) snapshot(s snapshot.Snapshot) [][]byte {
	t.update(s.Games)
	head, tail := appendHead(nil, s), appendTail(nil, s, t.exact)
	return [][]byte{head, t.list, tail}
}

func appendHead(b []byte, s snapshot.Snapshot) []byte {
	b = slices.Grow(b, estimate(snapshot.Snapshot{Users: s.Users}))
	b = append(b, "{\n    \"users\": "...)
	b = appendList(b, s.Users, func(b []byte, u snapshot.User) []byte {
		return appendEntry(b, userKeys, u.Name, u.Salt, u.Hash)
	})
	return append(b, ",\n    \"games\": "...)
}

func appendTail(b []byte, s snapshot.Snapshot, exact []byte) []byte {
	b = append(b, ",\n    \"registration\": "...)
	b = strconv.AppendBool(b, s.Registration)
	b = append(b, ",\n    \"invite_codes\": "...)
	b = appendTable(b, "\n    ", len(s.Invites), func(i int) (string, string) {
		return s.Invites[i].Code, s.Invites[i].User
	})
	b = appendParlor(b, s, exact)
	return append(b, "\n}"...)
}

// estimate is about the size of the file, a little more if nothing is escaped: growing a large one by and by
// would copy it several times.
func estimate(s snapshot.Snapshot) int {
	const entry, line = 110, 20 // what is around the texts
	n := 200
	for _, u := range s.Users {
		n += entry + len(u.Name) + len(u.Salt) + len(u.Hash)
	}
	for _, g := range s.Games {
		n += entry + len(g.Name) + len(g.Password) + len(g.Data)
	}
	for _, v := range s.Invites {
		n += line + len(v.Code) + len(v.User)
	}
	return n
}

func appendList[T any](b []byte, list []T, element func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return append(b, "[]"...)
	}
	sep := "[\n        "
	for _, v := range list {
		b = append(b, sep...)
		b = element(b, v)
		sep = ",\n        "
	}
	return append(b, "\n    ]"...)
}

func appendEntry(b []byte, names []string, texts ...string) []byte {
	sep := "{\n            \""
	for i, name := range names {
		b = append(b, sep...)
		b = append(b, name...)
		b = append(b, "\": "...)
		b = pyjson.AppendString(b, texts[i])
		sep = ",\n            \""
	}
	return append(b, "\n        }"...)
}

// appendTable appends an object of n texts; end is the line feed and indent before its closing brace.
func appendTable(b []byte, end string, n int, at func(i int) (key, value string)) []byte {
	if n == 0 {
		return append(b, "{}"...)
	}
	b = append(b, '{')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		key, value := at(i)
		b = append(append(b, end...), "    "...)
		b = append(pyjson.AppendString(b, key), ": "...)
		b = pyjson.AppendString(b, value)
	}
	return append(append(b, end...), '}')
}

// indent is that of a table's end in what pgnet has no place for.
const indent = "\n        "

// appendParlor appends what pgnet has no place for, if there is any.
func appendParlor(b []byte, s snapshot.Snapshot, exact []byte) []byte {
	var kinds, expires, creators, versions table
	for _, g := range s.Games {
		if g.Kind != "" {
			kinds.add(g.Name, g.Kind)
		}
		if g.Creator != "" {
			creators.add(g.Name, g.Creator)
		}
		if g.Version != 0 {
			versions.add(g.Name, strconv.Itoa(g.Version))
		}
	}
	for _, invite := range s.Invites {
		if invite.Expires != 0 {
			expires.add(invite.Code, strconv.FormatInt(invite.Expires, 10))
		}
	}
	sep := ",\n    \"parlor\": {"
	for i, text := range [][]byte{kinds.text(), exact, expires.text(), creators.text(), versions.text()} {
		if len(text) > 0 {
			b = append(b, sep+indent+`"`+parlorKeys[i]+`": `...)
			b = append(b, text...)
			sep = ","
		}
	}
	if sep == "," {
		b = append(b, "\n    }"...)
	}
	return b
}

// table is one of what pgnet has no place for: pairs of a key and a value.
type table [][2]string

func (t *table) add(key, value string) { *t = append(*t, [2]string{key, value}) }

// text is empty for an empty table.
func (t table) text() []byte {
	if len(t) == 0 {
		return nil
	}
	return appendTable(nil, indent, len(t), func(i int) (string, string) { return t[i][0], t[i][1] })
}

// isText tells whether a JSON string can hold s.
func isText(s string) bool { return utf8.ValidString(s) || asText(s) == s }

// asText is what is read back when s is written as a JSON string.
func asText(s string) string {
	text, _ := pyjson.Unquote(pyjson.AppendString(nil, s))
	return text
}
