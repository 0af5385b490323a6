package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"parlor"
)

// TestParseLineVectors runs what pgnet's own command line made of input lines.
func TestParseLineVectors(t *testing.T) {
	text, err := os.ReadFile("../../testdata/pgnet/cli_input.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Line        string `json:"line"`
			Message     string `json:"message"`
			PayloadJSON string `json:"payload_json"`
			Error       string `json:"error"`
			Ends        bool   `json:"ends_session"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 50 {
		t.Fatalf("%d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		if v.Ends {
			continue // TestConnectEnds
		}
		t.Run(v.Line, func(t *testing.T) {
			p, err := parseLine(v.Line)
			if v.Error != "" {
				if err == nil || err.Error()+"\n" != v.Error {
					t.Fatalf("error %v, want %q", err, v.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkPacket(t, p, v.Message, v.PayloadJSON)
		})
	}
}

func checkPacket(t *testing.T, p parlor.Packet, message, payload string) {
	t.Helper()
	raw, err := p.Payload.AppendPyJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Message != message || string(raw) != payload {
		t.Errorf("got %q %s, want %q %s", p.Message, raw, message, payload)
	}
}

// TestParseLineValues goes beyond the vectors. What is not in double quotes was checked against Python's
// isnumeric, int and float.
func TestParseLineValues(t *testing.T) {
	big := strings.Repeat("9", 4300)
	for value, want := range map[string]string{
		`123456789012345678901234567890`: `123456789012345678901234567890`,
		big:                              big,
		`000`:                            `0`,
		"\U0001d7db\U0001d7e2":           `30`, // mathematical digits: five rows of ten follow each other
		"०१२":                            `12`,
		"-٣":                             `-3.0`,
		"٣.٥":                            `3.5`,
		" ٣\u2003":                       `3.0`,
		"5\x1c":                          `"5\u001c"`,
		`+.5e-1_0`:                       `5e-11`,
		`1__0`:                           `"1__0"`,
		`_1`:                             `"_1"`,
		`1_`:                             `"1_"`,
		`1_.5`:                           `"1_.5"`,
		`1._5`:                           `"1._5"`,
		`.`:                              `"."`,
		`1e`:                             `"1e"`,
		`-NaN`:                           `NaN`,
		`+iNf`:                           `Infinity`,
		`infinit`:                        `"infinit"`,
		`0x1p4`:                          `"0x1p4"`,
		`½ `:                             `"\u00bd "`,
		"\t7\f":                          `7.0`,
		`-0`:                             `-0.0`,
		`1e-07`:                          `1e-07`,

		`"123"`:         `"123"`,
		`""`:            `""`,
		`"True"`:        `"True"`,
		`"a;b=c"`:       `"a;b=c"`,
		`"\"\\"`:        `"\"\\"`,
		`"½"`:           `"\u00bd"`,
		`"` + big + `"`: `"` + big + `"`,
		`a"b"`:          `"a\"b\""`,
		`'a`:            `"'a"`,
		` "q"`:          `" \"q\""`,
	} {
		p, err := parseLine("x;a=" + value)
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		checkPacket(t, p, "x", `{"a": `+want+`}`)
	}
	p, err := parseLine(`..x;a="1;2";b=3;a="=";c=`)
	if err != nil {
		t.Fatal(err)
	}
	checkPacket(t, p, ".x", `{"a": "=", "b": 3, "c": ""}`)
}

func TestParseLineErrors(t *testing.T) {
	for line, reason := range map[string]string{
		"x;a=一":                            "invalid literal for int() with base 10: '一'",
		"x;a=1½":                           "invalid literal for int() with base 10: '1½'",
		"x;a=" + strings.Repeat("½", 300):  "invalid literal for int() with base 10: '" + strings.Repeat("½", 199),
		"x;a=" + strings.Repeat("1", 4301): "Exceeds the limit (4300 digits)",
		`x;a="b`:                           "the double quotes of 'a' are not closed",
		`x;a="b\"`:                         "the double quotes of 'a' are not closed",
		`x;a="b"c`:                         "after the closing double quote of 'a'",
		`x;a="b\n"`:                        "in the double quotes of 'a' a backslash must be followed by",
		`x;a="b";`:                         "not enough values to unpack (expected 2, got 1)",
		"x;a=\xff":                         "the line is not UTF-8 text",
	} {
		_, err := parseLine(line)
		var format *formatError
		if !errors.As(err, &format) {
			t.Errorf("%.20q: error %v", line, err)
			continue
		}
		if !strings.HasPrefix(format.reason, reason) || strings.Contains(format.reason, "\n") {
			t.Errorf("%.20q: reason %q, want %q", line, format.reason, reason)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"", ".help", `x;a="1;\"";b=2`, "x;a=1_0e5;;", "x;a=½", "..;=;", "x;é=\u0663"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parseLine(line)
		if err != nil {
			var format *formatError
			if !errors.As(err, &format) || format.reason == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		text, err := p.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parlor.DecodePacket(text)
		if err != nil || back.Message != p.Message || back.Payload.String() != p.Payload.String() {
			t.Fatalf("%s reads back as %v, %v", text, back, err)
		}
	})
}
