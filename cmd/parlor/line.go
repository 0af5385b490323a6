package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"parlor"
	"parlor/internal/pyjson"
)

// badFormat is what pgnet's command line prints before the reason.
const badFormat = "Bad CLI request format, expected: 'message_str;key1=value1;key2=value2'"

// maxIntDigits is how many digits Python turns into an integer.
const maxIntDigits = 4300

// formatError is why an input line is not a request. Its text is the two lines that pgnet prints.
type formatError struct{ reason string }

func (e *formatError) Error() string { return badFormat + "\n" + e.reason }

func formatErrorf(format string, args ...any) error {
	return &formatError{reason: fmt.Sprintf(format, args...)}
}

// parseLine makes a packet of an input line, MESSAGE;KEY=VALUE;KEY=VALUE... (section 14). Unlike in pgnet, a
// value in double quotes is text, whatever is in it, with \" and \\ for a quote and a backslash (defect 17).
// Errors are of type *formatError.
func parseLine(line string) (parlor.Packet, error) {
	if !utf8.ValidString(line) {
		return parlor.Packet{}, formatErrorf("the line is not UTF-8 text: set the terminal, or the file, to UTF-8")
	}
	message, rest, more := strings.Cut(line, ";")
	raw := []byte{'{'}
	for more {
		var a argument
		var err error
		if a, rest, more, err = cutArgument(rest); err != nil {
			return parlor.Packet{}, err
		}
		if len(raw) > 1 {
			raw = append(raw, ", "...)
		}
		raw = append(pyjson.AppendString(raw, a.key), ": "...)
		if raw, err = a.appendValue(raw); err != nil {
			return parlor.Packet{}, err
		}
	}
	// Of equal keys the last counts, in the place of the first.
	payload, err := parlor.ParsePayload(pyjson.AppendRaw(nil, append(raw, '}')))
	if err != nil {
		return parlor.Packet{}, formatErrorf("%v", err)
	}
	return parlor.Packet{Message: requestName(message), Payload: payload}, nil
}

// requestName completes the name of a reserved request, which begins with one dot. Of two dots one is taken
// off, so that other messages may begin with a dot too.
func requestName(message string) string {
	switch {
	case strings.HasPrefix(message, ".."):
		return message[1:]
	case strings.HasPrefix(message, "."):
		return strings.TrimSuffix(parlor.RequestPrefix, ".") + message
	}
	return message
}

// argument is one KEY=VALUE of a line.
type argument struct {
	key, value string
	quoted     bool // the value was in double quotes, which are taken off: it is text
}

// cutArgument takes the first argument from what follows a semicolon. More tells that a semicolon follows it.
func cutArgument(text string) (a argument, rest string, more bool, err error) {
	i := strings.IndexAny(text, ";=")
	if i < 0 || text[i] == ';' {
		return a, text, false, formatErrorf("not enough values to unpack (expected 2, got 1)")
	}
	a.key, text = text[:i], text[i+1:]
	if !strings.HasPrefix(text, `"`) {
		a.value, rest, more = strings.Cut(text, ";")
		return a, rest, more, nil
	}
	a.quoted = true
	if a.value, rest, err = cutQuoted(a.key, text); err != nil || rest == "" {
		return a, rest, false, err
	}
	if rest[0] != ';' {
		return a, rest, false, formatErrorf("after the closing double quote of %s there must be a semicolon or the end of the line; "+
			`inside the quotes, write \" for a double quote`, pyjson.ReprString(a.key))
	}
	return a, rest[1:], true, nil
}

// cutQuoted takes a text in double quotes, with which text begins.
func cutQuoted(key, text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		case c == '\\':
			return "", "", formatErrorf(`in the double quotes of %s a backslash must be followed by " or another backslash: write \\ for a backslash`,
				pyjson.ReprString(key))
		default:
			b.WriteByte(c)
		}
	}
	return "", "", formatErrorf(`the double quotes of %s are not closed: add " at the end of the text`, pyjson.ReprString(key))
}

// appendValue appends the value as JSON, of the type that it looks like: a boolean, an integer, a float, or
// else text.
func (a argument) appendValue(b []byte) ([]byte, error) {
	switch {
	case a.quoted:
		return pyjson.AppendString(b, a.value), nil
	case a.value == "True":
		return append(b, "true"...), nil
	case a.value == "False":
		return append(b, "false"...), nil
	case isNumeric(a.value):
		return appendInt(b, a.value)
	}
	if f, ok := parseFloat(a.value); ok {
		return pyjson.AppendFloat(b, f), nil
	}
	return pyjson.AppendString(b, a.value), nil
}

// appendInt appends what Python's int makes of a text of numeric characters, which takes digits of any
// script, but not the likes of a half.
func appendInt(b []byte, text string) ([]byte, error) {
	digits, ok := asciiDigits(text)
	if !ok {
		return nil, formatErrorf("invalid literal for int() with base 10: %s", firstRunes(pyjson.ReprString(text), 200))
	}
	if len(digits) > maxIntDigits {
		return nil, formatErrorf("Exceeds the limit (%d digits) for integer string conversion: value has %d digits; "+
			`put it in double quotes to send it as text`, maxIntDigits, len(digits))
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		digits = "0"
	}
	return append(b, digits...), nil
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// asciiDigits replaces the digits of all scripts by those of ASCII; ok tells that there was nothing else.
func asciiDigits(text string) (digits string, ok bool) {
	ok = true
	digits = strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9':
			return r
		case unicode.Is(unicode.Nd, r):
			return '0' + digitValue(r)
		}
		ok = false
		return r
	}, text)
	return digits, ok
}

// digitValue is the value of a digit. The digits of a script are ten characters in a row, and several such
// rows may follow each other.
func digitValue(r rune) rune {
	n := rune(0)
	for unicode.Is(unicode.Nd, r-n-1) {
		n++
	}
	return n % 10
}

// isNumeric is Python's str.isnumeric.
func isNumeric(text string) bool {
	for _, r := range text {
		if !unicode.In(r, unicode.N, numericLetters) {
			return false
		}
	}
	return text != ""
}

// digitRow is digits with single underscores between them.
const digitRow = `[0-9](?:_?[0-9])*`

// floatSyntax is what Python's float takes, without the blanks around.
var floatSyntax = regexp.MustCompile(`(?i)^[+-]?(?:inf|infinity|nan|` +
	`(?:` + digitRow + `(?:\.(?:` + digitRow + `)?)?|\.` + digitRow + `)(?:e[+-]?` + digitRow + `)?)$`)

// parseFloat reads a float as Python's float does, with digits and blanks of any script. What is too large is
// infinite.
func parseFloat(text string) (f float64, ok bool) {
	text, _ = asciiDigits(strings.TrimFunc(text, unicode.IsSpace))
	if !floatSyntax.MatchString(text) {
		return 0, false
	}
	if strings.HasSuffix(strings.ToLower(text), "nan") {
		return math.NaN(), true
	}
	f, _ = strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	return f, true
}

// numericLetters are the letters, ideographs all of them, that Unicode gives a numeric value.
var numericLetters = letters(
	0x3405, 0x3483, 0x382a, 0x3b4d, 0x4e00, 0x4e03, 0x4e07, 0x4e09, 0x4e5d, 0x4e8c, 0x4e94, 0x4e96, 0x4ebf, 0x4ec0,
	0x4edf, 0x4ee8, 0x4f0d, 0x4f70, 0x5104, 0x5146, 0x5169, 0x516b, 0x516d, 0x5341, 0x5343, 0x5344, 0x5345, 0x534c,
	0x53c1, 0x53c2, 0x53c3, 0x53c4, 0x56db, 0x58f1, 0x58f9, 0x5e7a, 0x5efe, 0x5eff, 0x5f0c, 0x5f0d, 0x5f0e, 0x5f10,
	0x62fe, 0x634c, 0x67d2, 0x6f06, 0x7396, 0x767e, 0x8086, 0x842c, 0x8cae, 0x8cb3, 0x8d30, 0x9621, 0x9646, 0x964c,
	0x9678, 0x96f6, 0xf96b, 0xf973, 0xf978, 0xf9b2, 0xf9d1, 0xf9d3, 0xf9fd,
	0x20001, 0x20064, 0x200e2, 0x20121, 0x2092a, 0x20983, 0x2098c, 0x2099c, 0x20aea, 0x20afd, 0x20b19, 0x22390,
	0x22998, 0x23b1b, 0x2626d, 0x2f890,
)

// letters makes a table of characters given in their order.
func letters(runes ...rune) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for _, r := range runes {
		if r <= 0xffff {
			t.R16 = append(t.R16, unicode.Range16{Lo: uint16(r), Hi: uint16(r), Stride: 1})
		} else {
			t.R32 = append(t.R32, unicode.Range32{Lo: uint32(r), Hi: uint32(r), Stride: 1})
		}
	}
	return t
}
