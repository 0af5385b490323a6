package parlor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"

	"parlor"
)

// nameVectors are the names that the pgnet release allows.
type nameVectors struct {
	Vectors []struct {
		Name       string
		User, Game bool
	}
	Spaces []string `json:"accepted_space_characters"`
	Other  struct {
		FirstDigits []string `json:"first_digit_of_each_run"`
	} `json:"accepted_other_characters"`
}

func readNames(t *testing.T) nameVectors {
	t.Helper()
	text, err := os.ReadFile("testdata/pgnet/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var v nameVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Vectors) == 0 || len(v.Spaces) != 29 || len(v.Other.FirstDigits) != 66 {
		t.Fatalf("%d names, %d spaces, %d runs of digits", len(v.Vectors), len(v.Spaces), len(v.Other.FirstDigits))
	}
	return v
}

func codePoint(t *testing.T, text string) rune {
	t.Helper()
	var r rune
	if _, err := fmt.Sscanf(text, "U+%X", &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNames: the names that the release allows are allowed, but for spaces other than the plain one
// (defect 16).
func TestNames(t *testing.T) {
	for _, v := range readNames(t).Vectors {
		if got := parlor.UserNameAllowed(v.Name); got != v.User {
			t.Errorf("UserNameAllowed(%q) = %v, want %v", v.Name, got, v.User)
		}
		odd := strings.ContainsFunc(v.Name, func(r rune) bool { return r != ' ' && (unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F) })
		if got := parlor.GameNameAllowed(v.Name); got != (v.Game && !odd) {
			t.Errorf("GameNameAllowed(%q) = %v, want %v", v.Name, got, v.Game && !odd)
		}
	}
}

// TestNameCharacters goes through every code point in every place.
func TestNameCharacters(t *testing.T) {
	v := readNames(t)
	digits := make(map[rune]bool)
	for _, first := range v.Other.FirstDigits {
		for i := range rune(10) {
			digits[codePoint(t, first)+i] = true
		}
	}
	for r := range rune(unicode.MaxRune + 1) {
		if !parlor.UserNameAllowed("aa"+string(r)) && !digits[r] && r > 'z' && !unicode.IsSpace(r) {
			continue // the most of them
		}
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		plain := letter || digits[r] || unicode.Is(unicode.Nd, r) // of a newer Unicode
		for _, name := range []string{string(r) + "aa", "a" + string(r) + "a", "aa" + string(r)} {
			inside := r == ' ' && name[1] == ' '
			if got := parlor.UserNameAllowed(name); got != plain {
				t.Errorf("UserNameAllowed(%+q) = %v, want %v", name, got, plain)
			}
			if got := parlor.GameNameAllowed(name); got != (plain || inside) {
				t.Errorf("GameNameAllowed(%+q) = %v, want %v", name, got, plain || inside)
			}
		}
	}
	for _, text := range v.Spaces {
		if r := codePoint(t, text); r != ' ' && parlor.GameNameAllowed("a"+string(r)+"b") {
			t.Errorf("a game may have the space %s in its name", text)
		}
	}
}

// TestDigitsOfOneScript: names that look alike are not to be had (defect 16).
func TestDigitsOfOneScript(t *testing.T) {
	runs := readNames(t).Other.FirstDigits
	for i, text := range runs {
		zero := codePoint(t, text)
		own := "a" + string(zero) + string(zero+9)
		if !parlor.UserNameAllowed(own) || !parlor.GameNameAllowed(own) {
			t.Errorf("%+q is not allowed, though its digits are of one script", own)
		}
		mixed := own + string(codePoint(t, runs[(i+1)%len(runs)]))
		if parlor.UserNameAllowed(mixed) || parlor.GameNameAllowed(mixed) {
			t.Errorf("%+q is allowed, though its digits are of two scripts", mixed)
		}
	}
}

func TestNamesOfOddBytes(t *testing.T) {
	for _, name := range []string{"ab\xff", "\xed\xa0\x80ab", "abc\x00", "a\u0301bc", "abc\u202e"} {
		if parlor.UserNameAllowed(name) || parlor.GameNameAllowed(name) {
			t.Errorf("%q is allowed", name)
		}
	}
}

// TestFoldDigits: whatever its script, a digit folds to the one of its value.
func TestFoldDigits(t *testing.T) {
	for _, text := range readNames(t).Other.FirstDigits {
		zero := codePoint(t, text)
		for i := range rune(10) {
			if got, want := parlor.FoldDigits("a"+string(zero+i)+"b"), fmt.Sprintf("a%db", i); got != want {
				t.Errorf("FoldDigits of %U is %q, want %q", zero+i, got, want)
			}
		}
	}
	for _, name := range []string{"", "alice1", "Zo\u00eb \xff", "\u00b2\u00bd"} {
		if got := parlor.FoldDigits(name); got != strings.ToValidUTF8(name, "\ufffd") {
			t.Errorf("FoldDigits(%q) = %q", name, got)
		}
	}
}
