package postgres

import (
	"fmt"
	"math"

	"parlor/store"
)

// maxCall is how many bytes a call has at most, unless a single change has more: the server takes 1 GB.
const maxCall = 16 << 20

// call calls a function of migrations/ with an array for each of its parameters: an element for each change.
type call struct {
	function string
	columns  []any // of []int64, [][]byte, []bool
	size     int   // about the bytes
}

// texts are the statements that call the functions, by their parameters.
var texts = [...]string{1: "SELECT %s($1)", 2: "SELECT %s($1, $2)", 4: "SELECT %s($1, $2, $3, $4)",
	5: "SELECT %s($1, $2, $3, $4, $5)", 6: "SELECT %s($1, $2, $3, $4, $5, $6)"}

// text is the statement.
func (c *call) text() string { return fmt.Sprintf(texts[len(c.columns)], c.function) }

// key is something that changes have in common whose order matters.
type key struct {
	what   byte // u: users, i: invites, s: settings, n: names of games, g: a game, t: a session
	number int64
	text   string
}

// grouping makes calls of changes. A change goes to the last call of its function, if nothing behind that has a key of the
// change: then they can be made in either order.
type grouping struct {
	calls   []*call
	last    map[string]int // the last call of a function
	touched map[key]int    // the last call that has to do with a key
}

// group makes calls of changes. Errors are ErrConflict.
func group(changes []store.Change) ([]*call, error) {
	g := grouping{last: make(map[string]int), touched: make(map[key]int)}
	for _, c := range changes {
		if err := g.change(c); err != nil {
			return nil, err
		}
	}
	return g.calls, nil
}

func (g *grouping) change(c store.Change) error {
	users, invites, settings, names := key{what: 'u'}, key{what: 'i'}, key{what: 's'}, key{what: 'n'}
	switch c := c.(type) {
	case store.PutUser:
		g.add("put_users", []key{users}, c.Name, c.Folded, c.Secret, c.Number)
	case store.DeleteUser:
		g.add("delete_users", []key{users}, c.Name)
	case store.PutInvite:
		g.add("put_invites", []key{invites}, c.Code, c.User, c.Expires, int64(c.Left))
	case store.DeleteInvite:
		g.add("delete_invites", []key{invites}, c.Code)
	case store.PutSetting:
		g.add("put_settings", []key{settings}, c.Name, c.Value)
	case store.PutGame:
		g.add("put_games", []key{names, game(c.Number)}, c.Number, c.Name, c.Kind, c.Secret, c.Creator, c.Durable)
	case store.DeleteGame:
		g.add("delete_games", []key{names, game(c.Number)}, c.Number)
	case store.PutSave:
		if c.Entry > math.MaxInt64 {
			return fmt.Errorf("%w: a save of game %d with entry %d", store.ErrConflict, c.Game, c.Entry)
		}
		g.add("put_saves", []key{game(c.Game)}, c.Game, int64(c.Entry), int64(c.Version), c.Data, c.Room, c.KeepJournal)
	case store.Append:
		if c.First == 0 || c.Last < c.First || c.Last > math.MaxInt64 {
			return fmt.Errorf("%w: entries %d to %d of game %d", store.ErrConflict, c.First, c.Last, c.Game)
		}
		g.add("append", []key{game(c.Game)}, c.Game, int64(c.First), int64(c.Last), c.Data)
	case store.PutSession:
		g.add("put_sessions", []key{game(c.Game), {what: 't', text: c.ID}}, c.ID, c.User, c.Key, c.Game, store.PackTokens(c.Tokens))
	case store.DeleteSession:
		g.add("delete_sessions", []key{{what: 't', text: c.ID}}, c.ID)
	default:
		return fmt.Errorf("%w: no such change as %T", store.ErrConflict, c)
	}
	return nil
}

func game(number int64) key { return key{what: 'g', number: number} }

// add adds a change to a call of a function, with a value for each parameter.
func (g *grouping) add(function string, keys []key, values ...any) {
	at, ok := g.last[function]
	ok = ok && g.calls[at].size < maxCall
	for _, k := range keys {
		ok = ok && g.touched[k] <= at
	}
	if !ok {
		at = len(g.calls)
		g.calls = append(g.calls, &call{function: function, columns: make([]any, len(values))})
		g.last[function] = at
	}
	for _, k := range keys {
		g.touched[k] = at
	}
	c := g.calls[at]
	for i, v := range values {
		c.size += 8
		switch v := v.(type) {
		case int64:
			column, _ := c.columns[i].([]int64)
			c.columns[i] = append(column, v)
		case bool:
			column, _ := c.columns[i].([]bool)
			c.columns[i] = append(column, v)
		case string:
			column, _ := c.columns[i].([][]byte)
			c.columns[i] = append(column, []byte(v))
			c.size += len(v)
		case []byte:
			if v == nil {
				v = []byte{} // nil would be null
			}
			column, _ := c.columns[i].([][]byte)
			c.columns[i] = append(column, v)
			c.size += len(v)
		}
	}
}
