package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"parlor/store"
)

// The kinds of records.
const (
	kindHead    = 'h'
	kindSetting = 's'
	kindUser    = 'u'
	kindInvite  = 'i'
	kindGame    = 'g'
	kindPiece   = 'j'
	kindSave    = 'v'
	kindSession = 'c'
	kindEnd     = 'e'
)

// record is what one is read into, and the head is written from.
type record struct {
	head    Head
	created int64
	setting store.PutSetting
	user    store.PutUser
	invite  store.PutInvite
	game    store.PutGame
	piece   store.Append
	save    store.PutSave
	session store.PutSession
	count   uint64
}

func headFields(r *record) []any {
	return []any{&r.created, &r.head.From, &r.head.Key, &r.head.Logins}
}

// fields are those of a kind, in their order in the stream; nil if there is no such kind.
func (r *record) fields(kind byte) []any {
	switch kind {
	case kindHead:
		return headFields(r)
	case kindSetting:
		return []any{&r.setting.Name, &r.setting.Value}
	case kindUser:
		return []any{&r.user.Number, &r.user.Name, &r.user.Folded, &r.user.Secret}
	case kindInvite:
		return []any{&r.invite.Code, &r.invite.User, &r.invite.Expires, &r.invite.Left}
	case kindGame:
		g := &r.game
		return []any{&g.Number, &g.Name, &g.Kind, &g.Secret, &g.Creator, &g.Durable}
	case kindPiece:
		return []any{&r.piece.Game, &r.piece.First, &r.piece.Last, &r.piece.Data}
	case kindSave:
		v := &r.save
		return []any{&v.Game, &v.Entry, &v.Version, &v.Data, &v.Room, &v.KeepJournal}
	case kindSession:
		c := &r.session
		return []any{&c.ID, &c.User, &c.Key, &c.Game, &c.Tokens}
	case kindEnd:
		return []any{&r.count}
	}
	return nil
}

// change is what was read of a kind; nil if that is none.
func (r *record) change(kind byte) store.Change {
	switch kind {
	case kindSetting:
		return r.setting
	case kindUser:
		return r.user
	case kindInvite:
		return r.invite
	case kindGame:
		return r.game
	case kindPiece:
		return r.piece
	case kindSave:
		return r.save
	case kindSession:
		return r.session
	}
	return nil
}

// fieldsOf are the kind and the fields of a change that makes something.
func fieldsOf(c store.Change) (kind byte, fields []any, ok bool) {
	var r record
	switch c := c.(type) {
	case store.PutSetting:
		kind, r.setting = kindSetting, c
	case store.PutUser:
		kind, r.user = kindUser, c
	case store.PutInvite:
		kind, r.invite = kindInvite, c
	case store.PutGame:
		kind, r.game = kindGame, c
	case store.Append:
		kind, r.piece = kindPiece, c
	case store.PutSave:
		kind, r.save = kindSave, c
	case store.PutSession:
		kind, r.session = kindSession, c
	default:
		return 0, nil, false
	}
	return kind, r.fields(kind), true
}

func appendFields(b []byte, fields []any) []byte {
	for _, f := range fields {
		switch f := f.(type) {
		case *int64:
			b = binary.AppendVarint(b, *f)
		case *int:
			b = binary.AppendVarint(b, int64(*f))
		case *uint64:
			b = binary.AppendUvarint(b, *f)
		case *bool:
			n := byte(0)
			if *f {
				n = 1
			}
			b = append(b, n)
		case *string:
			b = append(binary.AppendUvarint(b, uint64(len(*f))), *f...)
		case *[]byte:
			b = append(binary.AppendUvarint(b, uint64(len(*f))), *f...)
		case *[][]byte:
			b = binary.AppendUvarint(b, uint64(len(*f)))
			for _, piece := range *f {
				b = append(binary.AppendUvarint(b, uint64(len(piece))), piece...)
			}
		}
	}
	return b
}

var errField = errors.New("a field that goes on behind its record")

// parseFields reads all of b into fields. What is empty becomes nil.
func parseFields(b []byte, fields []any) error {
	p := parser{b: b}
	for _, f := range fields {
		switch f := f.(type) {
		case *int64:
			*f = p.varint()
		case *int:
			n := p.varint()
			if *f = int(n); int64(*f) != n {
				return fmt.Errorf("the number %d is too large for this machine", n)
			}
		case *uint64:
			*f = p.uvarint()
		case *bool:
			*f = p.uvarint() != 0
		case *string:
			*f = string(p.bytes())
		case *[]byte:
			*f = slices.Clone(p.bytes())
		case *[][]byte:
			for range p.uvarint() {
				piece := slices.Clone(p.bytes())
				if p.bad {
					break // whatever the number says, there are no more than bytes
				}
				*f = append(*f, piece)
			}
		}
	}
	switch {
	case p.bad:
		return errField
	case len(p.b) > 0:
		return fmt.Errorf("a record with %d bytes too many", len(p.b))
	}
	return nil
}

// parser takes fields from the front of b.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) varint() int64 {
	n, size := binary.Varint(p.b)
	p.skip(size)
	return n
}

func (p *parser) uvarint() uint64 {
	n, size := binary.Uvarint(p.b)
	p.skip(size)
	return n
}

// skip skips what a varint took.
func (p *parser) skip(size int) {
	if size <= 0 {
		p.bad, p.b = true, nil
		return
	}
	p.b = p.b[size:]
}

func (p *parser) bytes() []byte {
	n := p.uvarint()
	if n > uint64(len(p.b)) {
		p.bad, p.b = true, nil
	}
	if p.bad || n == 0 {
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}
