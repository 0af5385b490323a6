"""A client that behaves as pgnet 0.2.1 (section 13), driven by JSON lines.

Run as a program it takes one JSON object per line on standard input and writes
one per line on standard output; README.md lists the commands and the events.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

from websockets.legacy.client import connect

from lines import emit, read_commands
from pgnetpeer import (
    DEFAULT_HEARTBEAT_RATE,
    DEFAULT_PORT,
    Connection,
    DisconnectedError,
    Key,
    Packet,
    Request,
    Response,
    log,
)

IDLE_INTERVAL = 0.01  # seconds between looks at an empty queue
CLOSE_TIMEOUT = 1  # seconds for the other side to answer a close

ResponseCallback = Callable[[Response], Any]


@dataclass
class RawMessage:
    """A text to send as the next request in place of a packet."""

    text: str
    seal: bool = True
    binary: bool = False


@dataclass
class DialOptions:
    """Unusual ways to connect; the defaults are those of 0.2.1."""

    path: str = ""
    binary_key_trade: bool = False
    fragment: int = 0  # characters in a fragment; 0: unfragmented
    compression: bool = True


class ClientConnection(Connection):
    """The client's side of a connection."""

    def __init__(self, websocket, fragment: int = 0):
        super().__init__(websocket)
        self._fragment = fragment

    async def send_recv(self, message: Union[Packet, RawMessage]) -> str:
        """Send one request and await the text of its answer."""
        await self._send_request(message)
        return await self.recv()

    async def _send_request(self, message: Union[Packet, RawMessage]):
        if isinstance(message, Packet):
            await self.send(message.serialize())
        elif message.binary:
            await self.send_frame(message.text.encode())
        elif message.seal:
            await self.send(message.text)
        else:
            await self.send_frame(message.text)

    async def send_frame(self, frame, *args):
        """Send text or bytes as they are, in fragments if so configured."""
        if size := self._fragment:
            frame = [frame[i : i + size] for i in range(0, len(frame), size)] or ""
        await super().send_frame(frame, *args)


class Client:
    """Talks to a server. Events are attributes that may be set."""

    def __init__(
        self,
        *,
        address: str,
        username: str,
        password: str = "",
        invite_code: str = "",
        port: int = DEFAULT_PORT,
        verify_server_pubkey: str = "",
        key: str = "",
        dial: Optional[DialOptions] = None,
    ):
        """`key` is a private key in base64; empty: a new one, as 0.2.1 does."""
        self.on_connection: Callable[[bool], Any] = lambda connected: None
        self.on_status: Callable[[str], Any] = lambda status: None
        self.on_game: Callable[[Optional[str]], Any] = lambda name: None
        self.on_heartbeat: ResponseCallback = lambda heartbeat: None
        self.heartbeat_payload: Callable[[], dict] = dict
        self.last_answer = ""  # JSON text of the answer handled last
        self._address = address
        self._port = port
        self._username = username
        self._password = password
        self._invite_code = invite_code
        self._verify_server_pubkey = verify_server_pubkey
        self._key = Key(key)
        self._dial = dial or DialOptions()
        self._connecting = False
        self._connection: Optional[ClientConnection] = None
        self._queue: deque = deque()
        self._heartbeat_interval = 1 / DEFAULT_HEARTBEAT_RATE
        self._disconnect_reason: Optional[str] = None
        self._connected = False
        self._status = "New client."
        self._game: Optional[str] = None

    @property
    def connected(self) -> bool:
        """Whether logged in, as far as the client knows (13.5)."""
        return self._connected

    @property
    def status(self) -> str:
        """The last feedback text."""
        return self._status

    @property
    def game(self) -> Optional[str]:
        """The current game; kept over a disconnect (13.5)."""
        return self._game

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def close_code(self) -> Optional[int]:
        """Of the last connection; None while it is open."""
        return self._connection.websocket.close_code if self._connection else None

    @property
    def close_reason(self) -> Optional[str]:
        """Of the last connection; None while it is open."""
        return self._connection.websocket.close_reason if self._connection else None

    async def async_connect(self):
        """Connect, log in, work the queue until disconnected.

        What 0.2.1 does not expect (13.6) leaves this call as an exception; then
        the socket stays open, no event is sent, and there is no connecting again.
        """
        if self._connecting:
            raise RuntimeError("Cannot open more than one connection per client.")
        self._connecting = True
        self._connection = None
        reason = await self._run_connection()
        if self._connection:
            await self._connection.close()
        self._connecting = False
        if self._connected:
            self._connected = False
            self.on_connection(False)
        self._set_status(f"Disconnected: {reason}")

    async def _run_connection(self) -> str:
        """The whole connection; returns the reason of its end."""
        self._set_status(f"Connecting to {self._address}:{self._port}...")
        try:
            connection = self._connection = await self._open()
            self._set_status("Logging in...")
            await self._trade_keys(connection)
            await self._log_in(connection)
            self._disconnect_reason = None
            self._connected = True
            self.on_connection(True)
            self._set_status(f"Logged in as {self._username} @ {connection.remote}")
            await self._session(connection)
        except DisconnectedError as exc:
            return str(exc)

    async def _open(self) -> ClientConnection:
        try:
            websocket = await connect(
                f"ws://{self._address}:{self._port}{self._dial.path}",
                close_timeout=CLOSE_TIMEOUT,
                compression="deflate" if self._dial.compression else None,
            )
        except (OSError, asyncio.TimeoutError) as exc:
            raise DisconnectedError("Failed to call server.") from exc
        return ClientConnection(websocket, self._dial.fragment)

    async def _trade_keys(self, connection: ClientConnection):
        packet = Packet("key_trade", {"pubkey": self._key.pubkey})
        text = packet.serialize()
        raw = RawMessage(text, binary=self._dial.binary_key_trade)
        response = Response.deserialize(await connection.send_recv(raw))
        pubkey = response.payload.get("pubkey")
        if not pubkey or not isinstance(pubkey, str):
            raise DisconnectedError("Missing public key string from server.")
        if self._verify_server_pubkey not in ("", pubkey):
            raise DisconnectedError("Unverified server public key.")
        connection.tunnel = self._key.get_tunnel(pubkey)

    async def _log_in(self, connection: ClientConnection):
        payload = {
            "username": self._username,
            "password": self._password,
            "invite_code": self._invite_code,
        }
        packet = Packet("handshake", payload)
        response = Response.deserialize(await connection.send_recv(packet))
        if response.status != 0:
            raise DisconnectedError(response.message)

    async def _session(self, connection: ClientConnection):
        """Queue and heartbeats side by side, until the first of them ends."""
        tasks = [
            asyncio.create_task(self._work_queue(connection)),
            asyncio.create_task(self._queue_heartbeats()),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _work_queue(self, connection: ClientConnection):
        while self._disconnect_reason is None:
            if not self._queue:
                await asyncio.sleep(IDLE_INTERVAL)
                continue
            message, callback = self._queue.popleft()
            self.last_answer = await connection.send_recv(message)
            self._handle_response(Response.deserialize(self.last_answer), callback)
        raise DisconnectedError(self._disconnect_reason)

    async def _queue_heartbeats(self):
        while True:
            await asyncio.sleep(self._heartbeat_interval)
            if self._game:
                packet = Packet(Request.HEARTBEAT_UPDATE, self.heartbeat_payload())
                self.send(packet, lambda response: self.on_heartbeat(response))

    def _handle_response(self, response: Response, callback):
        """What 13.4 lists, in its order."""
        if response.status != 0:
            log.warning("Status %s: %s", response.status, response.debug_repr)
        if response.game != self._game:
            self._change_game(response)
        if callback:
            callback(response)
        if response.disconnecting:
            self.disconnect(response.message)

    def _change_game(self, response: Response):
        if response.game is None:
            self._set_status(f"Left game: {self._game}")
        else:
            self._set_status(f"Joined game: {response.game}")
        rate = response.payload.get("heartbeat_rate", DEFAULT_HEARTBEAT_RATE)
        self._heartbeat_interval = 1 / rate
        self._game = response.game
        self.on_game(self._game)

    def _set_status(self, text: str):
        self._status = text
        self.on_status(text)

    def disconnect(self, reason: str = "Client closed connection."):
        """End the connection, after the answer that is being awaited.

        Forgotten before the login is complete (defect 8).
        """
        if self._connected:
            self._disconnect_reason = reason

    def send(
        self,
        packet: Union[Packet, RawMessage],
        callback: Optional[ResponseCallback] = None,
        do_next: bool = False,
    ):
        """Queue a packet: last, or first with `do_next`."""
        if not self._connected:
            log.warning("Cannot queue packets while disconnected: %s", packet)
            return
        if len(self._queue) >= 5:
            log.warning("%s packets pending, adding: %s", len(self._queue), packet)
        if do_next:
            self._queue.appendleft((packet, callback))
        else:
            self._queue.append((packet, callback))

    def flush_queue(self):
        """Forget what is queued."""
        self._queue.clear()

    def get_game_dir(self, callback: ResponseCallback):
        """Ask for the directory."""
        self.send(Packet(Request.GAME_DIR), callback, do_next=True)

    def create_game(self, name, password=None, callback=None):
        """Create and join a game."""
        self._send_named(Request.CREATE_GAME, name, password, callback)

    def join_game(self, name, password=None, callback=None):
        """Join a game; 0.2.1 servers refuse the password (defect 1)."""
        self._send_named(Request.JOIN_GAME, name, password, callback)

    def leave_game(self, callback: Optional[ResponseCallback] = None):
        """Leave the game."""
        self.send(Packet(Request.LEAVE_GAME), callback, do_next=True)

    def _send_named(self, request: str, name, password, callback):
        payload = {"name": name}
        if password:
            payload["password"] = password
        self.send(Packet(request, payload), callback, do_next=True)


class Driver:
    """Turns commands into calls of a client, and its events into output."""

    def __init__(self):
        self._client: Optional[Client] = None
        self._task: Optional[asyncio.Task] = None
        self._heartbeat_payload: dict = {}
        self._raw_pending: list[dict] = []  # fields of raw requests not answered

    async def run(self):
        """Obey commands until `quit` or the end of the input."""
        async for command in read_commands():
            op = command["op"]
            if op == "quit":
                return
            method = getattr(self, f"_op_{op}", None)
            if not method:
                emit("error", text=f"unknown op {op!r}")
            elif not self._client and op not in ("connect", "heartbeat_payload"):
                emit("error", text=f"{op!r} before the first connect")
            else:
                method(command)

    def _op_connect(self, command: dict):
        if self._busy():
            return
        options = {k: command[k] for k in ("password", "key") if k in command}
        dial = {k: command[k] for k in DialOptions.__dataclass_fields__ if k in command}
        client = Client(
            address=command.get("address", "localhost"),
            port=command.get("port", DEFAULT_PORT),
            username=command["username"],
            invite_code=command.get("invite_code", ""),
            verify_server_pubkey=command.get("verify", ""),
            dial=DialOptions(**dial),
            **options,
        )
        client.on_status = lambda text: emit("status", text=text)
        client.on_connection = lambda value: emit("connection", value=value)
        client.on_game = lambda name: emit("game", name=name)
        client.on_heartbeat = lambda r: emit("heartbeat", response=r.as_dict())
        client.heartbeat_payload = lambda: self._heartbeat_payload
        self._client = client
        self._task = asyncio.create_task(self._connect(client))

    def _op_reconnect(self, command: dict):
        if not self._busy():
            self._task = asyncio.create_task(self._connect(self._client))

    def _busy(self) -> bool:
        busy = self._task is not None and not self._task.done()
        if busy:
            emit("error", text="Cannot open more than one connection per client.")
        return busy

    async def _connect(self, client: Client):
        try:
            await client.async_connect()
            self._report_raw_pending()
            emit("ended", close_code=client.close_code)
        except Exception as exc:  # what leaves the connect call is the result
            self._report_raw_pending()
            emit("error", text=f"{type(exc).__name__}: {exc}")

    def _op_send(self, command: dict):
        packet = Packet(command["message"], command.get("payload", {}))
        do_next = command.get("do_next", False)
        self._client.send(packet, self._respond(command), do_next)

    def _op_create(self, command: dict):
        self._client.create_game(
            command["name"], command.get("password"), self._respond(command)
        )

    def _op_join(self, command: dict):
        self._client.join_game(
            command["name"], command.get("password"), self._respond(command)
        )

    def _op_leave(self, command: dict):
        self._client.leave_game(self._respond(command))

    def _op_game_dir(self, command: dict):
        self._client.get_game_dir(self._respond(command))

    def _op_heartbeat_payload(self, command: dict):
        self._heartbeat_payload = command["payload"]

    def _op_raw(self, command: dict):
        options = {k: command[k] for k in ("seal", "binary") if k in command}
        client, fields = self._client, self._fields(command)

        def answered(response: Response):
            if fields in self._raw_pending:
                self._raw_pending.remove(fields)
            emit("raw", **fields, text=client.last_answer)

        if client.connected:
            self._raw_pending.append(fields)
        client.send(RawMessage(command["text"], **options), answered)

    def _report_raw_pending(self):
        """Report raw requests that the end of the connection left unanswered."""
        code, reason = self._client.close_code, self._client.close_reason
        for fields in self._raw_pending:
            emit("raw", **fields, close_code=code, close_reason=reason)
        self._raw_pending.clear()

    def _op_flush(self, command: dict):
        self._raw_pending.clear()
        self._client.flush_queue()

    def _op_disconnect(self, command: dict):
        self._client.disconnect()

    def _op_state(self, command: dict):
        client = self._client
        emit(
            "state",
            **self._fields(command),
            connected=client.connected,
            status=client.status,
            game=client.game,
            queued=client.queued,
            close_code=client.close_code,
        )

    def _respond(self, command: dict) -> ResponseCallback:
        fields = self._fields(command)
        return lambda response: emit("response", **fields, response=response.as_dict())

    @staticmethod
    def _fields(command: dict) -> dict:
        """What an answer repeats of its command."""
        return {name: command[name] for name in ("op", "id") if name in command}


class LogEvents(logging.Handler):
    """Writes log records as events."""

    def emit(self, record: logging.LogRecord):
        emit("log", text=record.getMessage())


def main():
    """Drive a client by standard input."""
    log.addHandler(LogEvents())
    log.propagate = False
    asyncio.run(Driver().run())


if __name__ == "__main__":
    main()
