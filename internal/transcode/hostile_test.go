package transcode_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

// allocated is how many bytes f allocates: the least of several runs, as what other goroutines of the process
// allocate meanwhile is counted too. Each run of f must begin anew.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// costliest is the memory that a byte of hostile input may cost: less than half of it, but for the race detector, which
// makes a sync.Pool lose some. What is done again for each level of nesting costs more, as there are a hundred.
const costliest = 72

// levels is how deep hostile inputs nest.
const levels = 100

// nest puts a core into levels of something else.
func nest(before, core, after string) string {
	return strings.Repeat(before, levels) + core + strings.Repeat(after, levels)
}

// members are n members of an object with different keys.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"` + strconv.Itoa(i) + `":0,`)
	}
	return b.String()
}

func TestMemoryOfHostileText(t *testing.T) {
	const size = 100_000
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	big := `"` + fill("a") + `"`
	for name, c := range map[string]struct {
		text  string
		fails bool
	}{
		"too deep":               {fill("["), true},
		"zeros":                  {"[" + fill("0,") + "0]", false},
		"empty lists":            {"[" + fill("[],") + "0]", false},
		"tiny objects":           {"[" + fill(`{"":0},`) + "0]", false},
		"escapes":                {`"` + fill(`\u0000`) + `"`, false},
		"text of two bytes":      {`"` + fill(`é`) + `"`, false},
		"tiny floats":            {"[" + fill("1e-310,") + "0]", false},
		"short floats":           {"[" + fill("1e9,") + "0]", false},
		"one long float":         {"0." + fill("1"), false},
		"long floats":            {"[" + fill("0."+strings.Repeat("1", 1000)+",") + "0]", false},
		"space":                  {fill(" ") + "0", false},
		"different keys":         {"{" + members(size/12) + `"a":0}`, false},
		"equal keys":             {"{" + fill(`"a":0,`) + `"a":0}`, false},
		"equal keys of two":      {"{" + fill(`"a":0,"b":0,`) + `"a":0}`, false},
		"long equal keys":        {"{" + big + ":0," + big + ":0}", false},
		"wide lists, nested":     {nest("["+strings.Repeat("0,", 16), big, "]"), false},
		"many wide lists":        {"[" + fill("["+strings.Repeat("0,", 16)+"0],") + "0]", false},
		"wide objects, nested":   {nest("{"+members(size/levels/9)+`"a":`, "0", "}"), false},
		"equal keys, nested":     {nest(`{"a":0,"a":`, big, "}"), false},
		"nested, replaced":       {nest(`{"a":`, big, `,"a":0}`), false},
		"a large integer":        {nest(`{"a":`, "[99999999999999999999,"+big+"]", "}"), true},
		"large integers":         {"[" + fill("99999999999999999999,") + "0]", true},
		"a surrogate, deep":      {nest(`{`+big[:size/levels]+`":`, `"\ud800"`, "}"), true},
		"surrogates, replaced":   {"{" + fill(`"a":"\ud800",`) + `"a":0}`, false},
		"no JSON, deep":          {nest(`{"a":`, big+"x", "}"), true},
		"equal keys, and an end": {"{" + fill(`"a":0,`) + `"a":0`, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(c.text)
			var err error
			got := allocated(func() { _, err = transcode.AppendMsgPack(nil, text) })
			t.Logf("%d bytes cost %d, error %.100v", len(text), got, err)
			if got > uint64(costliest*len(text)) {
				t.Errorf("%d bytes cost %d, want at most %d each", len(text), got, costliest)
			}
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMemoryOfHostileMessages(t *testing.T) {
	const size = 100_000
	// fill repeats a unit as the items of an array, or if it has a key as the pairs of a map.
	fill := func(lead byte, unit string) string {
		n := size / len(unit)
		return string(binary.BigEndian.AppendUint32([]byte{lead}, uint32(n))) + strings.Repeat(unit, n)
	}
	const array32, map32 = 0xdd, 0xdf
	text := string(binary.BigEndian.AppendUint32([]byte{0xdb}, size)) + strings.Repeat("a", size)
	for name, c := range map[string]struct {
		message string
		fails   bool
	}{
		"too deep":           {strings.Repeat("\x91", size), true},
		"nils":               {fill(array32, "\xc0"), false},
		"bools":              {fill(array32, "\xc2"), false},
		"empty maps":         {fill(array32, "\x80"), false},
		"tiny maps":          {fill(array32, "\x81\xa0\xc0"), false},
		"controls":           {string(binary.BigEndian.AppendUint32([]byte{0xdb}, size)) + strings.Repeat("\x00", size), false},
		"floats":             {fill(array32, "\xca\x00\x00\x00\x01"), false},
		"equal keys":         {fill(map32, "\xa0\xc0"), false},
		"equal keys, nested": {nest("\x82\xa1a\xc0\xa1a", text, ""), false},
		"nested, replaced":   {nest("\x82\xa1a", text, "\xa1a\xc0"), false},
		"extensions":         {fill(array32, "\xd4\x05\x01"), true},
		"a late extension":   {"\x92" + fill(array32, "\x81\xa0\xc0") + "\xd4\x05\x01", true},
		"a replaced one":     {"\x92" + fill(array32, "\x81\xa0\xc0") + "\x82\xa0\xd4\x05\x01\xa0\xc0", false},
		"keys of bytes":      {fill(map32, "\xc4\x00\xc0"), true},
		"2^32-1 items":       {"\xdd\xff\xff\xff\xff" + strings.Repeat("\x00", size), true},
		"2^32-1 pairs":       {"\xdf\xff\xff\xff\xff" + strings.Repeat("\xa0", size), true},
		"2^32-1 of text":     {"\xdb\xff\xff\xff\xff" + strings.Repeat("a", size), true},
		"bomb":               {strings.Repeat("\xdd\x00\x01\x00\x00", levels) + strings.Repeat("\x00", 2<<16), true},
		"bomb of maps":       {strings.Repeat("\xdf\x00\x01\x00\x00\xa0", levels) + strings.Repeat("\xa0", 4<<16), true},
		"cut off":            {fill(array32, "\x81\xa0\xc0")[:size-1], true},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte(c.message)
			var err error
			got := allocated(func() { _, err = appendJSON(nil, message) })
			t.Logf("%d bytes cost %d, error %.100v", len(message), got, err)
			if got > uint64(costliest*len(message)) {
				t.Errorf("%d bytes cost %d, want at most %d each", len(message), got, costliest)
			}
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestWideMap: keys that are all different are told apart in linear memory, and without being seen as equal.
func TestWideMap(t *testing.T) {
	text := []byte("{" + members(50_000) + `"a":0}`)
	var mp []byte
	var err error
	if got := allocated(func() { mp, err = transcode.AppendMsgPack(nil, text) }); got > uint64(costliest*len(text)) {
		t.Errorf("%d bytes cost %d", len(text), got)
	}
	if err != nil {
		t.Fatal(err)
	}
	var back []byte
	if got := allocated(func() { back, err = appendJSON(nil, mp) }); got > uint64(costliest*len(text)) {
		t.Errorf("%d bytes cost %d", len(mp), got)
	}
	if err != nil || !bytes.Equal(back, pyjson.AppendRaw(nil, text)) {
		t.Errorf("error %v", err)
	}
	var m map[string]any
	if err := msgpack.Unmarshal(mp, &m, msgpack.Limits{}); err != nil || len(m) != 50_001 {
		t.Errorf("%d keys, error %v", len(m), err)
	}
}

func TestPayloadsAllocateNothing(t *testing.T) {
	text, message := make([]byte, 0, 1024), make([]byte, 0, 1024)
	for _, p := range payloads {
		json := []byte(p.json)
		if n := testing.AllocsPerRun(100, func() {
			message, _ = transcode.AppendMsgPack(message[:0], json)
			text, _ = appendJSON(text[:0], message)
		}); n != 0 || string(text) != p.json {
			t.Errorf("%s: %v allocations, came back as %s", p.name, n, text)
		}
	}
}
