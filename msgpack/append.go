package msgpack

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// Append appends the encoded v to b. After an error, what b's array holds beyond its length is undefined.
// Passing a pointer to a struct saves the copy that an interface of the struct itself would be.
func Append(b []byte, v any) ([]byte, error) { return AppendDepth(b, v, DefaultDepth) }

// AppendDepth is Append for values that may nest so deep, up to [MaxDepth].
func AppendDepth(b []byte, v any, depth int) ([]byte, error) {
	depth = min(depth, MaxDepth)
	out, err := appendAny(b, v, depth)
	if err == nil {
		return out, nil
	}
	if limit, ok := errors.AsType[*LimitError](err); ok && limit.Err == ErrDepth {
		limit.Max = depth
	}
	return b, err
}

// errTooDeep is what encoders return when they are given no depth for a container; AppendDepth puts in the limit.
func errTooDeep() error { return &LimitError{Err: ErrDepth} }

// appendAny appends v, which may nest depth levels. The usual types go without reflection.
func appendAny(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(b), nil
	case bool:
		return msgp.AppendBool(b, v), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case uint64:
		return msgp.AppendUint64(b, v), nil
	case float64:
		return msgp.AppendFloat64(b, v), nil
	case string:
		return appendString(b, v)
	case []byte:
		return appendBytes(b, v)
	case []any:
		return appendSlice(b, v, depth)
	case map[string]any:
		return appendGoMap(b, v, depth)
	case Map:
		return appendMap(b, v, depth)
	case Raw:
		return appendRaw(b, v, depth)
	case Ext:
		return appendExt(b, v)
	case time.Time:
		return appendTime(b, v), nil
	}
	rv := reflect.ValueOf(v)
	if m, ok := v.(msgp.Marshaler); ok && (rv.Kind() != reflect.Pointer || !rv.IsNil()) {
		return m.MarshalMsg(b)
	}
	return codecOf(rv.Type()).encode(b, rv, depth)
}

// appendInt writes positive integers in unsigned form, as Python does (section 2).
func appendInt(b []byte, i int64) []byte {
	if i >= 0 {
		return msgp.AppendUint64(b, uint64(i))
	}
	return msgp.AppendInt64(b, i)
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, ErrUTF8
	}
	if !fits(len(s)) {
		return b, ErrBytes
	}
	return msgp.AppendString(b, s), nil
}

func appendBytes(b, v []byte) ([]byte, error) {
	if !fits(len(v)) {
		return b, ErrBytes
	}
	return msgp.AppendBytes(b, v), nil
}

func appendArrayHeader(b []byte, n int) ([]byte, error) {
	if !fits(n) {
		return b, ErrBytes
	}
	return msgp.AppendArrayHeader(b, uint32(n)), nil
}

func appendMapHeader(b []byte, n int) ([]byte, error) {
	if !fits(n) {
		return b, ErrBytes
	}
	return msgp.AppendMapHeader(b, uint32(n)), nil
}

func appendSlice(b []byte, v []any, depth int) ([]byte, error) {
	if depth <= 0 {
		return b, errTooDeep()
	}
	b, err := appendArrayHeader(b, len(v))
	for i := 0; i < len(v) && err == nil; i++ {
		if b, err = appendAny(b, v[i], depth-1); err != nil {
			err = inIndex(i, err)
		}
	}
	return b, err
}

// entry is one of a map, while they are sorted.
type entry struct {
	key   string
	value any
}

// appendGoMap writes a map in the order of its keys.
func appendGoMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if depth <= 0 {
		return b, errTooDeep()
	}
	b, err := appendMapHeader(b, len(m))
	if err != nil {
		return b, err
	}
	var few [8]entry // most maps need no more
	entries := few[:0]
	for k, v := range m {
		entries = append(entries, entry{k, v})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	for _, e := range entries {
		if b, err = appendString(b, e.key); err != nil {
			return b, inKey(e.key, err)
		}
		if b, err = appendAny(b, e.value, depth-1); err != nil {
			return b, inKey(e.key, err)
		}
	}
	return b, nil
}
