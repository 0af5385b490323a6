package parlortest

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// bubble tells of the goroutines that are left of a test.
type bubble struct{ name string } // as stacks have it, such as "synctest bubble 7"

var bubbleName = regexp.MustCompile(`synctest bubble \d+`)

// enter remembers the bubble that it is called in.
func (b *bubble) enter() {
	b.name = string(bubbleName.Find(stacks(false)))
}

// check is deferred around synctest.Test. When goroutines of the bubble can never end, synctest panics, which would take all other
// tests of the program with it. This makes an error of the test out of that.
func (b *bubble) check(t *testing.T) {
	p := recover()
	if p == nil {
		return
	}
	if text := fmt.Sprint(p); b.name == "" || !strings.HasPrefix(text, "deadlock: ") {
		panic(p)
	}
	t.Helper()
	var left strings.Builder
	for stack := range bytes.SplitSeq(stacks(true), []byte("\n\n")) {
		head, _, _ := bytes.Cut(stack, []byte("\n"))
		if string(bubbleName.Find(head)) == b.name {
			fmt.Fprintf(&left, "\n%s\n", stack)
		}
	}
	t.Fatalf("parlortest: the test is over, but goroutines of it wait for ever: a method of the game that does not return, or what the test "+
		"has started itself. They are:\n%s", left.String())
}

// stacks are those of this goroutine, or of all.
func stacks(all bool) []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, all)]
}
