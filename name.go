package parlor

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of names, in code points (section 9).
const (
	minNameLen     = 3
	maxUserNameLen = 20
	maxGameNameLen = 50
)

// UserNameAllowed tells whether a new user may have this name (section 9): 3 to 20 letters A-Z a-z and digits, without
// "admin" in any letter case. Digits may be of any script, but of one only (defect 16). That keeps the grossest
// imitations out, and lobbies also compare new names by [FoldDigits]; names such as l1l and lIl, or b0b and bob, in
// any script, still look alike in some fonts.
func UserNameAllowed(name string) bool { return nameAllowed(name, maxUserNameLen, false) }

// GameNameAllowed tells whether a new game may have this name (section 9): 3 to 50 letters A-Z a-z, digits of
// one script and, between the first and the last character, plain spaces, without "admin" in any letter
// case. pgnet 0.2.1 also takes tabs, line feeds and other spaces; those stay
// valid in save files only (defect 16).
func GameNameAllowed(name string) bool { return nameAllowed(name, maxGameNameLen, true) }

func nameAllowed(name string, maxLen int, spaces bool) bool {
	n := utf8.RuneCountInString(name)
	if n < minNameLen || n > maxLen || !utf8.ValidString(name) {
		return false
	}
	var script rune // the zero of the digits used so far
	for i, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case r == ' ' && spaces && i > 0 && i < len(name)-1:
		case unicode.Is(unicode.Nd, r):
			zero := digitZero(r)
			if script != 0 && script != zero {
				return false
			}
			script = zero
		default:
			return false
		}
	}
	return !strings.Contains(strings.ToLower(name), AdminName)
}

// FoldDigits is the name with all digits written as 0 to 9. A lobby refuses a new user whose name differs from
// another user's by the script of its digits only.
func FoldDigits(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && unicode.Is(unicode.Nd, r) {
			return '0' + r - digitZero(r)
		}
		return r
	}, name)
}

// digitZero is the zero of the run of ten digits that r belongs to. Runs of Nd are contiguous tens, counted
// from the start of their table range.
func digitZero(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return r - (r-rune(t.Lo))%10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return r - (r-rune(t.Lo))%10
		}
	}
	return r
}
