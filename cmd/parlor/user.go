package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/host"
)

func userCommand() *cobra.Command {
	return family("user", "List, add and delete users, and give them new passwords",
		userListCommand(), userAddCommand(), userPasswdCommand(), userDeleteCommand())
}

func userListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List all users", Long: "List all users, in the order of their registration; the administrator is not among them.", Args: host.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line: number, username, and with --connect whether she is connected")
	return accountsCommand(cmd, false, func(ctx context.Context, cmd *cobra.Command, _ []string, all accounts) error {
		const block = 1000 // users whose columns are aligned; there may be a million
		var rows []userRow
		printed := false
		flush := func() error {
			head := "NUMBER\tNAME"
			if _, is := all.(running); is {
				head += "\tCONNECTED"
			}
			defer func() { rows, printed = nil, true }()
			return printRows(cmd.OutOrStdout(), asJSON, head, rows, func(u userRow) []any {
				if u.Connected == nil {
					return []any{u.Number, u.Username}
				}
				return []any{u.Number, u.Username, yesNo(*u.Connected)}
			})
		}
		err := all.listUsers(ctx, func(u userRow) error {
			if rows = append(rows, u); len(rows) < block {
				return nil
			}
			return flush()
		})
		if err != nil || printed && len(rows) == 0 {
			return err
		}
		return flush() // of nobody at all the head
	})
}

const passwordHelp = `

The password is asked for at a terminal; else it is the first line of
standard input, or of the file of --password-file.`

func userAddCommand() *cobra.Command {
	var p newPassword
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a user", Long: "Add a user, whether others may register or not." + passwordHelp, Args: oneName("NAME"),
	}
	p.flags(cmd)
	return accountsCommand(cmd, true, func(ctx context.Context, cmd *cobra.Command, args []string, all accounts) error {
		password, err := p.read(ctx, cmd, args[0])
		if err == nil {
			err = all.addUser(ctx, args[0], password)
		}
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "added user %s\n", args[0])
		}
		return err
	})
}

func userPasswdCommand() *cobra.Command {
	var p newPassword
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Give a user a new password",
		Long: "Give a user a new password, or the administrator: admin. A session of the user's ends with the old one." + passwordHelp, Args: oneName("NAME"),
	}
	p.flags(cmd)
	return accountsCommand(cmd, true, func(ctx context.Context, cmd *cobra.Command, args []string, all accounts) error {
		password, err := p.read(ctx, cmd, args[0])
		if err == nil {
			err = all.setPassword(ctx, args[0], password)
		}
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "changed the password of %s\n", args[0])
		}
		return err
	})
}

func userDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a user", Long: "Delete a user. The games that she has created stay.", Args: oneName("NAME"),
	}
	return accountsCommand(cmd, true, func(ctx context.Context, cmd *cobra.Command, args []string, all accounts) error {
		if args[0] == parlor.AdminName {
			return errors.New("the administrator cannot be deleted")
		}
		err := all.deleteUser(ctx, args[0])
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "deleted user %s\n", args[0])
		}
		return err
	})
}

// newPassword is where one comes from. It is no flag, as others can see those.
type newPassword struct {
	file string
	none bool
}

func (p *newPassword) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.file, "password-file", "", "file whose first line is the new password; - is standard input")
	cmd.Flags().BoolVar(&p.none, "no-password", false, "an empty password: whoever gives the name is let in")
}

// maxPassword is what servers take by default, in bytes.
const maxPassword = 1024

func (p *newPassword) read(ctx context.Context, cmd *cobra.Command, user string) (string, error) {
	if p.none {
		if p.file != "" || user == parlor.AdminName {
			return "", errors.New("--no-password is neither for the administrator, nor together with --password-file")
		}
		return "", nil
	}
	text, err := p.readText(ctx, cmd, user)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the new password: %w", err)
	case text == "":
		return "", errors.New("the new password is empty: nothing was changed; --no-password is for users without one")
	case len(text) > maxPassword:
		return "", fmt.Errorf("the new password has %d bytes, and servers take %d at most", len(text), maxPassword)
	case !utf8.ValidString(text):
		return "", errors.New("the new password is not UTF-8 text, and nobody could log in with it: nothing was changed; set the terminal, or the file, to UTF-8")
	}
	return text, nil
}

func (p *newPassword) readText(ctx context.Context, cmd *cobra.Command, user string) (string, error) {
	in := cmd.InOrStdin()
	if p.file == "" {
		if e := newConsole(in, io.Discard, cmd.ErrOrStderr()).editor; e != nil {
			return askTwice(ctx, e, user)
		}
	}
	return awaited(ctx, func() (string, error) { // it may be a pipe into which nobody writes
		if p.file == "" || p.file == "-" {
			return firstLine(in)
		}
		f, err := os.Open(p.file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return firstLine(f)
	})
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// askTwice asks for a new password, which is not shown.
func askTwice(ctx context.Context, e *editor, user string) (string, error) {
	first, err := e.hidden(ctx, "New password of "+visible(user)+": ")
	if err != nil {
		return "", err
	}
	second, err := e.hidden(ctx, "Again: ")
	if err == nil && first != second {
		err = errors.New("the two are not the same; nothing was changed")
	}
	return first, err
}
