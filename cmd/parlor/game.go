package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/host"
	"parlor/internal/gamefile"
	"parlor/room"
	"parlor/store"
)

// gameRow is a game in a store, as --json prints it.
type gameRow struct {
	Name    string `json:"name"`
	Kind    string `json:"kind,omitempty"` // empty: the server's default
	Creator string `json:"creator,omitempty"`
	Durable bool   `json:"durable"`
	Saved   int    `json:"saved"`   // bytes of its newest save
	Entries uint64 `json:"entries"` // of its journal
	Journal int    `json:"journal"` // bytes of that
}

func gameCommand(games map[string]parlor.NewGame, usual string) *cobra.Command {
	return family("game", "List the games of a store, export one, and play that again", gameListCommand(), gameExportCommand(), gameReplayCommand(games, usual))
}

// gameStoreCommand is a command that reads a store, also while a server has it.
func gameStoreCommand(cmd *cobra.Command, run func(ctx context.Context, cmd *cobra.Command, args []string, st store.Store, at string) error) *cobra.Command {
	var at string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := host.BindEnv(cmd); err != nil {
			return err
		}
		ctx, stop := untilSignal(cmd)
		defer stop()
		st, err := host.ReadStore(ctx, at)
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%w: name the server's with --store", err)
		}
		if err != nil {
			return err
		}
		return errors.Join(run(ctx, cmd, args, st, at), st.Close())
	}
	storeFlags(cmd, &at, nil)
	return cmd
}

func gameListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the games that are stored", Long: "List the games that are stored, in the order of their creation. The server may run.", Args: host.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line: name, kind, creator, durable, bytes saved, entries and bytes of the journal")
	return gameStoreCommand(cmd, func(ctx context.Context, cmd *cobra.Command, _ []string, st store.Store, _ string) error {
		games, err := st.Games(ctx)
		if err != nil {
			return err
		}
		var rows []gameRow
		for _, g := range games {
			row := gameRow{Name: g.Name, Kind: g.Kind, Creator: g.Creator, Durable: g.Durable, Saved: g.Saved}
			for p, err := range st.Journal(ctx, g.Number, 0) {
				if err != nil {
					return err
				}
				row.Entries += p.Last - p.First + 1
				row.Journal += len(p.Data)
			}
			rows = append(rows, row)
		}
		return printRows(cmd.OutOrStdout(), asJSON, "NAME\tKIND\tCREATOR\tDURABLE\tSAVED\tENTRIES\tJOURNAL", rows, func(g gameRow) []any {
			return []any{g.Name, cmp.Or(g.Kind, "-"), cmp.Or(g.Creator, "-"), yesNo(g.Durable), g.Saved, g.Entries, g.Journal}
		})
	})
}

func gameExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export NAME FILE", Short: "Write a game with its save and journal into a file",
		Long: "Write a game with its save and journal into a file, for parlor game replay and parlortest.Replay. The server may run.\n\n" +
			"The journal has what users have sent, and what those who joined had been answered before, by the lobby and in other games: keep the file\n" +
			"private. The game's password is not in it.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("a NAME and a FILE are needed, and here are %d arguments; see %s --help", len(args), cmd.CommandPath())
			}
			return nil
		},
	}
	return gameStoreCommand(cmd, func(ctx context.Context, cmd *cobra.Command, args []string, st store.Store, at string) error {
		name, file := args[0], args[1]
		if err := spare(file, at, ""); err != nil {
			return err
		}
		games, err := st.Games(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(games, func(g store.Game) bool { return g.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no game %q in %s; parlor game list shows those that there are", name, st.Path())
		}
		f, err := readGame(ctx, st, games[i])
		if err != nil {
			return err
		}
		if err := replaceFile(file, func(w io.Writer) error { return gamefile.Write(w, f) }); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: a save of %d bytes, and %d pieces of a journal\n", file, len(f.Save.Data), len(f.Pieces))
		return nil
	})
}

// readGame reads what is stored of a game, as of one moment: again if its server has saved meanwhile, as that may drop a part of its journal.
func readGame(ctx context.Context, st store.Store, g store.Game) (f gamefile.File, err error) {
	save, err := newestSave(ctx, st, g)
	for err == nil {
		f = gamefile.File{Name: g.Name, Kind: g.Kind, Durable: g.Durable}
		f.Save = room.Save{Entry: save.Entry, Version: save.Version, Data: save.Data, Room: save.Room}
		for p, err := range st.Journal(ctx, g.Number, 0) {
			if err != nil {
				return f, err
			}
			f.Pieces = append(f.Pieces, room.Piece{First: p.First, Entries: p.Data})
		}
		before := save.Entry
		if save, err = newestSave(ctx, st, g); save.Entry == before {
			break
		}
	}
	if err != nil {
		return f, err
	}
	games, err := st.Games(ctx)
	if err == nil && !slices.ContainsFunc(games, func(there store.Game) bool { return there.Number == g.Number }) {
		err = fmt.Errorf("game %q has just ended", g.Name) // of one that is gone there is neither save nor journal
	}
	return f, err
}

// newestSave is empty if there is none.
func newestSave(ctx context.Context, st store.Store, g store.Game) (store.Save, error) {
	save, err := st.Save(ctx, g.Number)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return save, err
}

func gameReplayCommand(games map[string]parlor.NewGame, usual string) *cobra.Command {
	return &cobra.Command{
		Use: "replay FILE", Short: "Play an exported game again, step by step",
		Long: "Play a game again that parlor game export has written, print each entry of its journal, and end with an error at the first that does\n" +
			"something else than it did. What a server has undone (--divergence from-save) is left out, with all before it.\n\n" +
			"The games are those of parlor serve. Those of a server of your own, for which parlor game list shows no kind, are played by\n" +
			"parlortest.Replay in a test beside their code.",
		Args: oneName("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			f, err := gamefile.Read(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			newGame := games[cmp.Or(f.Kind, usual)]
			switch {
			case newGame == nil:
				return fmt.Errorf("%s: game %q is of the kind %q, and here are %s; parlortest.Replay plays those of other programs",
					args[0], f.Name, f.Kind, strings.Join(slices.Sorted(maps.Keys(games)), ", "))
			case !f.Durable:
				return fmt.Errorf("%s: game %q is not durable: it has no journal", args[0], f.Name)
			}
			logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			hint := ""
			if f.Kind == "" {
				hint = "; it does not say of which kind it is, and was played as " + usual + ": if it is a game of another program, use parlortest.Replay"
			}
			steps := 0
			for step, err := range room.Replay(f.Name, newGame, f.Stored, logger) {
				if err != nil {
					return fmt.Errorf("%s: %w%s", args[0], err, hint)
				}
				fmt.Fprintln(cmd.OutOrStdout(), visible(step.Entry.String()))
				if steps++; step.Diverged != nil {
					return fmt.Errorf("%s: %w%s", args[0], step.Diverged, hint)
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries were played, and did what they did\n", steps)
			return nil
		},
	}
}
