package pgnetfile

import (
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"

	"parlor/internal/pyjson"
	"parlor/store"
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

// appendSnapshot appends the file as Python's json.dumps(file, indent=4) would.
func appendSnapshot(b []byte, s store.Snapshot) []byte {
	b = slices.Grow(b, estimate(s))
	b = append(b, "{\n    \"users\": "...)
	b = appendList(b, s.Users, func(b []byte, u store.User) []byte {
		return appendEntry(b, userKeys, u.Name, u.Salt, u.Hash)
	})
	b = append(b, ",\n    \"games\": "...)
	b = appendList(b, s.Games, func(b []byte, g store.Game) []byte {
		return appendEntry(b, gameKeys, g.Name, g.Password, g.Data)
	})
	b = append(b, ",\n    \"registration\": "...)
	b = strconv.AppendBool(b, s.Registration)
	b = append(b, ",\n    \"invite_codes\": "...)
	b = appendTable(b, "\n    ", len(s.Invites), func(i int) (string, string) {
		return s.Invites[i].Code, s.Invites[i].User
	})
	b = appendParlor(b, s)
	return append(b, "\n}"...)
}

// estimate is about the size of the file, a little more if nothing is escaped: growing a large one by and by
// would copy it several times.
func estimate(s store.Snapshot) int {
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

// appendParlor appends what pgnet has no place for, if there is any.
func appendParlor(b []byte, s store.Snapshot) []byte {
	var kinds, exact, created []store.Game
	var expire []store.Invite
	for _, g := range s.Games {
		if g.Kind != "" {
			kinds = append(kinds, g)
		}
		if !isText(g.Data) {
			exact = append(exact, g)
		}
		if g.Creator != "" {
			created = append(created, g)
		}
	}
	for _, invite := range s.Invites {
		if invite.Expires != 0 {
			expire = append(expire, invite)
		}
	}
	const indent = "\n        "
	sep := ",\n    \"parlor\": {"
	if len(kinds) > 0 {
		b = append(b, sep+indent+`"kinds": `...)
		b = appendTable(b, indent, len(kinds), func(i int) (string, string) { return kinds[i].Name, kinds[i].Kind })
		sep = ","
	}
	if len(exact) > 0 {
		b = append(b, sep+indent+`"data": `...)
		b = appendTable(b, indent, len(exact), func(i int) (string, string) {
			return exact[i].Name, base64.StdEncoding.EncodeToString([]byte(exact[i].Data))
		})
		sep = ","
	}
	if len(expire) > 0 {
		b = append(b, sep+indent+`"expires": `...)
		b = appendTable(b, indent, len(expire), func(i int) (string, string) {
			return expire[i].Code, strconv.FormatInt(expire[i].Expires, 10)
		})
		sep = ","
	}
	if len(created) > 0 {
		b = append(b, sep+indent+`"creators": `...)
		b = appendTable(b, indent, len(created), func(i int) (string, string) { return created[i].Name, created[i].Creator })
	}
	if len(kinds)+len(exact)+len(expire)+len(created) > 0 {
		b = append(b, "\n    }"...)
	}
	return b
}

// isText tells whether a JSON string can hold s.
func isText(s string) bool { return utf8.ValidString(s) || asText(s) == s }

// asText is what is read back when s is written as a JSON string.
func asText(s string) string {
	text, _ := pyjson.Unquote(pyjson.AppendString(nil, s))
	return text
}
