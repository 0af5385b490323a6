package server_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"parlor"
	"parlor/server"
)

// FuzzParseCredentials: whatever a stranger sends as a login, a value that is not text is never taken as one,
// and the same credentials written in order are read again.
func FuzzParseCredentials(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parlor.ParsePayload(text)
		if err != nil {
			return
		}
		user, password, invite, badUser, badPassword, badInvite := server.ParseCredentials(p)
		if badUser && user != "" || badPassword && password != "" || badInvite && invite != "" {
			t.Errorf("%q: bad values were taken as %q, %q and %q", text, user, password, invite)
		}
		for _, value := range []string{user, password, invite} {
			if len(value) > 3*len(text) {
				t.Errorf("%d bytes of %d", len(value), len(text))
			}
		}
		if !p.IsObject() && (user != "" || password != "" || invite != "") {
			t.Errorf("%q, which is no object, has credentials", text)
		}
		if badUser || badPassword || badInvite {
			return
		}
		again := parlor.Encode(parlor.Map{"username": user, "password": password, "invite_code": invite})
		user2, password2, invite2, _, _, _ := server.ParseCredentials(again)
		if user2 != user || password2 != password || invite2 != invite {
			t.Errorf("%q, then %s", text, again)
		}
	})
}

// FuzzCheckArguments: the arguments of a request are checked without a panic; refusals are bounded texts, and
// what is accepted is accepted again.
func FuzzCheckArguments(f *testing.F) {
	f.Fuzz(func(t *testing.T, message string, text []byte) {
		p, err := parlor.ParsePayload(text)
		if err != nil {
			return
		}
		values, known, err := server.CheckArguments(message, p)
		if !known {
			return
		}
		if err != nil {
			if err.Error() == "" || !utf8.ValidString(err.Error()) || len(err.Error()) > 300+10*len(text) {
				t.Errorf("refused with %q", err)
			}
			return
		}
		var members []string
		for name, raw := range values {
			members = append(members, string(parlor.Encode(name).JSON())+": "+string(raw))
		}
		p, err = parlor.ParsePayload([]byte("{" + strings.Join(members, ", ") + "}"))
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := server.CheckArguments(message, p); err != nil || len(again) != len(values) {
			t.Errorf("%s with %q was accepted, then %v", message, text, err)
		}
	})
}
