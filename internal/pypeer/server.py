"""A server that behaves as pgnet 0.2.1 (sections 2 and 5 to 12).

    server.py --game capture --admin-password secret --save-file save.json

prints {"event": "listening", "port": N, "pubkey": "..."} when it is open and
ends with the exit code of the server. With --stdin it takes JSON lines on
standard input: {"op": "shutdown", "result": N}; the end of input stops it too.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import re
import secrets
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from websockets.legacy.server import serve

from games import GAMES, Game
from lines import emit, read_commands
from pgnetpeer import (
    ADMIN_USERNAME,
    DEFAULT_ADMIN_PASSWORD,
    DEFAULT_PORT,
    Connection,
    DisconnectedError,
    Key,
    Packet,
    Request,
    Response,
    Status,
    log,
)

PACKET_TIMEOUT = 3600.0  # seconds a logged in client may be silent (6.4)
GAME_UPDATE_INTERVAL = 0.1
AUTOSAVE_INTERVAL = 300
SALT_SIZE = 20
MAX_SLEEP = 5


def is_username_allowed(name: str) -> bool:
    """The rule for new users (9)."""
    if not 3 <= len(name) <= 20 or ADMIN_USERNAME in name.lower():
        return False
    return re.fullmatch(r"[a-zA-Z\d]+", name) is not None


def is_gamename_allowed(name: str) -> bool:
    """The rule for new games (9)."""
    if not 3 <= len(name) <= 50 or ADMIN_USERNAME in name.lower():
        return False
    return re.fullmatch(r"[a-zA-Z\d][a-zA-Z\d\s]+[a-zA-Z\d]", name) is not None


def refused(text: str) -> Response:
    """An answer to a request that is not possible."""
    return Response(text, status=Status.UNEXPECTED)


@dataclass
class User:
    """A registered user (10.2)."""

    name: str
    salt: str
    hashed_password: str

    @classmethod
    def from_name_password(cls, name: str, password: str) -> "User":
        """A new user with a random salt."""
        salt = secrets.token_hex(SALT_SIZE)
        return cls(name, salt, cls.hash_password(salt, password))

    def compare_password(self, password: str) -> bool:
        """Whether this is the user's password."""
        return self.hash_password(self.salt, password) == self.hashed_password

    @staticmethod
    def hash_password(salt: str, password: Any) -> str:
        """SHA-256 of salt text and password; other types become text (5.3)."""
        return hashlib.sha256(f"{salt}{password}".encode()).hexdigest()


@dataclass
class LobbyGame:
    """A game in the server's table."""

    game: Game = field(repr=False)
    name: str
    password: str
    connected_users: set[str] = field(default_factory=set)

    @property
    def heartbeat_rate(self) -> float:
        """The game's rate, read when needed."""
        return self.game.heartbeat_rate

    @property
    def password_protected(self) -> bool:
        """The empty password means none."""
        return bool(self.password)

    @property
    def expired(self) -> bool:
        """Without players, and not to be kept."""
        return not self.connected_users and not self.game.persistent

    def add_user(self, username: str):
        """Add, then tell the game."""
        self.connected_users.add(username)
        self.game.user_joined(username)

    def remove_user(self, username: str):
        """Remove, then tell the game."""
        self.connected_users.remove(username)
        self.game.user_left(username)


class UserConnection(Connection):
    """A client's connection, with the user's name and game."""

    def __init__(self, websocket):
        super().__init__(websocket)
        self.username = ""
        self.game: Optional[str] = None

    def __repr__(self) -> str:
        return (
            f"UserConnection(tunnel={self.tunnel}, remote={self.remote!r},"
            f" username={self.username!r}, game={self.game!r})"
        )


@dataclass
class RequestHandler:
    """A built-in request: its method, arguments with type and default, rights."""

    method: Callable[..., Response]
    arguments: dict[str, tuple[type, Any]] = field(default_factory=dict)
    admin: bool = False


class Server:
    """Hosts games. Single-threaded: each packet is handled without interruption."""

    def __init__(
        self,
        game: type[Game],
        *,
        listen_globally: bool = False,
        port: int = DEFAULT_PORT,
        admin_password: Optional[str] = None,
        registration_enabled: bool = True,
        require_user_password: bool = False,
        on_connection: Optional[Callable[[str, bool], Any]] = None,
        verbose_logging: bool = False,
        save_file: Optional[str] = None,
        key: str = "",
    ):
        """`key` is the private key in base64; empty: a new one, as 0.2.1 does."""
        self.registration_enabled = registration_enabled
        self.on_connection = on_connection
        self.verbose_logging = verbose_logging
        self._game_class = game
        self._host = None if listen_globally else "localhost"
        self._port = port
        self._require_user_password = require_user_password
        self._save_file = save_file
        self._key = Key(key)
        self._running = False
        self._result: Optional[int] = None
        self._users: dict[str, User] = {}
        self._deleted_users: set[str] = set()
        self._invite_codes: dict[str, str] = {}
        self._connections: dict[str, UserConnection] = {}
        self._games: dict[str, LobbyGame] = {}
        self._requests = self._make_requests()
        self._register(ADMIN_USERNAME, admin_password or DEFAULT_ADMIN_PASSWORD)
        self._load()

    @property
    def pubkey(self) -> str:
        """The server's public key."""
        return self._key.pubkey

    # Life cycle (12)

    async def async_run(self, on_start: Optional[Callable[[], Any]] = None) -> int:
        """Run until stopped; returns the exit code.

        An exception in a game's update or save string leaves this call without
        saving, and leaves the object marked as running, so it is unusable.
        """
        if self._running:
            raise RuntimeError("Cannot run the server more than once concurrently.")
        self._running = True
        self._result = None
        server = await self._listen()
        try:
            if on_start:
                on_start()
            await self._main_loop()
        finally:
            server.close()  # closes connections with 1001
            await server.wait_closed()
        self._save()
        self._running = False
        return self._result

    def shutdown(self, result: int = 0):
        """Stop; the first result counts."""
        if self._running and self._result is None:
            self._result = result

    def delete_user(self, username: str):
        """Delete, or mark if connected (10.4)."""
        if username == ADMIN_USERNAME:
            return
        if username in self._connections:
            self._deleted_users.add(username)
        else:
            del self._users[username]

    async def _listen(self):
        try:
            return await serve(self._serve_connection, self._host, self._port)
        except OSError as exc:
            text = "Server fail. Perhaps one is already running?"
            raise OSError(f"{text} {exc}") from exc

    async def _main_loop(self):
        last_update = last_save = time.time()
        while self._result is None:
            await asyncio.sleep(GAME_UPDATE_INTERVAL)
            now = time.time()
            if now - last_update >= GAME_UPDATE_INTERVAL:
                last_update = now
                for game in self._games.values():
                    game.game.update()
            if now - last_save >= AUTOSAVE_INTERVAL:
                last_save = now
                self._save()

    # Saving (11)

    def _load(self):
        if not self._save_file or not Path(self._save_file).is_file():
            return
        data = json.loads(Path(self._save_file).read_text())
        for user in data["users"]:
            if user["name"] != ADMIN_USERNAME:
                loaded = User(user["name"], user["salt"], user["password"])
                self._users[loaded.name] = loaded
        for game in data["games"]:
            self._add_game(game["name"], game["password"], game["data"])
        self.registration_enabled = data["registration"]
        self._invite_codes |= data["invite_codes"]

    def _save(self) -> bool:
        if not self._save_file:
            return False
        data = {
            "users": self._saved_users(),
            "games": self._saved_games(),
            "registration": self.registration_enabled,
            "invite_codes": self._invite_codes,
        }
        path = Path(self._save_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=4))
        return True

    def _saved_users(self) -> list[dict]:
        return [
            {"name": u.name, "salt": u.salt, "password": u.hashed_password}
            for u in self._users.values()
            if u.name != ADMIN_USERNAME
        ]

    def _saved_games(self) -> list[dict]:
        saved = []
        for game in self._games.values():
            if game.game.persistent and (data := game.game.get_save_string()):
                saved.append(
                    {"name": game.name, "password": game.password, "data": data}
                )
        return saved

    # Connections (5 and 6)

    async def _serve_connection(self, websocket):
        """One connection from start to end.

        Returning closes it with 1000, any other exception with 1011. A failed
        _enter removes the connection it collided with (defect 2).
        """
        connection = UserConnection(websocket)
        try:
            await self._trade_keys(connection)
            await self._log_in(connection)
            try:
                self._enter(connection)
                await self._session(connection)
            finally:
                self._remove(connection)
        except DisconnectedError as exc:
            log.debug("%s: %s", connection.remote, exc)

    async def _trade_keys(self, connection: UserConnection):
        packet = Packet.deserialize(await connection.recv())
        pubkey = packet.payload.get("pubkey")
        if not pubkey or not isinstance(pubkey, str):
            await self._refuse_login(connection, "Missing public key string.")
        response = Response("key_trade", {"pubkey": self.pubkey})
        await connection.send(response.serialize())
        connection.tunnel = self._key.get_tunnel(pubkey)

    async def _log_in(self, connection: UserConnection):
        packet = Packet.deserialize(await connection.recv())
        username = packet.payload.get("username")
        password = packet.payload.get("password", "")
        invite_code = packet.payload.get("invite_code", "")
        if refusal := self._check_login(username, password, invite_code):
            await self._refuse_login(connection, refusal)
        connection.username = username
        await connection.send(Response("Authenticated.").serialize())

    @staticmethod
    async def _refuse_login(connection: UserConnection, text: str):
        response = Response(text, status=Status.BAD, disconnecting=True)
        await connection.send(response.serialize())
        raise DisconnectedError(text)

    def _check_login(self, username, password, invite_code) -> str:
        """Why the login is refused, empty if accepted; in the order of 5.3."""
        if not username:
            return "Missing non-empty username."
        if username in self._deleted_users:
            return "User deleted."
        if username in self._connections:
            return "Username already connected."
        if user := self._users.get(username):
            matches = user.compare_password(password)
            return "" if matches else "Incorrect password."
        if refusal := self._check_new_user(username, password, invite_code):
            return refusal
        self._register(username, password)
        if invite_code:
            del self._invite_codes[invite_code]
        return ""

    def _check_new_user(self, username, password, invite_code) -> str:
        if invite_code:
            if self._invite_codes.get(invite_code) not in ("", username):
                return "Incorrect username or invite code."
        elif not self.registration_enabled:
            return "Registration blocked."
        if self._require_user_password and not password:
            return "User password required."
        if not is_username_allowed(username):
            return "Username not allowed."
        return ""

    def _register(self, username: str, password: str):
        self._users[username] = User.from_name_password(username, password)

    def _enter(self, connection: UserConnection):
        if connection.username in self._connections:
            raise RuntimeError(f"{connection.username!r} is connected")
        self._connections[connection.username] = connection
        if self.on_connection:
            self.on_connection(connection.username, True)

    def _remove(self, connection: UserConnection):
        self._leave(connection)
        self._connections.pop(connection.username, None)
        if self.on_connection:
            self.on_connection(connection.username, False)
        if connection.username in self._deleted_users:
            self._deleted_users.remove(connection.username)
            self.delete_user(connection.username)

    async def _session(self, connection: UserConnection):
        disconnecting = False
        while not disconnecting:
            packet = Packet.deserialize(await connection.recv(PACKET_TIMEOUT))
            packet.username = connection.username
            if self.verbose_logging:
                log.info("%s: %s", connection.username, packet.debug_repr)
            response = self._handle_packet(packet, connection)
            response.game = connection.game
            if self.verbose_logging:
                log.info("%s: %s", connection.username, response.debug_repr)
            await connection.send(response.serialize())
            disconnecting = response.disconnecting

    def _handle_packet(self, packet: Packet, connection: UserConnection) -> Response:
        """Route a packet (6.2)."""
        if connection.username in self._deleted_users:
            return Response("User deleted.", disconnecting=True)
        if handler := self._requests.get(packet.message):
            return self._handle_request(handler, packet, connection)
        if connection.game:
            return self._handle_game_packet(packet, connection)
        return Response(
            "Please create/join a game.",
            {"commands": list(self._requests), "packet": packet.debug_repr},
            status=Status.UNEXPECTED,
        )

    def _handle_game_packet(
        self, packet: Packet, connection: UserConnection
    ) -> Response:
        response = self._games[connection.game].game.handle_packet(packet)
        if response.disconnecting:  # from the game, not from the server (8.3)
            response.disconnecting = False
            self._leave(connection)
        return response

    # Built-in requests (7)

    def _make_requests(self) -> dict[str, RequestHandler]:
        name, username = {"name": (str, "")}, {"username": (str, "")}
        name_password = name | {"password": (str, "")}
        set_as = {"set_as": (bool, False)}
        seconds = {"seconds": (float, 1)}
        handler, admin = RequestHandler, True
        return {
            Request.HELP: handler(self._help),
            Request.GAME_DIR: handler(self._game_dir),
            Request.CREATE_GAME: handler(self._create_game, name_password),
            Request.JOIN_GAME: handler(self._join_game, name),
            Request.LEAVE_GAME: handler(self._leave_game),
            Request.DEBUG: handler(self._debug, {}, admin),
            Request.SAVE: handler(self._save_now, {}, admin),
            Request.CREATE_INVITE: handler(self._create_invite, username, admin),
            Request.DESTROY_GAME: handler(self._destroy_game, name, admin),
            Request.DELETE_USER: handler(self._delete_user, username, admin),
            Request.REGISTRATION: handler(self._set_registration, set_as, admin),
            Request.VERBOSE: handler(self._set_verbose, set_as, admin),
            Request.SLEEP: handler(self._sleep, seconds, admin),
            Request.SHUTDOWN: handler(self._shutdown, {}, admin),
        }

    def _handle_request(
        self, handler: RequestHandler, packet: Packet, connection: UserConnection
    ) -> Response:
        if handler.admin and connection.username != ADMIN_USERNAME:
            return refused(f"{packet.message!r} requires admin privileges.")
        for key, value in packet.payload.items():
            if key not in handler.arguments:
                return refused(
                    f"Unexpected argument {key!r} for request {packet.message!r}"
                )
            expected = handler.arguments[key][0]
            if type(value) is not expected:
                return refused(
                    f"Expected argument type {expected} for argument {key!r}."
                    f" Instead got: {type(value)} {value!r}"
                )
        defaults = {key: default for key, (_, default) in handler.arguments.items()}
        return handler.method(packet, connection, **(defaults | packet.payload))

    def _help(self, packet, connection) -> Response:
        requests = {
            request: {arg: kind.__name__ for arg, (kind, _) in h.arguments.items()}
            for request, h in self._requests.items()
        }
        return Response("See payload for requests.", requests)

    def _game_dir(self, packet, connection) -> Response:
        games = {
            game.name: {
                "name": game.name,
                "users": len(game.connected_users),
                "password_protected": game.password_protected,
                "info": game.game.get_lobby_info(),
            }
            for game in self._games.values()
        }
        return Response("See payload for games directory.", {"games": games})

    def _create_game(self, packet, connection, name, password="") -> Response:
        if connection.game:
            return refused("Must leave game first.")
        if not is_gamename_allowed(name):
            return refused("Game name not allowed.")
        if name in self._games:
            return refused("Game name already exists.")
        self._add_game(name, password)
        return self._join(connection, name, f"Created new game: {name!r}.")

    def _join_game(self, packet, connection, name) -> Response:
        if connection.game:
            return refused("Must leave game first.")
        if not name:
            return refused("Please specify a game name.")
        if name not in self._games:
            return self._create_game(packet, connection, name)
        if self._games[name].password_protected:  # never given (defect 1)
            return refused("Failed to join game: Incorrect password.")
        return self._join(connection, name, f"Joined game: {name!r}.")

    def _leave_game(self, packet, connection) -> Response:
        if not connection.game:
            return refused("Not in game.")
        name = connection.game
        self._leave(connection)
        return Response(f"Left game: {name!r}.")

    def _debug(self, packet, connection) -> Response:
        games = sorted(self._games.values(), key=lambda g: g.name)
        users = sorted(self._connections.values(), key=lambda c: c.username)
        payload = {
            "packet": packet.debug_repr,
            "pubkey": self.pubkey,
            "games": [repr(game) for game in games],
            "connected_users": [repr(user) for user in users],
            "all_users": sorted(self._users),
            "registration": self.registration_enabled,
            "invite_codes": self._invite_codes,
            "deleted_users": list(self._deleted_users),
            "verbose": self.verbose_logging,
        }
        return Response("Debug", payload)

    def _save_now(self, packet, connection) -> Response:
        success = self._save()
        return Response(
            f"Saved success={success} server data to disk: {self._save_file}"
        )

    def _create_invite(self, packet, connection, username) -> Response:
        code = secrets.token_hex(2)
        self._invite_codes[code] = username
        return Response(f"Created invite code: {code}")

    def _destroy_game(self, packet, connection, name) -> Response:
        if name not in self._games:
            return refused(f"No such game: {name!r}")
        for username in list(self._games[name].connected_users):
            self._leave(self._connections[username])
        self._games.pop(name, None)
        return Response(f"Destroyed game: {name!r}")

    def _delete_user(self, packet, connection, username) -> Response:
        if username not in self._users:
            return Response(f"No such username {username!r}")
        self.delete_user(username)
        return Response(f"Requested delete user {username!r}")

    def _set_registration(self, packet, connection, set_as) -> Response:
        self.registration_enabled = set_as
        return Response(f"Registration enabled: {set_as}")

    def _set_verbose(self, packet, connection, set_as) -> Response:
        self.verbose_logging = set_as
        return Response(f"Verbose logging enabled: {set_as}")

    def _sleep(self, packet, connection, seconds) -> Response:
        seconds = min(MAX_SLEEP, seconds)
        time.sleep(seconds)  # the whole server (defect 19)
        return Response(f"Slept for {seconds} seconds")

    def _shutdown(self, packet, connection) -> Response:
        self.shutdown()
        return Response("Shutting down...")

    # Games (8.2)

    def _add_game(self, name: str, password: str, data: Optional[str] = None):
        game = self._game_class(name=name, save_string=data)
        self._games[name] = LobbyGame(game, name, password)

    def _join(self, connection: UserConnection, name: str, text: str) -> Response:
        game = self._games[name]
        game.add_user(connection.username)
        connection.game = name
        return Response(text, {"heartbeat_rate": game.heartbeat_rate})

    def _leave(self, connection: UserConnection):
        """Take the user out of the game, if in one; the game may end."""
        if not connection.game:
            return
        game = self._games[connection.game]
        connection.game = None
        game.remove_user(connection.username)
        if game.expired:
            del self._games[game.name]


def free_port() -> int:
    """A port that is free for IPv4 and IPv6 alike, most likely."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def obey_commands(server: Server):
    """Follow standard input; its end stops the server."""
    async for command in read_commands():
        if command["op"] == "shutdown":
            server.shutdown(command.get("result", 0))
    server.shutdown()


async def run(options: argparse.Namespace) -> int:
    """Run a server with the given options; returns its exit code."""
    port = options.port or free_port()
    server = Server(
        GAMES[options.game],
        listen_globally=options.listen_globally,
        port=port,
        admin_password=options.admin_password,
        registration_enabled=not options.no_registration,
        require_user_password=options.require_password,
        save_file=options.save_file,
        key=options.key,
    )
    task = asyncio.create_task(obey_commands(server)) if options.stdin else None

    def on_start():
        emit("listening", port=port, pubkey=server.pubkey)

    result = await server.async_run(on_start)
    if task:
        task.cancel()
    return result


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flag = {"action": "store_true"}
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--game", choices=GAMES, default="example")
    parser.add_argument("--admin-password", help="default: admin")
    parser.add_argument("--save-file", help="where to save and load")
    parser.add_argument("--no-registration", **flag)
    parser.add_argument("--require-password", **flag)
    parser.add_argument("--listen-globally", **flag)
    parser.add_argument("--key", default="", help="private key in base64")
    parser.add_argument("--stdin", **flag, help="take commands, end with the input")
    parser.add_argument("--verbose", **flag, help="log to standard error")
    return parser.parse_args()


def main():
    """Run the server of the command line."""
    options = parse_arguments()
    level = logging.DEBUG if options.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr)
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
