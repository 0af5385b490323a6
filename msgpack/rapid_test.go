package msgpack_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"parlor/msgpack"
)

// scalar draws a value that is not a container, as it comes back from the wire.
func scalar() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Uint64Min(math.MaxInt64+1).AsAny(),
		rapid.Float64().AsAny(),
		rapid.String().AsAny(),
		rapid.SliceOf(rapid.Byte()).AsAny(),
		rapid.Custom(func(t *rapid.T) any {
			sec := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "sec")
			return time.Unix(sec, rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC()
		}),
		rapid.Custom(func(t *rapid.T) any {
			data := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data")
			return msgpack.Ext{Code: rapid.Int8Min(0).Draw(t, "code"), Data: data}
		}),
	)
}

// value draws a value that nests up to depth containers.
func value(depth int, ordered bool) *rapid.Generator[any] {
	if depth == 0 {
		return scalar()
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return value(depth-1, ordered) })
	maps := rapid.MapOfN(rapid.String(), inner, 0, 20).AsAny()
	if ordered {
		pair := rapid.Custom(func(t *rapid.T) msgpack.Pair {
			return msgpack.Pair{
				Key: rapid.String().Draw(t, "key"), Bin: rapid.Bool().Draw(t, "bin"), Value: inner.Draw(t, "value"),
			}
		})
		type id struct {
			key string
			bin bool
		}
		maps = rapid.Custom(func(t *rapid.T) any {
			return msgpack.Map(rapid.SliceOfNDistinct(pair, 0, 20, func(p msgpack.Pair) id {
				return id{p.Key, p.Bin}
			}).Draw(t, "pairs"))
		})
	}
	return rapid.OneOf(scalar(), rapid.SliceOfN(inner, 0, 20).AsAny(), maps)
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := value(3, false).Draw(t, "value")
		b, err := msgpack.Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := msgpack.Unmarshal(b, &got, msgpack.Limits{}); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestOrderedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := value(3, true).Draw(t, "value")
		b, err := msgpack.Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := msgpack.Ordered(b, msgpack.Limits{})
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// A message cut anywhere is refused, and one with a byte more.
func TestCutIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := msgpack.Append(nil, value(2, true).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if msgpack.Valid(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")], msgpack.Limits{}) == nil {
			t.Fatalf("%x was valid when cut", b)
		}
		if msgpack.Valid(append(b, 0xc0), msgpack.Limits{}) == nil {
			t.Fatalf("%x was valid with a byte more", b)
		}
	})
}
