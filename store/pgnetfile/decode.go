package pgnetfile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strconv"

	"parlor"
	"parlor/internal/pyjson"
	"parlor/internal/snapshot"
)

// maxDepth is how deep the file may nest, in keys that are ignored. Python gives up at about as much.
const maxDepth = 1000

// The keys of the file, in the order in which they are written.
var (
	topKeys    = []string{"users", "games", "registration", "invite_codes", "parlor"}
	userKeys   = []string{"name", "salt", "password"}
	gameKeys   = []string{"name", "password", "data"}
	parlorKeys = []string{"kinds", "data", "expires", "creators", "versions"}
)

// A decoder reads one save file. The text is walked by Python's rules, so that what pgnet reads is read and
// what it refuses is refused: of equal keys the last counts, and of equal names too, as pgnet keeps users and
// games in tables by name.
type decoder struct {
	data        []byte
	snap        snapshot.Snapshot
	repeats     int    // entries whose name was there before
	firstRepeat string // key of the first of them
	gameAt      map[string]int
}

func (d *decoder) decode() *DamagedError {
	var top [5][]byte
	if err := d.members("", d.data, topKeys, top[:]); err != nil {
		return err
	}
	for i, key := range topKeys[:4] {
		if top[i] == nil {
			return d.fail(d.data, key, "the key is missing")
		}
	}
	if err := d.users(top[0]); err != nil {
		return err
	}
	if err := d.games(top[1]); err != nil {
		return err
	}
	if pyjson.KindOf(top[2]) != pyjson.Bool {
		return d.wrongKind(top[2], topKeys[2], "true or false")
	}
	d.snap.Registration = top[2][0] == 't'
	if err := d.invites(top[3]); err != nil {
		return err
	}
	if top[4] == nil {
		return nil
	}
	return d.parlor(top[4])
}

func (d *decoder) users(raw []byte) *DamagedError {
	seen := make(map[string]int)
	return d.elements("users", raw, func(p place, value []byte) *DamagedError {
		var u snapshot.User
		if err := d.texts(p, value, userKeys, &u.Name, &u.Salt, &u.Hash); err != nil {
			return err
		}
		if u.Name == parlor.AdminName {
			return nil // its password comes from the server's options
		}
		if i, ok := seen[u.Name]; ok {
			d.repeated(p)
			d.snap.Users[i] = u
			return nil
		}
		seen[u.Name] = len(d.snap.Users)
		d.snap.Users = append(d.snap.Users, u)
		return nil
	})
}

func (d *decoder) games(raw []byte) *DamagedError {
	d.gameAt = make(map[string]int)
	return d.elements("games", raw, func(p place, value []byte) *DamagedError {
		var g snapshot.Game
		if err := d.texts(p, value, gameKeys, &g.Name, &g.Password, &g.Data); err != nil {
			return err
		}
		if i, ok := d.gameAt[g.Name]; ok {
			d.repeated(p)
			d.snap.Games[i] = g
			return nil
		}
		d.gameAt[g.Name] = len(d.snap.Games)
		d.snap.Games = append(d.snap.Games, g)
		return nil
	})
}

func (d *decoder) invites(raw []byte) *DamagedError {
	seen := make(map[string]int)
	return d.table("invite_codes", raw, func(code, user string) {
		if i, ok := seen[code]; ok {
			d.snap.Invites[i].User = user
			return
		}
		seen[code] = len(d.snap.Invites)
		d.snap.Invites = append(d.snap.Invites, snapshot.Invite{Code: code, User: user})
	})
}

// parlor reads what pgnet has no place for. What it says of games that are not there is ignored: pgnet may
// have written the file meanwhile, or somebody with an editor.
func (d *decoder) parlor(raw []byte) *DamagedError {
	var sub [5][]byte
	if err := d.members("parlor", raw, parlorKeys, sub[:]); err != nil {
		return err
	}
	for i, set := range [5]func(g *snapshot.Game, text string){
		0: func(g *snapshot.Game, kind string) { g.Kind = kind },
		3: func(g *snapshot.Game, creator string) { g.Creator = creator },
		4: setVersion,
	} {
		if set == nil || sub[i] == nil {
			continue
		}
		err := d.table("parlor."+parlorKeys[i], sub[i], func(game, text string) {
			if at, ok := d.gameAt[game]; ok {
				set(&d.snap.Games[at], text)
			}
		})
		if err != nil {
			return err
		}
	}
	if sub[2] != nil {
		if err := d.expires(sub[2]); err != nil {
			return err
		}
	}
	if sub[1] == nil {
		return nil
	}
	exact := make(map[string]string) // the last of equal keys, before it is compared
	if err := d.table("parlor.data", sub[1], func(game, data string) { exact[game] = data }); err != nil {
		return err
	}
	for game, data := range exact {
		d.exactData(game, data)
	}
	return nil
}

// setVersion sets the version of a save. What is no number, or below 0, is taken as one above all, of which no game is made.
func setVersion(g *snapshot.Game, text string) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		n = math.MaxInt
	}
	g.Version = n
}

// expires reads when invites end. What is not a number is taken as the past, which is the safe side.
func (d *decoder) expires(raw []byte) *DamagedError {
	at := make(map[string]int64)
	err := d.table("parlor.expires", raw, func(code, text string) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			n = 1
		}
		at[code] = n
	})
	for i := range d.snap.Invites {
		d.snap.Invites[i].Expires = at[d.snap.Invites[i].Code]
	}
	return err
}

// exactData sets the data of a game to bytes that are not text, if its text is still what they were written
// as.
func (d *decoder) exactData(game, data string) {
	i, ok := d.gameAt[game]
	if !ok {
		return
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err == nil && asText(string(b)) == d.snap.Games[i].Data {
		d.snap.Games[i].Data = string(b)
	}
}

func (d *decoder) repeated(p place) {
	if d.repeats == 0 {
		d.firstRepeat = p.key("name")
	}
	d.repeats++
}

// texts reads an object whose members called names must be texts.
func (d *decoder) texts(p place, raw []byte, names []string, to ...*string) *DamagedError {
	var values [3][]byte
	if pyjson.KindOf(raw) != pyjson.Object {
		return d.wrongKind(raw, p.key(""), "an object")
	}
	if err := d.members(p.list, raw, names, values[:]); err != nil {
		return err
	}
	for i, name := range names {
		if values[i] == nil {
			return d.fail(raw, p.key(name), "the key is missing")
		}
		var ok bool
		if *to[i], ok = pyjson.Unquote(values[i]); !ok {
			return d.wrongKind(values[i], p.key(name), "a text")
		}
	}
	return nil
}

// table reads an object whose values are texts.
func (d *decoder) table(key string, raw []byte, fn func(key, value string)) *DamagedError {
	err := pyjson.Members(raw, maxDepth, func(k, value []byte) error {
		text, ok := pyjson.Unquote(value)
		if !ok {
			return d.wrongKind(value, key+"["+string(pyjson.AppendString(nil, string(k)))+"]", "a text")
		}
		fn(string(k), text)
		return nil
	})
	return d.damage(key, raw, "an object", err)
}

// members finds the members of an object that are called names.
func (d *decoder) members(key string, raw []byte, names []string, values [][]byte) *DamagedError {
	err := pyjson.Members(raw, maxDepth, func(k, value []byte) error {
		for i, name := range names {
			if string(k) == name {
				values[i] = value
			}
		}
		return nil
	})
	return d.damage(key, raw, "an object", err)
}

// elements calls fn with each element of a list.
func (d *decoder) elements(list string, raw []byte, fn func(place, []byte) *DamagedError) *DamagedError {
	p := place{list: list}
	err := pyjson.Elements(raw, maxDepth, func(value []byte) error {
		err := fn(p, value)
		p.index++
		if err != nil {
			return err
		}
		return nil
	})
	return d.damage(list, raw, "a list", err)
}

// damage turns an error of pyjson, or from within its callback, into a DamagedError.
func (d *decoder) damage(key string, raw []byte, want string, err error) *DamagedError {
	var damaged *DamagedError
	var syntax *pyjson.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &damaged):
		return damaged
	case errors.Is(err, pyjson.ErrNotObject), errors.Is(err, pyjson.ErrNotArray):
		return d.wrongKind(raw, key, want)
	case len(bytes.TrimSpace(d.data)) == 0:
		return d.fail(d.data, key, "it is empty")
	case errors.As(err, &syntax): // only of the whole text, which is checked before its parts
		damaged = &DamagedError{What: syntax.Msg}
		damaged.at(d.data, syntax.Offset)
		return damaged
	default:
		return &DamagedError{Offset: -1, Key: key, What: err.Error()}
	}
}

func (d *decoder) wrongKind(raw []byte, key, want string) *DamagedError {
	return d.fail(raw, key, "it should be "+want+" and is "+kindNames[pyjson.KindOf(raw)])
}

var kindNames = map[pyjson.Kind]string{
	pyjson.Null: "null", pyjson.Bool: "true or false", pyjson.Int: "a number", pyjson.Float: "a number",
	pyjson.String: "a text", pyjson.Array: "a list", pyjson.Object: "an object",
}

// fail is damage at raw, which must be a part of the data.
func (d *decoder) fail(raw []byte, key, what string) *DamagedError {
	e := &DamagedError{Key: key, What: what, Offset: -1}
	for i := range d.data {
		if len(raw) > 0 && &d.data[i] == &raw[0] { // its place, which nobody noted, as it is needed only now
			e.at(d.data, i)
			break
		}
	}
	return e
}
