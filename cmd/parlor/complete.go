package main

import (
	"slices"
	"strings"

	"parlor"
)

// request is one of the lobby's requests, as completion offers it.
type request struct {
	name string
	args []string
}

// requests are those of section 7.2, in the order of help.
var requests = []request{
	{parlor.RequestHelp, nil},
	{parlor.RequestGameDir, nil},
	{parlor.RequestCreateGame, []string{"name", "password", "kind"}},
	{parlor.RequestJoinGame, []string{"name", "password", "kind"}},
	{parlor.RequestLeaveGame, nil},
	{parlor.RequestDebug, nil},
	{parlor.RequestSave, nil},
	{parlor.RequestCreateInvite, []string{"username", "uses", "expires_in"}},
	{parlor.RequestDestroyGame, []string{"name"}},
	{parlor.RequestDeleteUser, []string{"username"}},
	{parlor.RequestSetRegistration, []string{"set_as"}},
	{parlor.RequestSetVerbose, []string{"set_as"}},
	{parlor.RequestSleep, []string{"seconds"}},
	{parlor.RequestShutdown, nil},
}

// ownRequests are the lobby's requests that are Parlor's own, which no dot stands for.
var ownRequests = []request{
	{parlor.RequestSubscribe, nil},
	{parlor.RequestUnsubscribe, nil},
	{parlor.RequestChangePassword, []string{"old_password", "new_password"}},
	{parlor.RequestCreateUser, []string{"username", "password"}},
	{parlor.RequestSetPassword, []string{"username", "password"}},
	{parlor.RequestListUsers, []string{"after", "limit"}},
	{parlor.RequestListInvites, []string{"after"}},
	{parlor.RequestRevokeInvite, []string{"code"}},
}

// isOwn tells whether a request is one of them.
func isOwn(message string) bool {
	return slices.ContainsFunc(ownRequests, func(r request) bool { return r.name == message })
}

// complete completes the last word before the cursor: the name of a request after the dot at the start of
// the line, or as it is if it is Parlor's own, or the name of an argument after a semicolon. It returns what to insert, and all words that are
// possible.
func complete(before string) (insert string, words []string) {
	message, rest, more := strings.Cut(before, ";")
	own := strings.HasPrefix(message, "__")
	if !own && !strings.HasPrefix(message, ".") || strings.HasPrefix(message, "..") {
		return "", nil
	}
	word := message
	switch {
	case more:
		word, words = argumentWords(message, rest)
	case own:
		for _, r := range ownRequests {
			words = append(words, r.name)
		}
	default:
		for _, r := range requests {
			words = append(words, strings.TrimPrefix(r.name, strings.TrimSuffix(parlor.RequestPrefix, ".")))
		}
	}
	return completeWord(word, words)
}

// completeWord returns what to insert behind the beginning of a word, and those of the words that begin so.
func completeWord(word string, words []string) (insert string, possible []string) {
	words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, word) })
	if len(words) == 0 {
		return "", nil
	}
	return commonPrefix(words)[len(word):], words
}

// argumentWords is the argument that is being typed after the first semicolon, and the names that may stand
// there: those of the request that are not there yet.
func argumentWords(message, rest string) (word string, words []string) {
	var used []string
	for strings.ContainsAny(rest, ";=") {
		a, next, more, err := cutArgument(rest)
		if err != nil || !more {
			return "", nil // not for us to mend, or a value
		}
		used = append(used, a.key)
		rest = next
	}
	all := slices.Concat(requests, ownRequests)
	i := slices.IndexFunc(all, func(r request) bool { return r.name == requestName(message) })
	if i < 0 {
		return "", nil
	}
	for _, name := range all[i].args {
		if !slices.Contains(used, name) {
			words = append(words, name+"=")
		}
	}
	return rest, words
}

func commonPrefix(words []string) string {
	prefix := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
