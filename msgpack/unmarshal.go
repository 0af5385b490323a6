package msgpack

import (
	"fmt"
	"reflect"

	"github.com/tinylib/msgp/msgp"
)

// Unmarshal reads the one value of b into what into points to. It validates the whole message first
// ([Valid]), and keeps nothing of b. See the package documentation for what is read into what.
func Unmarshal(b []byte, into any, lim Limits) error {
	if err := Valid(b, lim); err != nil {
		return err
	}
	return UnmarshalValid(b, into)
}

// Ordered reads the one value of b as [Unmarshal] into a *any does, but with every map as a [Map].
func Ordered(b []byte, lim Limits) (any, error) {
	if err := Valid(b, lim); err != nil {
		return nil, err
	}
	v, _, err := whole(b, true).any(b)
	return v, err
}

// UnmarshalValid is [Unmarshal] for a message that [Valid] has accepted, and does not walk it again. With other
// bytes what it does is undefined.
func UnmarshalValid(b []byte, into any) error {
	if p, ok := into.(*any); ok {
		x, _, err := whole(b, false).any(b)
		*p = x
		return err
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("msgpack: want a pointer to decode into, got %T", into)
	}
	if u, ok := into.(msgp.Unmarshaler); ok { // the whole message is its: no need to look where it ends
		left, err := u.UnmarshalMsg(b)
		if err == nil && len(left) > 0 {
			err = ErrTrailing
		}
		return err
	}
	v = v.Elem()
	_, err := codecOf(v.Type()).decode(b, v)
	return err
}
