package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"parlor"
)

const prompt = ">> "

// console is where lines come from, and where answers and news go: a person at a terminal, or a script.
type console struct {
	answers io.Writer // standard output, so that a script finds nothing else there
	news    io.Writer // safe for concurrent use; on a terminal it writes above the line that is being edited
	editor  *editor   // nil for a script

	readLine func() (string, error)
	ask      chan struct{} // asks the reader for a line; nil before the first
	lines    chan input    // what it has read
	asked    bool          // for a line that has not been taken yet
	early    *input        // what was typed while an answer was awaited; nil: nothing
}

// input is one line, or the end.
type input struct {
	line string
	err  error
}

// newConsole makes a console of standard input, output and error. Lines are edited if the input is a
// terminal, and one of the others too.
func newConsole(in io.Reader, out, errOut io.Writer) *console {
	keyboard, screen := terminalFile(in), terminalFile(out)
	if screen == nil {
		screen = terminalFile(errOut)
	}
	if keyboard == nil || screen == nil {
		return scriptConsole(in, out, errOut)
	}
	c := editorConsole(newEditor(keyboard, screen), out, errOut)
	c.editor.keyboard, c.editor.screen = keyboard, screen
	if terminalFile(out) != nil {
		c.answers = c.editor.terminal
	}
	if terminalFile(errOut) != nil {
		c.news = c.editor.terminal
	}
	return c
}

// terminalFile is the terminal that a stream is, or nil.
func terminalFile(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

func editorConsole(e *editor, out, errOut io.Writer) *console {
	return &console{answers: out, news: &lockedWriter{w: errOut}, editor: e, readLine: e.readLine, lines: make(chan input, 1)}
}

// scriptConsole reads plain lines. Longer ones than a server would take end the input with an error.
func scriptConsole(in io.Reader, out, errOut io.Writer) *console {
	c := &console{answers: out, news: &lockedWriter{w: errOut}, lines: make(chan input, 1)}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, parlor.MaxMessageSize)
	number := 0
	c.readLine = func() (string, error) {
		number++
		if scanner.Scan() {
			return scanner.Text(), nil
		}
		switch err := scanner.Err(); {
		case err == nil:
			return "", io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return "", fmt.Errorf("line %d of the input has more than %d bytes, which no server takes: "+
				"split it; neither it nor what follows was sent", number, parlor.MaxMessageSize)
		default:
			return "", fmt.Errorf("read line %d of the input: %w", number, err)
		}
	}
	return c
}

// next waits for a line; io.EOF is the end of the input. It gives up when ctx ends or stop is closed; the
// line that is being waited for then is lost.
func (c *console) next(ctx context.Context, stop <-chan struct{}) (string, error) {
	if in := c.early; in != nil {
		c.early = nil
		return in.line, in.err
	}
	c.want()
	select {
	case in := <-c.lines:
		c.asked = false
		return in.line, in.err
	case <-ctx.Done():
		return "", errInterrupted
	case <-stop:
	}
	select {
	case in := <-c.lines: // it came at the same moment, and may be the end
		c.asked = false
		return in.line, in.err
	default:
		return "", errStopped
	}
}

// want asks for a line, unless one is being read.
func (c *console) want() {
	if c.ask == nil {
		c.ask = make(chan struct{}, 1)
		go c.read(c.ask) // ends with close, once the line or the end that it waits for has come
	}
	if !c.asked {
		c.asked = true
		c.ask <- struct{}{}
	}
}

var (
	errStopped     = errors.New("stopped waiting for a line")
	errInterrupted = errors.New("interrupted; a request that was not answered yet may still be carried out")
)

// read reads a line whenever it is asked for one. It does not read ahead: a terminal shows the prompt only
// when it is the user's turn.
func (c *console) read(ask <-chan struct{}) {
	for range ask {
		line, err := c.readLine()
		c.lines <- input{line, err}
	}
}

// close gives the terminal back. A read that is under way cannot be called off; it ends with the program.
func (c *console) close() {
	if c.ask != nil {
		close(c.ask)
		c.ask = nil
	}
	if c.editor != nil {
		c.editor.cook()
	}
}

// editor edits lines on a terminal.
type editor struct {
	terminal         *term.Terminal
	keyboard, screen *os.File    // nil in tests
	cooked           *term.State // the state to go back to; nil while the terminal is in it
}

func newEditor(in io.Reader, out io.Writer) *editor {
	e := &editor{terminal: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, prompt)}
	e.terminal.AutoCompleteCallback = e.completeKey
	return e
}

// raw takes the terminal over: keys come one by one, Ctrl-C among them.
func (e *editor) raw() error {
	if e.keyboard == nil || e.cooked != nil {
		return nil
	}
	state, err := term.MakeRaw(int(e.keyboard.Fd()))
	if err != nil {
		return fmt.Errorf("set the terminal to line editing: %w; try it with the input from a pipe", err)
	}
	e.cooked = state
	return nil
}

// cook gives it back, and takes away the prompt of a line that will not come.
func (e *editor) cook() {
	if e.cooked == nil {
		return
	}
	_, _ = io.WriteString(e.screen, "\r\x1b[K")
	_ = term.Restore(int(e.keyboard.Fd()), e.cooked)
	e.cooked = nil
}

func (e *editor) readLine() (string, error) {
	if e.screen != nil {
		if width, height, err := term.GetSize(int(e.screen.Fd())); err == nil && width > 0 {
			_ = e.terminal.SetSize(width, height)
		}
	}
	return e.terminal.ReadLine()
}

// question asks for one line, which does not go into the history.
func (e *editor) question(text string) (string, error) {
	history := e.terminal.History
	e.terminal.History = noHistory{}
	e.terminal.SetPrompt(text)
	defer func() {
		e.terminal.History = history
		e.terminal.SetPrompt(prompt)
	}()
	return e.terminal.ReadLine()
}

// secret asks for one line, which is not shown.
func (e *editor) secret(text string) (string, error) { return e.terminal.ReadPassword(text) }

// hidden is secret for a command that asks for nothing else. It gives up when ctx ends.
func (e *editor) hidden(ctx context.Context, text string) (string, error) {
	if err := e.raw(); err != nil {
		return "", err
	}
	defer e.cook()
	line, err := awaited(ctx, func() (string, error) { return e.secret(text) })
	if errors.Is(err, io.EOF) { // Ctrl-C too
		err = errNoAnswer
	}
	return line, err
}

var errNoAnswer = errors.New("interrupted: nothing was changed")

// awaited reads a line, and gives up when ctx ends. A read that is under way cannot be called off; it ends with the program.
func awaited(ctx context.Context, read func() (string, error)) (string, error) {
	lines := make(chan input, 1)
	go func() { // ends with the read
		line, err := read()
		lines <- input{line, err}
	}()
	select {
	case in := <-lines:
		return in.line, in.err
	case <-ctx.Done():
		return "", errNoAnswer
	}
}

// noHistory forgets everything.
type noHistory struct{}

func (noHistory) Add(string)    {}
func (noHistory) Len() int      { return 0 }
func (noHistory) At(int) string { return "" }

// completeKey completes on TAB. If nothing can be added, it shows the words that are possible.
func (e *editor) completeKey(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	if key != '\t' {
		return "", 0, false
	}
	insert, words := complete(line[:pos])
	if insert == "" && len(words) > 1 {
		_, _ = e.terminal.Write([]byte(strings.Join(words, "  ") + "\n"))
	}
	return line[:pos] + insert + line[pos:], pos + len(insert), true
}

// lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
