package client

import (
	"context"

	"parlor"
	"parlor/internal/pyjson"
)

// GameInfo is one entry of the game directory.
type GameInfo struct {
	Name              string
	Users             int    // players now in the game
	PasswordProtected bool   // whether joining needs a password
	Info              string // the game's own line
}

// RefusedError is a request that the server refused.
type RefusedError struct {
	Response parlor.Response
}

func (e *RefusedError) Error() string { return e.Response.Message }

// GameOptions are what a game may be created or joined with. The zero value is none.
type GameOptions struct {
	// Password is that of the game.
	Password string
	// Kind is that of a game to create, on servers with several kinds; to join one of another kind is refused on Parlor's own
	// wires. Pgnet's servers refuse a Kind.
	Kind string
}

// GameDir asks for the directory, in the order of the games' creation. Like all game calls it goes ahead of
// other requests, blocks as Request does, and has the errors of Request besides a *RefusedError.
func (c *Client) GameDir(ctx context.Context) ([]GameInfo, error) {
	resp, err := c.gameCall(ctx, parlor.RequestGameDir, nil)
	if err != nil {
		return nil, err
	}
	return parseGameDir(resp.Payload)
}

// CreateGame creates a game and joins it. It blocks and fails as GameDir does.
func (c *Client) CreateGame(ctx context.Context, name string, opts GameOptions) error {
	_, err := c.gameCall(ctx, parlor.RequestCreateGame, gameArguments(name, opts))
	return err
}

// JoinGame joins a game; servers create it if it is missing, unless they are set to refuse. It blocks and
// fails as GameDir does.
func (c *Client) JoinGame(ctx context.Context, name string, opts GameOptions) error {
	_, err := c.gameCall(ctx, parlor.RequestJoinGame, gameArguments(name, opts))
	return err
}

// LeaveGame leaves the game. It blocks and fails as GameDir does.
func (c *Client) LeaveGame(ctx context.Context) error {
	_, err := c.gameCall(ctx, parlor.RequestLeaveGame, nil)
	return err
}

// gameCall makes a request of the lobby; an answer with another status than OK is a *RefusedError.
func (c *Client) gameCall(ctx context.Context, message string, payload any) (parlor.Response, error) {
	resp, err := c.ask(ctx, message, payload, true)
	if err == nil && resp.Status != parlor.StatusOK {
		err = &RefusedError{Response: resp}
	}
	return resp, err
}

// gameArguments names a game; options that are empty are not sent, as servers may not know them.
func gameArguments(name string, opts GameOptions) any {
	return struct {
		Name     string `json:"name"`
		Password string `json:"password,omitempty"`
		Kind     string `json:"kind,omitempty"`
	}{name, opts.Password, opts.Kind}
}

// parseGameDir reads the directory in its order, which a map would lose.
func parseGameDir(p parlor.Payload) ([]GameInfo, error) {
	var payload struct {
		Games parlor.Payload `json:"games"`
	}
	if err := p.Bind(&payload); err != nil {
		return nil, err
	}
	games := []GameInfo{}
	err := pyjson.Members(payload.Games.JSON(), 128, func(_, value []byte) error {
		var entry struct {
			Name              string         `json:"name"`
			Users             int            `json:"users"`
			PasswordProtected bool           `json:"password_protected"`
			Info              parlor.Payload `json:"info"` // pgnet's games may answer with anything
		}
		if err := pyjson.Bind(value, &entry); err != nil {
			return err
		}
		game := GameInfo{Name: entry.Name, Users: entry.Users, PasswordProtected: entry.PasswordProtected}
		if text, ok := pyjson.Unquote(entry.Info.JSON()); ok {
			game.Info = text
		} else if pyjson.KindOf(entry.Info.JSON()) != pyjson.Null {
			game.Info = entry.Info.String()
		}
		games = append(games, game)
		return nil
	})
	return games, err
}
