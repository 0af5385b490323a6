package parlor

// The requests that the lobby answers itself (section 7.2), by their texts on the wire.
const (
	RequestHelp            = "__pgnet__.help"
	RequestGameDir         = "__pgnet__.game_dir"
	RequestCreateGame      = "__pgnet__.create_game"
	RequestJoinGame        = "__pgnet__.join_game"
	RequestLeaveGame       = "__pgnet__.leave_game"
	RequestDebug           = "__pgnet__.debug"
	RequestSave            = "__pgnet__.save"
	RequestCreateInvite    = "__pgnet__.create_invite"
	RequestDestroyGame     = "__pgnet__.destroy_game"
	RequestDeleteUser      = "__pgnet__.delete_user"
	RequestSetRegistration = "__pgnet__.set_registration"
	RequestSetVerbose      = "__pgnet__.set_verbose"
	RequestSleep           = "__pgnet__.sleep"
	RequestShutdown        = "__pgnet__.shutdown"
)

// The requests of the lobby that are Parlor's own. They are for the clients of its own wires (docs/PROTOCOL.md, section 6); to those
// of pgnet's wire they are like any name that nobody knows.
const (
	RequestSubscribe      = "__parlor__.subscribe"       // to what changes in the directory of games
	RequestUnsubscribe    = "__parlor__.unsubscribe"     // from it
	RequestChangePassword = "__parlor__.change_password" // one's own

	// For the administrator.
	RequestCreateUser   = "__parlor__.create_user"
	RequestSetPassword  = "__parlor__.set_password"
	RequestListUsers    = "__parlor__.list_users"
	RequestListInvites  = "__parlor__.list_invites"
	RequestRevokeInvite = "__parlor__.revoke_invite"
)

// RequestOwnPrefix begins the texts of Parlor's own requests and pushes.
const RequestOwnPrefix = "__parlor__"

// What the lobby pushes by itself to the clients of Parlor's own wires. Such a push is of no game.
const (
	// PushGamesChanged tells subscribers what has changed in the directory of games: "changed" has the games that are new or
	// not as they were, as the directory has them, and "gone" the names of those that are not there any more.
	PushGamesChanged = "__parlor__.games_changed"
	// PushGames gives a subscriber who was too slow for some changes the whole directory, as the answer to RequestGameDir does.
	PushGames = "__parlor__.games"
	// PushLeftGame tells a user that she is not in "game" any more, and has not asked for it: it has ended, was destroyed, or has put her out.
	PushLeftGame = "__parlor__.left_game"
	// PushDraining tells that the server is about to stop: in so many "seconds" at most.
	PushDraining = "__parlor__.draining"
)

// RequestHeartbeat is reserved too, but belongs to the game (section 8.4): the room hands it to the game's
// [HeartbeatHandler].
const RequestHeartbeat = "__pgnet__.heartbeat_update"

// RequestPrefix begins the text of every reserved request. Names that begin so but are not listed here reach
// the game, if the user is in one (section 6.2).
const RequestPrefix = "__pgnet__"

// The messages of the login, and the constants that both sides share.
const (
	MessageKeyTrade      = "key_trade"
	MessageHandshake     = "handshake"
	MessageAuthenticated = "Authenticated."

	DefaultPort          = 38929   // the port of a lobby (section 2.1)
	AdminName            = "admin" // the user who may use administrator requests
	DefaultHeartbeatRate = 10      // heartbeats a second, where a game names none
	DefaultUpdateRate    = 10      // updates a second, where a game names none (section 8.1)
	MaxMessageSize       = 1 << 20 // bytes of one text frame that a pgnet peer accepts (section 2.3)
)
