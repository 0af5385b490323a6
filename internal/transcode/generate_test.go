package transcode_test

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// jsonText draws JSON text in all the forms that there are, in which up to depth containers nest and keys repeat.
func jsonText(depth int) *rapid.Generator[string] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{
			"null", "true", "false", "NaN", "Infinity", "-Infinity", "0", "-0", "-0.0", "1e400", "1.50", "0.1e1", "1E+2",
			"18446744073709551615", "-9223372036854775808", "12345678901234567890123.5", "5e-324", "999999999999999.9",
		}),
		rapid.Map(rapid.Int64(), func(i int64) string { return strconv.FormatInt(i, 10) }),
		rapid.Map(rapid.IntRange(-300, 70000), strconv.Itoa),
		rapid.Custom(func(t *rapid.T) string {
			form := rapid.SampledFrom([]byte("eEf")).Draw(t, "form")
			return strconv.FormatFloat(rapid.Float64Range(-1e20, 1e20).Draw(t, "float"), form, rapid.IntRange(-1, 20).Draw(t, "digits"), 64)
		}),
		rapid.Map(rare(), func(i int) string {
			return [...]string{"1", "18446744073709551616", "-9223372036854775809", "9999999999999999999999999"}[i]
		}),
		quoted(),
	)
	if depth == 0 {
		return scalar
	}
	inner := rapid.Deferred(func() *rapid.Generator[string] { return jsonText(depth - 1) })
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t\r "})
	container := func(brackets string, item *rapid.Generator[string]) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			var b strings.Builder
			b.WriteString(space.Draw(t, "space") + brackets[:1])
			for i, text := range rapid.SliceOfN(item, 0, 20).Draw(t, "items") {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(space.Draw(t, "space") + text + space.Draw(t, "space"))
			}
			b.WriteString(space.Draw(t, "space") + brackets[1:])
			return b.String()
		})
	}
	member := rapid.Custom(func(t *rapid.T) string {
		key := rapid.OneOf(rapid.SampledFrom([]string{`"a"`, `"\u0061"`, `"b"`, `"é"`, `"\u00e9"`, `"position_x"`, `"position_y"`}), quoted())
		return key.Draw(t, "key") + space.Draw(t, "space") + ":" + space.Draw(t, "space") + inner.Draw(t, "value")
	})
	return rapid.OneOf(scalar, container("[]", inner), container("{}", member))
}

// rare draws 0, and now and then a number up to 3: for what cannot be written, as most values shall be without.
func rare() *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		if rapid.Uint64().Draw(t, "rare")%256 != 77 {
			return 0
		}
		return rapid.IntRange(1, 3).Draw(t, "which")
	})
}

// quoted draws a JSON string.
func quoted() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.StringMatching(`[ -!#-\[\]-~]{0,40}`),
		rapid.SampledFrom([]string{"é", "日本語", "\U0001f600", "\x7f", "\u2028"}),
		rapid.SampledFrom([]string{`\n`, `\"`, `\\`, `\/`, `\u0000`, `\u00E9`, `\u20ac`, `\ud83d\ude00`}),
		rapid.Map(rare(), func(i int) string { return [...]string{"", `\ud800`, `\udc00`, `\ud800\u0041`}[i] }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 6), func(s []string) string { return `"` + strings.Join(s, "") + `"` })
}

// message draws a valid MessagePack message in all the forms that there are, in which up to depth containers nest and keys
// repeat. Now and then something in it has no form in JSON.
func message(depth int) *rapid.Generator[[]byte] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([][]byte{{0xc0}, {0xc2}, {0xc3}}),
		rapid.Custom(func(t *rapid.T) []byte {
			width := rapid.IntRange(0, 3).Draw(t, "width")
			lead := rapid.SampledFrom([]byte{0xcc, 0xd0}).Draw(t, "lead") + byte(width)
			return append([]byte{lead}, rapid.SliceOfN(rapid.Byte(), 1<<width, 1<<width).Draw(t, "integer")...)
		}),
		rapid.Map(rapid.Int8Min(-32), func(i int8) []byte { return []byte{byte(i)} }),
		rapid.Map(rapid.Float64(), func(f float64) []byte {
			return binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(f))
		}),
		rapid.Map(rapid.Float64Range(-1e6, 1e6), func(f float64) []byte {
			return binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(math.Round(f*1000)/1000))
		}),
		rapid.Map(rapid.Float32(), func(f float32) []byte {
			return binary.BigEndian.AppendUint32([]byte{0xca}, math.Float32bits(f))
		}),
		text(rapid.String()),
		rapid.Custom(func(t *rapid.T) []byte { return sized(t, 0, 0xc4, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
		rapid.Map(rare(), func(i int) []byte {
			return [...][]byte{{1}, {0xd4, 5, 1}, {0xd6, 0xff, 0, 0, 0, 1}, {0xc7, 0, 1}}[i]
		}),
	)
	if depth == 0 {
		return scalar
	}
	inner := rapid.Deferred(func() *rapid.Generator[[]byte] { return message(depth - 1) })
	key := rapid.OneOf(
		text(rapid.SampledFrom([]string{"a", "b", "é", "", "position_x", "position_y"})),
		text(rapid.String()),
		rapid.Map(rare(), func(i int) []byte {
			return [...][]byte{{0xa1, 'c'}, {0xc4, 1, 'a'}, {0xc4, 1, 'b'}, {0xc5, 0, 1, 'a'}}[i]
		}),
	)
	return rapid.OneOf(scalar,
		rapid.Custom(func(t *rapid.T) []byte {
			items := rapid.SliceOfN(inner, 0, 20).Draw(t, "items")
			return append(counted(t, 0x90, 0xdc, len(items)), join(items)...)
		}),
		rapid.Custom(func(t *rapid.T) []byte {
			n := rapid.IntRange(0, 20).Draw(t, "pairs")
			b := counted(t, 0x80, 0xde, n)
			for range n {
				b = append(append(b, key.Draw(t, "key")...), inner.Draw(t, "value")...)
			}
			return b
		}),
	)
}

func text(content *rapid.Generator[string]) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte { return sized(t, 0xa0, 0xd9, []byte(content.Draw(t, "text"))) })
}

// sized draws a header for data and puts it before it: one of the form with a byte of length, or of a wider one, or of the smallest, if
// there is one.
func sized(t *rapid.T, fix, lead8 byte, data []byte) []byte {
	n := len(data)
	form := rapid.IntRange(0, 3).Draw(t, "form")
	switch {
	case form == 0 && fix != 0 && n < 32:
		return append([]byte{fix | byte(n)}, data...)
	case form <= 1 && n < 256:
		return append([]byte{lead8, byte(n)}, data...)
	case form <= 2 && n < 1<<16:
		return append(binary.BigEndian.AppendUint16([]byte{lead8 + 1}, uint16(n)), data...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{lead8 + 2}, uint32(n)), data...)
}

// counted draws a header for n items.
func counted(t *rapid.T, fix, lead16 byte, n int) []byte {
	form := rapid.IntRange(0, 2).Draw(t, "form")
	switch {
	case form == 0 && n < 16:
		return []byte{fix | byte(n)}
	case form <= 1:
		return binary.BigEndian.AppendUint16([]byte{lead16}, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{lead16 + 1}, uint32(n))
}

func join(parts [][]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
