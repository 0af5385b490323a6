"""What a peng3dnet 0.2.0 client and server share: frames, bodies, registry, connection.

The section and defect numbers in these files are those of the project's description
of the peng3dnet 0.2.0 protocol. On the wire these peers do as 0.2.0 does, defects
included, but for the hang on a split length prefix (D1): with the option `d1` that
ends the program after an event `hung`.
"""

import asyncio
import os
import socket
import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Iterator, Optional

import msgpack

from lines import emit

VERSION = "0.2.0"
PROTOVERSION = 2
READ_SIZE = 1024  # bytes of one read (1)
FIRST_AUTO_PID = 64

HELLO, SETTYPE, HANDSHAKE, ACCEPT, CLOSE = 1, 2, 3, 4, 16
PING, PONG = 64, 65  # of ping connections, not registered (11)
INTERNAL = {
    "peng3dnet:internal.hello": HELLO,
    "peng3dnet:internal.settype": SETTYPE,
    "peng3dnet:internal.handshake": HANDSHAKE,
    "peng3dnet:internal.handshake.accept": ACCEPT,
    "peng3dnet:internal.closeconn": CLOSE,
}
STATE_INIT, STATE_WAIT1, STATE_WAITTYPE, STATE_HELLOWAIT = 0, 1, 3, 4
STATE_ACTIVE, STATE_CLOSED = 64, 128
MODE_CLOSED, MODE_PING = 1, 2
COMPRESSED, AES = 1, 2
HEADER = struct.Struct(">LLH")  # length of what follows the length, pid, flags


class BadFrame(Exception):
    """A frame that cannot be decoded: 0.2.0 stops processing (D2, D3)."""


@dataclass
class Compression:
    """Options of what is sent (1)."""

    enabled: bool = True
    threshold: int = 8192
    level: int = 6


def encode(pid: int, value: Any, compression: Compression) -> bytes:
    """The frame of a packet."""
    body, flags = msgpack.packb(value), 0
    if compression.enabled and len(body) > compression.threshold:
        body, flags = zlib.compress(body, compression.level), COMPRESSED
    return HEADER.pack(6 + len(body), pid, flags) + body


def decode(frame: bytes) -> tuple[int, int, Any]:
    """The pid, flags and value of a whole frame."""
    if len(frame) < HEADER.size:
        raise BadFrame("length below 6")
    _, pid, flags = HEADER.unpack_from(frame)
    body = frame[HEADER.size :]
    if flags & AES:
        raise BadFrame("AES is not implemented")
    try:
        if flags & COMPRESSED:
            body = zlib.decompress(body)
        return pid, flags, msgpack.unpackb(body)
    except Exception as exc:  # each of the two libraries has many
        raise BadFrame(f"{type(exc).__name__}: {exc}") from exc


class Framer:
    """Cuts a stream into frames."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take what came, and give the frames that are whole."""
        self._buffer += chunk
        while len(self._buffer) >= 4:
            size = 4 + int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) < size:
                return
            frame = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield frame

    @property
    def in_prefix(self) -> bool:
        """Whether the stream has stopped within a length prefix (D1)."""
        return 0 < len(self._buffer) < 4


class Registry:
    """Names and pids. Automatic pids ignore those in use (D15)."""

    def __init__(self):
        self.pids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.smart: set[str] = set()
        self._next = FIRST_AUTO_PID

    def register(self, name: str, pid: Optional[int] = None, smart: bool = False):
        """Add a packet. A smart one is valid in state 64 alone."""
        if pid is None:
            pid, self._next = self._next, self._next + 1
        self.pids[name], self.names[pid] = pid, name
        if smart:
            self.smart.add(name)

    def remap(self, server: dict[str, int]):
        """Take over the server's pids, one by one; names can get lost (D5)."""
        for name, pid in server.items():
            if name not in self.pids or self.pids[name] == pid:
                continue
            if loser := self.names.get(pid):
                del self.pids[loser]
            self.names.pop(self.pids[name], None)
            self.pids[name], self.names[pid] = pid, name

    def pid_of(self, packet) -> int:
        """The pid of a name; pids pass."""
        return packet if isinstance(packet, int) else self.pids[packet]


@dataclass
class Options:
    """What a peer is started with; keys of the JSON that drives it."""

    port: int = 0
    host: str = "127.0.0.1"
    packets: list = field(default_factory=list)  # {"name", "id", "smart"}
    compression: dict = field(default_factory=dict)
    conntypes: dict = field(default_factory=dict)  # own ones: name to state, or null
    echo: bool = False  # send packets of the application back
    d1: bool = False
    delay: float = 0  # seconds from reading a frame to handling it
    # of servers
    ping: Optional[dict] = None  # {"func", "data", "writeback"}: ping is served
    # of clients
    conntype: str = "classic"
    data: Any = None  # of the ping
    autosync: bool = True
    missing: str = "closeconnection"
    version: str = VERSION
    protoversion: int = PROTOVERSION


class Connection:
    """One end of a connection, on a socket of its own."""

    def __init__(self, peer: "Peer", sock: socket.socket, cid: Optional[int]):
        self.peer = peer
        self.cid = cid
        self.state, self.mode, self.conntype = STATE_INIT, 0, "_notset"
        self.closed = False
        self._sock = sock
        self._framer = Framer()
        self._queue: asyncio.Queue = asyncio.Queue()
        self._finisher: Optional[asyncio.Task] = None
        self._writer = asyncio.create_task(self._write())
        self._reader = asyncio.create_task(self._read())

    @property
    def is_server(self) -> bool:
        """The side."""
        return self.cid is not None

    def send(self, pid: int, value: Any):
        """Queue a packet."""
        self.send_raw(encode(pid, value, self.peer.compression))

    def send_raw(self, data: bytes):
        """Queue bytes as they are, for one write."""
        self._queue.put_nowait(data)

    def close(self, reason: Any):
        """Send CloseConnection. A server closes the socket after it (10)."""
        self.send(CLOSE, {"reason": reason})
        if self.is_server:
            self._queue.put_nowait(None)

    def drop(self, reason: Any = None):
        """Close the socket at once."""
        if self.closed:
            return
        self.closed = True
        self.peer.on_close(self, reason)
        self.state, self.mode = STATE_CLOSED, MODE_CLOSED
        self._writer.cancel()
        self._reader.cancel()
        self._finisher = asyncio.create_task(self._finish())

    async def _finish(self):
        # Not before: the loop still watches the descriptor for them.
        await asyncio.wait((self._writer, self._reader))
        self._sock.close()

    async def _write(self):
        loop = asyncio.get_running_loop()
        try:
            while (data := await self._queue.get()) is not None:
                await loop.sock_sendall(self._sock, data)
        except OSError:
            return  # the reader sees the end
        self.drop()  # a server's own close reports no reason (D8)

    async def _read(self):
        loop = asyncio.get_running_loop()
        try:
            while chunk := await loop.sock_recv(self._sock, READ_SIZE):
                for frame in self._framer.feed(chunk):
                    self.peer.queue(self, frame)
                    if self.closed:
                        return
                if self._framer.in_prefix and self.peer.options.d1:
                    emit("hung", cid=self.cid)
                    os._exit(3)
        except OSError:
            pass
        self.drop(None if self.is_server else "socketclose")


class Peer:
    """What servers and clients do alike."""

    def __init__(self, options: Options):
        self.options = options
        self.compression = Compression(**options.compression)
        self.registry = Registry()
        for packet in options.packets:
            self.registry.register(
                packet["name"], packet.get("id"), packet.get("smart", False)
            )
        for name, pid in INTERNAL.items():
            self.registry.register(name, pid)
        self.processing = True  # false after what ends 0.2.0's process loop
        self._queue: deque[tuple[Connection, bytes]] = deque()

    def queue(self, conn: Connection, frame: bytes):
        """Leave a frame to the process loop, which is a thread of its own (12)."""
        self._queue.append((conn, frame))
        if self.options.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self.options.delay, self._process)
        else:
            self._process()

    def _process(self):
        conn, frame = self._queue.popleft()
        if not conn.closed:  # or it is lost, CloseConnection too (D8, D9)
            self.take(conn, frame)

    def take(self, conn: Connection, frame: bytes):
        """Decode and dispatch one frame (8)."""
        if not self.processing:
            return
        try:
            pid, flags, value = decode(frame)
        except BadFrame as exc:
            self.processing = False
            emit("stopped", cid=conn.cid, text=str(exc))
            return
        if pid >= FIRST_AUTO_PID and self.conntype_receives(conn, pid, value):
            return
        if pid == CLOSE:
            reason = value.get("reason") if isinstance(value, dict) else None
            conn.drop(reason)
        elif pid in INTERNAL.values():
            self.internal(conn, pid, value)
        elif name := self.registry.names.get(pid):
            self.application(conn, name, pid, flags, value)
        else:
            self.unknown(conn, pid)

    def application(self, conn, name: str, pid: int, flags: int, value: Any):
        """Handle a packet of the application."""
        if name in self.registry.smart and conn.state != STATE_ACTIVE:
            emit("ignored", cid=conn.cid, packet=name, state=conn.state)
            return
        body = to_json(value)
        emit("recv", cid=conn.cid, packet=name, pid=pid, flags=flags, body=body)
        if self.options.echo:
            conn.send(pid, value)

    def conntype_receives(self, conn: Connection, pid: int, value: Any) -> bool:
        """What the connection's type does with a packet; true: that was all."""
        raise NotImplementedError

    def internal(self, conn: Connection, pid: int, value: Any):
        """Handle a packet of the handshake."""
        raise NotImplementedError

    def unknown(self, conn: Connection, pid: int):
        """Handle a packet that is not registered."""
        raise NotImplementedError

    def on_close(self, conn: Connection, reason: Any):
        """A connection has ended."""
        emit("closed", cid=conn.cid, reason=to_json(reason))

    def send_command(self, conn: Connection, command: dict):
        """Obey `send` and `raw`."""
        if command["op"] == "raw":
            conn.send_raw(bytes.fromhex(command["hex"]))
            return
        try:
            pid = self.registry.pid_of(command["packet"])
            value = from_json(command["body"])
            for _ in range(command.get("times", 1)):
                conn.send(pid, value)
        except Exception as exc:  # the send call failed; nothing was sent
            emit("error", text=f"{type(exc).__name__}: {exc}")


def to_json(value: Any) -> Any:
    """A value in the notation of the captures."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"$int": str(value)}
    if isinstance(value, float):
        return {"$float": repr(value), "bits": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"$bin": value.hex()}
    if isinstance(value, list):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        if all(isinstance(k, str) for k in value):
            return {k: to_json(v) for k, v in value.items()}
        return {"$map": [[to_json(k), to_json(v)] for k, v in value.items()]}
    if isinstance(value, msgpack.Timestamp):
        return {"$timestamp": [value.seconds, value.nanoseconds]}
    return {"$ext": [value.code, value.data.hex()]}


def from_json(value: Any) -> Any:
    """The opposite of to_json."""
    if isinstance(value, list):
        return [from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$int": text}:
            return int(text)
        case {"$float": _, "bits": bits}:
            return struct.unpack(">d", bytes.fromhex(bits))[0]
        case {"$bin": text}:
            return bytes.fromhex(text)
        case {"$map": pairs}:
            return {from_json(k): from_json(v) for k, v in pairs}
        case {"$timestamp": [seconds, nanoseconds]}:
            return msgpack.Timestamp(seconds, nanoseconds)
        case {"$ext": [code, text]}:
            return msgpack.ExtType(code, bytes.fromhex(text))
        case {"$repeat": {"str": text, "count": count}}:
            return text * count
    return {k: from_json(v) for k, v in value.items()}
