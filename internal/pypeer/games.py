"""The base of game logic (8.1) and the two games the server can host."""

from typing import Optional

from pgnetpeer import DEFAULT_HEARTBEAT_RATE, Packet, Request, Response, Status


class Game:
    """Base of game logic; the server makes one object for each game."""

    persistent: bool = False
    heartbeat_rate: float = DEFAULT_HEARTBEAT_RATE

    def __init__(self, name: str, save_string: Optional[str] = None):
        """`save_string` is what `get_save_string` gave in the last session."""

    def user_joined(self, username: str):
        """A user has joined."""

    def user_left(self, username: str):
        """A user has left."""

    def handle_packet(self, packet: Packet) -> Response:
        """All packets of players; hands on to the next two."""
        if packet.message == Request.HEARTBEAT_UPDATE:
            return self.handle_heartbeat(packet)
        return self.handle_game_packet(packet)

    def handle_game_packet(self, packet: Packet) -> Response:
        """A packet of the application."""
        return Response(
            f"No packet handling configured for {type(self).__qualname__}",
            status=Status.UNEXPECTED,
        )

    def handle_heartbeat(self, packet: Packet) -> Response:
        """A heartbeat request."""
        return Response(
            f"No heartbeat update configured for {type(self).__qualname__}"
        )

    def get_save_string(self) -> str:
        """State to save."""
        return ""

    def get_lobby_info(self) -> str:
        """Public line for the directory."""
        return ""

    def update(self):
        """Background work, every 0.1 s."""


class ExampleGame(Game):
    """The example game: a shared log of lines (15)."""

    persistent = True

    def __init__(self, name: str, save_string: Optional[str] = None):
        self.log = save_string.split("\n") if save_string else ["Game started"]

    def user_joined(self, username: str):
        self.log.append(f"Joined: {username}")

    def user_left(self, username: str):
        self.log.append(f"Left: {username}")

    def handle_game_packet(self, packet: Packet) -> Response:
        self.log.append(f"{packet.username} says: {packet.message!r}")
        return Response("Message added.")

    def handle_heartbeat(self, packet: Packet) -> Response:
        return Response("Latest log entries.", {"log": self.log[-10:]})

    def get_save_string(self) -> str:
        return "\n".join(self.log)


class CaptureGame(Game):
    """The game behind the captures; their README describes it."""

    def __init__(self, name: str, save_string: Optional[str] = None):
        self.name = name
        self.persistent = name.startswith("keep")
        if name.startswith("slow"):
            self.heartbeat_rate = 2.5
        self._state = save_string or f"state of {name}"
        self._beats = 0

    def handle_game_packet(self, packet: Packet) -> Response:
        handlers = {
            "echo": self._echo,
            "status": lambda p: Response("status set", status=p.payload["status"]),
            "kick": lambda p: Response("You were removed.", disconnecting=True),
            "override_game": lambda p: Response(
                "tries to set game", game="elsewhere"
            ),
            "raise": self._raise,
            "not_a_response": lambda p: None,
        }
        handler = handlers.get(packet.message, super().handle_game_packet)
        return handler(packet)

    def handle_heartbeat(self, packet: Packet) -> Response:
        self._beats += 1
        return Response("beat", {"n": self._beats, "sent": packet.payload})

    def get_save_string(self) -> str:
        return self._state

    def get_lobby_info(self) -> str:
        return f"topic of {self.name}"

    @staticmethod
    def _echo(packet: Packet) -> Response:
        payload = {"username": packet.username, "payload": packet.payload}
        return Response("echo", payload)

    @staticmethod
    def _raise(packet: Packet) -> Response:
        raise RuntimeError("the game was asked to raise")


GAMES = {"example": ExampleGame, "capture": CaptureGame}
