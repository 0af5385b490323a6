package pyjson_test

import (
	"math"
	"math/big"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parlor/internal/pyjson"
)

func checkParseFloat(t interface {
	Helper()
	Errorf(format string, args ...any)
}, num string) {
	t.Helper()
	want, _ := strconv.ParseFloat(num, 64)
	if got := pyjson.ParseFloat([]byte(num)); math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%s: got %v, want %v", num, got, want)
	}
}

func TestParseFloat(t *testing.T) {
	for _, num := range []string{
		"0", "-0", "0.0", "-0.0", "0e5", "-0.000e-400", "1", "-1", "1.5", "1e5", "1E+05", "100e-0002", "1e22", "1e23", "123456789012345678",
		"1e308", "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1e309", "-1e400", "1e999999999999999999999",
		"2.2250738585072014e-308", "2.2250738585072011e-308", "2.225073858507201e-308", "1e-307", "1e-310", "-1e-320", "5e-324", "3e-324",
		"2.4703282292062327208e-324", "2.4703282292062327209e-324", "2.47e-324", "2.5e-324", "1e-324", "1e-330", "1e-331", "1e-999999999999999999999",
		"0.0000000001e-299", "1e-0310", "0.00000001E-300", strings.Repeat("9", 310), strings.Repeat("9", 308) + ".9",
		"9007199254740993", "9007199254740993.0", "9007199254740992.99999999999999", "9007199254740993." + strings.Repeat("0", 900) + "1",
		"1" + strings.Repeat("0", 2000) + "e-2000", "0." + strings.Repeat("0", 2000) + "123456789012345678901234567890e2000", "1." + strings.Repeat("1", 3000),
		"0.500000000000000166533453693773481063544750213623046875", "1.00000000000000011102230246251565404236316680908203125",
		"1.00000000000000011102230246251565404236316680908203124", "1.00000000000000011102230246251565404236316680908203126",
	} {
		checkParseFloat(t, num)
	}
	for word, want := range map[string]float64{"Infinity": math.Inf(1), "-Infinity": math.Inf(-1)} {
		if got := pyjson.ParseFloat([]byte(word)); got != want {
			t.Errorf("%s: got %v", word, got)
		}
	}
	if got := pyjson.ParseFloat([]byte("NaN")); got == got {
		t.Errorf("NaN: got %v", got)
	}
}

// TestParseFloatAsStrconv: also of numbers in the very middle between two floats, and close to it.
func TestParseFloatAsStrconv(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`-?[1-9]?[0-9]{0,25}\.?`).Draw(t, "digits")
		digits += rapid.StringMatching(`[0-9]{1,25}`).Draw(t, "fraction")
		checkParseFloat(t, strings.TrimPrefix(digits, "."))
		checkParseFloat(t, digits+"e"+strconv.Itoa(rapid.IntRange(-360, 330).Draw(t, "exponent")))

		f := math.Abs(math.Float64frombits(rapid.Uint64Max(0x7fe<<52).Draw(t, "bits")))
		if rapid.Bool().Draw(t, "tiny") {
			f = math.Float64frombits(math.Float64bits(f) >> 10)
		}
		next := math.Nextafter(f, math.Inf(1))
		middle := new(big.Float).SetPrec(2000).Add(big.NewFloat(f), big.NewFloat(next))
		text := middle.Quo(middle, big.NewFloat(2)).Text('e', rapid.SampledFrom([]int{17, 18, 19, 20, 30, 100, 766, 780}).Draw(t, "digits"))
		checkParseFloat(t, text)
		mantissa, exponent, _ := strings.Cut(text, "e")
		checkParseFloat(t, mantissa+"1e"+exponent)
		checkParseFloat(t, mantissa+strings.Repeat("0", 100)+"1e"+exponent)
	})
}

// TestHostileFloats: those that take the longest path leave hardly anything behind.
func TestHostileFloats(t *testing.T) {
	for _, num := range []string{"1e-310", "2.4703282292062327208e-324", "7.4109846876186981626485318930233205854758970392148714663837852375e-324"} {
		text := []byte("[" + strings.Repeat(num+",", 100_000/len(num)) + "0]")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pyjson.AppendRaw(nil, text)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 100*uint64(len(text)) {
			t.Errorf("%s: %d bytes for a text of %d", num, took, len(text))
		}
	}
}

func BenchmarkParseFloat(b *testing.B) {
	for _, num := range []string{"1.5", "1.5707963267948966", "-1.5e-05", "1e-310", "2.4703282292062327208e-324", "0.1000000000000000055511151231257827"} {
		b.Run(num, func(b *testing.B) {
			for b.Loop() {
				pyjson.ParseFloat([]byte(num))
			}
		})
		b.Run("strconv/"+num, func(b *testing.B) {
			for b.Loop() {
				_, _ = strconv.ParseFloat(num, 64)
			}
		})
	}
}
