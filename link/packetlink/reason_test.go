package packetlink_test

import (
	"strings"
	"testing"

	"parlor/link"
	"parlor/link/packetlink"
)

// TestReasons: whatever the other side gives as its reason, it is a code and a text that can be shown.
func TestReasons(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for _, c := range []struct {
		reason any
		code   link.Code
		text   string
	}{
		{nil, link.CloseNormal, ""},
		{"", link.CloseNormal, ""},
		{"parlor:1008 limit of patience", link.ClosePolicy, "limit of patience"},
		{"parlor:1000", link.CloseNormal, ""},
		{"parlor:70000 x", link.CloseInternal, "parlor:70000 x"},
		{"parlor: x", link.CloseInternal, "parlor: x"},
		{"own words", link.CloseInternal, "own words"},
		{"parlor:1008 " + long, link.ClosePolicy, long[:512]},
		{long, link.CloseInternal, long[:512]},
		{[]any{long}, link.CloseInternal, "[" + long[:510]},
		{int64(5), link.CloseInternal, "5"},
	} {
		if got := packetlink.CloseErrorOf(c.reason); got.Code != c.code || got.Reason != c.text {
			t.Errorf("%.40v: %d %.60q with %d bytes, want %d %.60q", c.reason, got.Code, got.Reason, len(got.Reason), c.code, c.text)
		}
	}
}
