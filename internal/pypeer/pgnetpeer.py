"""What a pgnet 0.2.1 client and server share: messages, encryption, the connection.

The section and defect numbers in these files are those of the project's
description of the pgnet 0.2.1 protocol. Where 0.2.1 is strict, lenient or simply
wrong, so are these peers: they stand in for the real ones in tests.
"""

import asyncio
import base64
import enum
import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Optional

from nacl.encoding import Base64Encoder
from nacl.public import Box, PrivateKey, PublicKey
from websockets.exceptions import ConnectionClosed

DEFAULT_PORT = 38929
ADMIN_USERNAME = "admin"
DEFAULT_ADMIN_PASSWORD = "admin"
DEFAULT_HEARTBEAT_RATE = 10
TIMEOUT = 5.0  # seconds for a send, and for a receive unless told otherwise

log = logging.getLogger("pgnetpeer")


class CipherError(Exception):
    """A message cannot be encrypted or decrypted."""


class DisconnectedError(Exception):
    """The connection has ended; the text is the reason (13.2)."""


class Status(enum.IntEnum):
    """Status codes of responses (3.4)."""

    OK = 0
    BAD = 1
    UNEXPECTED = 2


class Request:
    """Names of the built-in requests (7.2) and of the heartbeat (8.4)."""

    HELP = "__pgnet__.help"
    GAME_DIR = "__pgnet__.game_dir"
    CREATE_GAME = "__pgnet__.create_game"
    JOIN_GAME = "__pgnet__.join_game"
    LEAVE_GAME = "__pgnet__.leave_game"
    DEBUG = "__pgnet__.debug"
    SAVE = "__pgnet__.save"
    CREATE_INVITE = "__pgnet__.create_invite"
    DESTROY_GAME = "__pgnet__.destroy_game"
    DELETE_USER = "__pgnet__.delete_user"
    REGISTRATION = "__pgnet__.set_registration"
    VERBOSE = "__pgnet__.set_verbose"
    SLEEP = "__pgnet__.sleep"
    SHUTDOWN = "__pgnet__.shutdown"
    HEARTBEAT_UPDATE = "__pgnet__.heartbeat_update"


def timestamp() -> str:
    """The local time as `created_on` writes it (3.5)."""
    return datetime.now().astimezone().isoformat()


class Message:
    """JSON text of packets and responses: keys in the order of the fields."""

    def __post_init__(self):
        if not self.created_on:
            self.created_on = timestamp()

    def serialize(self) -> str:
        """The JSON text, with all keys."""
        try:
            fields = self.__dataclass_fields__
            return json.dumps({name: getattr(self, name) for name in fields})
        except Exception as exc:
            raise TypeError("Failed to serialize. See above exception.") from exc

    @classmethod
    def deserialize(cls, raw_data):
        """Read JSON text. A key that is not a field is an error (3.2)."""
        try:
            return cls(**json.loads(raw_data))
        except Exception as exc:
            raise TypeError("Failed to deserialize. See above exception.") from exc

    def as_dict(self) -> dict:
        """All keys and values, for reports."""
        return asdict(self)


@dataclass
class Packet(Message):
    """From client to server (3.3)."""

    message: str
    payload: dict[str, Any] = field(default_factory=dict)
    created_on: Optional[str] = None
    username: Optional[str] = None

    @property
    def debug_repr(self) -> str:
        """Debug text (7.4)."""
        head = f"Packet(message={self.message!r}, created_on={self.created_on!r})"
        return f"{head}+{self.payload!r}"


@dataclass
class Response(Message):
    """From server to client (3.4)."""

    message: str
    payload: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    created_on: Optional[str] = None
    disconnecting: bool = False
    game: Optional[str] = None

    @property
    def debug_repr(self) -> str:
        """Debug text (7.4)."""
        head = (
            f"Response(message={self.message!r}, status={self.status!r},"
            f" created_on={self.created_on!r})"
        )
        tail = f"(game={self.game!r}, disconnecting={self.disconnecting!r})"
        return f"{head}{tail}+{self.payload!r}"


class Tunnel:
    """The encryption between one key pair and one public key (4)."""

    def __init__(self, private_key: PrivateKey, pubkey: str):
        self.pubkey = pubkey
        self._box = Box(private_key, PublicKey(pubkey.encode(), Base64Encoder))

    def encrypt(self, plaintext: str) -> str:
        """Base64 of nonce, authenticator and ciphertext, with a random nonce."""
        try:
            return base64.b64encode(self._box.encrypt(plaintext.encode())).decode()
        except Exception as exc:
            raise CipherError("Failed to encrypt message.") from exc

    def decrypt(self, ciphertext: str) -> str:
        """The opposite; as lenient about base64 as 0.2.1, but text only."""
        if not isinstance(ciphertext, str):
            raise CipherError("Failed to encrypt message.")
        try:
            return self._box.decrypt(base64.b64decode(ciphertext)).decode()
        except Exception as exc:
            raise CipherError("Failed to encrypt message.") from exc

    def __repr__(self) -> str:
        return f"<Tunnel pubkey={self.pubkey[:6]}...>"


class Key:
    """A key pair: random, or from base64 of the private key."""

    def __init__(self, private: str = ""):
        if private:
            self._private = PrivateKey(private.encode(), Base64Encoder)
        else:
            self._private = PrivateKey.generate()

    @property
    def pubkey(self) -> str:
        """The public key in base64."""
        return self._private.public_key.encode(Base64Encoder).decode()

    def get_tunnel(self, pubkey: str) -> Tunnel:
        """The encryption towards the owner of `pubkey`."""
        return Tunnel(self._private, pubkey)


class Connection:
    """A WebSocket with optional encryption; every end is a DisconnectedError."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.tunnel: Optional[Tunnel] = None

    @property
    def remote(self) -> str:
        """IP:PORT of the other side (7.4)."""
        host, port = self.websocket.remote_address[:2]
        return f"{'localhost' if host == '::1' else host}:{port}"

    async def send(self, message: str, timeout: float = TIMEOUT):
        """Send one message, encrypted once there is a tunnel."""
        if self.tunnel:
            message = self._cipher(self.tunnel.encrypt, message)
        await self.send_frame(message, timeout)

    async def send_frame(self, frame, timeout: float = TIMEOUT):
        """Send text or bytes as they are."""
        await self._limited(self.websocket.send(frame), timeout)

    async def recv(self, timeout: float = TIMEOUT) -> str:
        """Await one message, decrypted once there is a tunnel."""
        frame = await self._limited(self.websocket.recv(), timeout)
        if self.tunnel:
            return self._cipher(self.tunnel.decrypt, frame)
        return frame

    async def close(self):
        """Close with code 1000."""
        await self.websocket.close()

    @staticmethod
    async def _limited(operation, timeout: float):
        try:
            return await asyncio.wait_for(operation, timeout)
        except asyncio.TimeoutError as exc:
            raise DisconnectedError("Connection timed out.") from exc
        except ConnectionClosed as exc:
            raise DisconnectedError("Connection closed.") from exc

    @staticmethod
    def _cipher(function, text: str) -> str:
        try:
            return function(text)
        except CipherError as exc:
            raise DisconnectedError(str(exc)) from exc
