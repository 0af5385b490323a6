package msgpack_test

import (
	"bytes"
	"math"
	"runtime"
	"strings"
	"testing"

	"parlor/msgpack"
)

// allocated is how many bytes f allocates: the least of several runs, as what other goroutines of the process
// allocate meanwhile, those of the runtime included, is counted too. Each run of f must begin anew.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// costliest is the memory that a byte of a valid message may cost in a *any (see Limits).
const costliest = 170

func TestMemoryOfHostileMessages(t *testing.T) {
	const size = 66_000
	fill := func(unit string) []byte {
		u := unhex(t, unit)
		n := (size - 5) / len(u)
		return append([]byte{0xdd, 0, byte(n >> 16), byte(n >> 8), byte(n)}, bytes.Repeat(u, n)...)
	}
	pairs := append([]byte{0xdf, 0, 0, size / 2 >> 8, size / 2 & 0xff}, bytes.Repeat([]byte{0xa0, 0xc0}, size/2)...)
	for name, c := range map[string]struct {
		msg []byte
		max uint64
	}{
		"bomb":          {bomb(120, size), 4 << 10},
		"nested arrays": {nested(100_000), 4 << 10},
		"2^32-1 str":    {unhex(t, "db ffffffff 6161616161"), 4 << 10},
		"2^32-1 bin":    {unhex(t, "c6 ffffffff 6161616161"), 4 << 10},
		"2^32-1 ext":    {unhex(t, "c9 ffffffff 05 61616161"), 4 << 10},
		"2^32-1 array":  {unhex(t, "dd ffffffff 0101010101"), 4 << 10},
		"2^32-1 map":    {unhex(t, "df ffffffff a161 01 a162"), 4 << 10},
		"nils":          {fill("c0"), costliest * size},
		"empty maps":    {fill("80"), costliest * size},
		"tiny maps":     {fill("81 a0 c0"), costliest * size},
		"nested maps":   {fill(strings.Repeat("81 a0", 126) + "c0"), costliest * size},
		"bin keys":      {fill("81 c400 c0"), costliest * size},
		"empty arrays":  {fill("90"), costliest * size},
		"empty bins":    {fill("c400"), costliest * size},
		"equal keys":    {pairs, costliest * size},
	} {
		t.Run(name, func(t *testing.T) {
			got := allocated(func() {
				var v any
				_ = msgpack.Unmarshal(c.msg, &v, msgpack.Limits{})
			})
			ordered := allocated(func() { _, _ = msgpack.Ordered(c.msg, msgpack.Limits{}) })
			t.Logf("%d bytes: any %d, ordered %d", len(c.msg), got, ordered)
			if got > c.max || ordered > c.max {
				t.Errorf("%d bytes cost %d and %d, want at most %d", len(c.msg), got, ordered, c.max)
			}
		})
	}
}

// A slice of large structs must not be made before its elements are seen to be structs.
func TestMemoryOfMistypedSlices(t *testing.T) {
	type large struct{ Data [64]int64 }
	msg := append([]byte{0xdc, 0xff, 0xff}, bytes.Repeat([]byte{0xc0}, 65535)...)
	if got := allocated(func() {
		var v []large
		if err := msgpack.Unmarshal(msg, &v, msgpack.Limits{}); err == nil {
			t.Error("nil was taken for a struct")
		}
	}); got > 64<<10 {
		t.Errorf("%d bytes", got)
	}
}

// Maps with keys of bytes, nested, must not be decoded again at each level.
func TestMixedKeysTakeLinearTime(t *testing.T) {
	var b []byte
	const depth = 100
	for range depth {
		b = append(b, unhex(t, "82 a161")...)
	}
	b = append(b, 0xc0)
	for range depth {
		b = append(b, unhex(t, "c40161 01")...)
	}
	var v any
	if err := msgpack.Unmarshal(b, &v, msgpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	if m := v.(msgpack.Map); len(m) != 2 || m[0].Bin || !m[1].Bin {
		t.Errorf("got %v", m)
	}
}

func TestSmallStructAllocations(t *testing.T) {
	var buf []byte
	msg := encode(t, oneMove)
	var m move
	if n := testing.AllocsPerRun(100, func() { buf, _ = msgpack.Append(buf[:0], &oneMove) }); n != 0 {
		t.Errorf("Append: %v allocations, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = msgpack.Unmarshal(msg, &m, msgpack.Limits{}) }); n > 1 {
		t.Errorf("Unmarshal: %v allocations, want that of the string", n)
	}
}
