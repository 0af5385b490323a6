package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/host"
	"parlor/internal/password"
	"parlor/internal/snapshot"
	"parlor/store"
	"parlor/store/pgnetfile"
)

func saveCommand() *cobra.Command {
	return family("save", "Take over pgnet's save file into a store, or make one of it",
		saveSubcommand("import", "Take over users, games and all else of pgnet's save file into a store", importHelp, importSave),
		saveSubcommand("export", "Write what a store has as pgnet's save file", exportHelp, exportSave))
}

const importHelp = `Take over users with their passwords, games with theirs, invite codes, and whether new users may register, from a save
file of pgnet, or of parlor serve --save, into a store. Its server must be stopped. All of it is taken in one step, or
nothing; users and games that are there already are never replaced.

Users log in with the passwords they had. The server's key is not in the save file: to keep it, copy FILE.key and
FILE.key.logins, the logins that it has seen, to the store's folder as server.key and server.key.logins, with mode 0600.`

const exportHelp = `Write users, games, invite codes, and whether new users may register, as a save file that pgnet reads, and parlor serve
--save. The server may run. What that file has no place for is listed: most of all, the passwords of users who have
logged in to this server are hashed in a way that pgnet does not know.`

func saveSubcommand(name, short, help string, run func(ctx context.Context, cmd *cobra.Command, file, at string) error) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: name + " FILE", Short: short, Long: help, Args: oneName("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := host.BindEnv(cmd); err != nil {
				return err
			}
			if err := host.CheckStore(at); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd)
			defer stop()
			return run(ctx, cmd, args[0], at)
		},
	}
	storeFlags(cmd, &at, nil)
	return cmd
}

func importSave(ctx context.Context, cmd *cobra.Command, file, at string) error {
	logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	snap, err := pgnetfile.Read(file, pgnetfile.Options{Logger: logger})
	if err != nil {
		return err
	}
	st, err := host.OpenStore(ctx, at, logger)
	if err != nil {
		return err
	}
	err = importInto(ctx, cmd.OutOrStdout(), st, snap)
	if err != nil {
		err = fmt.Errorf("nothing of %s was taken: %w", file, err)
	}
	return errors.Join(err, st.Close())
}

func importInto(ctx context.Context, out io.Writer, st store.Store, snap snapshot.Snapshot) error {
	changes, leftOut := snapshot.Changes(snap, parlor.FoldDigits, password.Hash)
	last, err := conflicts(ctx, st, changes)
	if err != nil {
		return err
	}
	users, games, invites, registration := 0, 0, 0, ""
	for i, c := range changes {
		switch c := c.(type) {
		case store.PutSetting:
			registration = c.Value
		case store.PutUser:
			users++
		case store.PutInvite:
			invites++
		case store.PutGame: // behind those that are there
			games++
			c.Number += last
			changes[i] = c
		case store.PutSave:
			c.Game += last
			changes[i] = c
		}
	}
	if err := st.Commit(ctx, changes...); err != nil {
		return err
	}
	fmt.Fprintf(out, "took into %s: %d users, %d games, %d invite codes; registration is %s\n", st.Path(), users, games, invites, registration)
	for _, what := range leftOut {
		fmt.Fprintf(out, "not taken: %s\n", what)
	}
	return nil
}

// conflicts is an error that names what is there already of what is to be made, or else the highest number of a game that is there.
func conflicts(ctx context.Context, st store.Store, changes []store.Change) (last int64, err error) {
	users, games, codes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range changes {
		switch c := c.(type) {
		case store.PutUser:
			users[c.Name] = true
		case store.PutGame:
			games[c.Name] = true
		case store.PutInvite:
			codes[c.Code] = true
		}
	}
	var both []string
	found := func(is bool, what string) {
		if is {
			both = append(both, what)
		}
	}
	for after := int64(0); ; {
		some, err := st.Users(ctx, after, 1000)
		if err != nil {
			return 0, err
		}
		if len(some) == 0 {
			break
		}
		for _, u := range some {
			after = u.Number
			found(users[u.Name], "user "+strconv.Quote(u.Name))
		}
	}
	there, err := st.Games(ctx)
	if err != nil {
		return 0, err
	}
	for _, g := range there {
		last = max(last, g.Number)
		found(games[g.Name], "game "+strconv.Quote(g.Name))
	}
	invites, err := st.Invites(ctx)
	if err != nil {
		return 0, err
	}
	if slices.ContainsFunc(invites, func(in store.Invite) bool { return codes[in.Code] }) {
		both = append(both, "an invite code")
	}
	if len(both) == 0 {
		return last, nil
	}
	text := strings.Join(both[:min(5, len(both))], ", ")
	if more := len(both) - 5; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return 0, fmt.Errorf("%s has already: %s: import into an empty store, or delete these first", st.Path(), text)
}

func exportSave(ctx context.Context, cmd *cobra.Command, file, at string) error {
	switch _, err := os.Lstat(file); {
	case err == nil:
		return fmt.Errorf("%s is there already: choose another name, or move it away", file)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := spare(file, at, ""); err != nil {
		return err
	}
	st, err := host.ReadStore(ctx, at)
	if err != nil {
		return err
	}
	defer st.Close()
	snap, lost, err := snapshot.Of(st.Export(ctx))
	now := time.Now().Unix()
	snap.Invites = slices.DeleteFunc(snap.Invites, func(in snapshot.Invite) bool { return in.Expires != 0 && in.Expires <= now }) // pgnet would take them
	if err == nil {
		err = replaceFile(file, func(w io.Writer) error { return pgnetfile.Write(w, snap) })
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", st.Path(), err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "wrote %s: %d users, %d games, %d invite codes; registration is %s\n",
		file, len(snap.Users), len(snap.Games), len(snap.Invites), map[bool]string{true: "on", false: "off"}[snap.Registration])
	for _, what := range lost {
		fmt.Fprintf(out, "not in it: %s\n", what)
	}
	if slices.ContainsFunc(snap.Invites, func(in snapshot.Invite) bool { return in.Expires != 0 }) {
		fmt.Fprintln(out, "pgnet does not look at when invite codes expire, nor at the kinds of games")
	}
	return nil
}
