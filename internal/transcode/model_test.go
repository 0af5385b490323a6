package transcode_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

// The model does the same by way of a tree of Go values, made and written by the packages msgpack and pyjson.

// msgPackModel is AppendMsgPack.
func msgPackModel(json []byte) ([]byte, error) {
	if err := pyjson.Check(json, 128); err != nil {
		if errors.Is(err, pyjson.ErrDepth) {
			return nil, &transcode.Error{Err: transcode.ErrDepth}
		}
		return nil, err
	}
	v, err := treeOfJSON(pyjson.AppendRaw(nil, json))
	if err != nil {
		return nil, err
	}
	return msgpack.Append(nil, v)
}

func treeOfJSON(raw []byte) (any, error) {
	switch pyjson.KindOf(raw) {
	case pyjson.Array:
		items := []any{}
		err := pyjson.Elements(raw, 128, func(value []byte) error {
			item, err := treeOfJSON(value)
			items = append(items, item)
			return within(fmt.Sprintf("[%d]", len(items)-1), err)
		})
		return items, err
	case pyjson.Object:
		pairs := msgpack.Map{}
		err := pyjson.Members(raw, 128, func(key, value []byte) error {
			if !utf8.Valid(key) {
				return &transcode.Error{Path: pyjson.KeyPath(string(key)), Err: transcode.ErrSurrogate}
			}
			v, err := treeOfJSON(value)
			pairs = append(pairs, msgpack.Pair{Key: string(key), Value: v})
			return within(pyjson.KeyPath(string(key)), err)
		})
		return pairs, err
	}
	var v any
	if err := pyjson.Bind(raw, &v); err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case string:
		if !utf8.ValidString(x) {
			return nil, &transcode.Error{Err: transcode.ErrSurrogate}
		}
	case *big.Int:
		if !x.IsUint64() {
			return nil, &transcode.Error{Err: transcode.ErrInteger}
		}
		return x.Uint64(), nil
	case float64:
		if math.IsNaN(x) {
			return math.Float64frombits(0x7ff8000000000000), nil
		}
	}
	return v, nil
}

// within puts a step before the path of an error.
func within(step string, err error) error {
	if bad, ok := err.(*transcode.Error); ok {
		return bad.Under(step)
	}
	return err
}

// jsonModel is AppendJSON.
func jsonModel(mp []byte) ([]byte, error) {
	v, err := msgpack.Ordered(mp, msgpack.Limits{})
	if errors.Is(err, msgpack.ErrDepth) {
		return nil, &transcode.Error{Err: transcode.ErrDepth}
	}
	if err != nil {
		return nil, err
	}
	return appendTree(nil, v)
}

func appendTree(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case time.Time:
		return nil, &transcode.Error{Err: transcode.ErrTimestamp}
	case msgpack.Ext:
		return nil, &transcode.Error{Err: transcode.ErrExtension}
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			if b, err = appendTree(b, item); err != nil {
				return nil, within(fmt.Sprintf("[%d]", i), err)
			}
		}
		return append(b, ']'), nil
	case msgpack.Map:
		b = append(b, '{')
		for i, p := range v {
			if p.Bin {
				return nil, &transcode.Error{Err: transcode.ErrKey}
			}
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(pyjson.AppendString(b, p.Key), ": "...)
			if b, err = appendTree(b, p.Value); err != nil {
				return nil, within(pyjson.KeyPath(p.Key), err)
			}
		}
		return append(b, '}'), nil
	}
	return pyjson.Append(b, v)
}

// appendJSON is transcode.AppendJSON for all of a message, behind which nothing may follow.
func appendJSON(b, mp []byte) ([]byte, error) {
	out, n, err := transcode.AppendJSON(b, mp)
	if err == nil && n < len(mp) {
		return b, &msgpack.SyntaxError{Offset: n, Err: msgpack.ErrTrailing}
	}
	return out, err
}
