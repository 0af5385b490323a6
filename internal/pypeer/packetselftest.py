"""Checks peng3dnet's Python peers against recorded captures of release 0.2.0.

    packetselftest.py CAPTURES

CAPTURES is a directory in the format that its README describes. The server is given
what each capture's client wrote and has to answer what its server wrote; the client
likewise.
Ends with exit code 0 if everything passes.
"""

import asyncio
import contextlib
import io
import json
import socket
import sys
import zlib
from pathlib import Path
from typing import Any

from packetclient import Client
from packetpeer import (
    AES,
    CLOSE,
    COMPRESSED,
    HEADER,
    PING,
    SETTYPE,
    Options,
    from_json,
)
from packetserver import Server

TIMEOUT = 20  # seconds for a frame to come
UNASKED = ("close_", "shutdown_", "custom_")  # captures in which the program closes
OWN_CHECKS = "smartpacket_"  # captures of checks that these peers do not have
NO_REPLAY = ("error_oversized_length", "framing_split_in_prefix")  # 0.2.0 hangs


class Failure(Exception):
    """A check failed."""


def packets(setup: dict, side: str) -> list:
    """The packets that a side of a capture has registered."""
    if "server_packets_rule" in setup:
        name = "compression.test:category.subcategory.packet%04d"
        return [{"name": name % n} for n in range(250)]
    listed = setup.get(f"{side}_packets", [])
    ids = [{} if p["id"] == "auto" else {"id": p["id"]} for p in listed]
    return [{"name": p["name"], **i} for p, i in zip(listed, ids)]


def options(name: str, capture: dict, side: str) -> Options:
    """What a peer must be started with to do as in the capture."""
    setup = capture["setup"]
    conntype, data = "classic", None
    for decoded in reversed([frame["decoded"] for frame in capture["frames"]]):
        body = decoded.get("body")
        if decoded.get("pid") == SETTYPE and isinstance(body, dict):
            conntype = body.get("conntype", conntype)
        elif decoded.get("pid") == PING:
            data = timeless(body)
    ping = None
    if name.startswith("ping_") and name != "ping_unsupported_by_server":
        ping = {
            "func": setup.get("getPingData", {}),
            "data": setup.get("pingdata", {}),
            "writeback": setup.get("WRITEBACK", True),
        }
    return Options(
        packets=packets(setup, side),
        conntypes={"custom": None},
        echo=side == "server" and "no echo" not in setup.get("packet_kind", ""),
        ping=ping,
        conntype=conntype,
        data=data if conntype == "ping" else None,
        compression={"enabled": name != "echo_uncompressed_100k"},
        autosync=name != "registry_autosync_off",
        missing="ignore" if name == "registry_mismatch_ignore" else "closeconnection",
    )


def timeless(body: Any) -> Any:
    """What the caller gave for the body of a ping: the clock's time is added."""
    if isinstance(body, dict) and isinstance(body.get("time"), dict):
        return {key: value for key, value in body.items() if key != "time"}
    return body


def masked(frame: bytes) -> Any:
    """Header and body of a frame, inflated, without the clock's values."""
    _, pid, flags = HEADER.unpack_from(frame)
    body = frame[HEADER.size :]
    if flags & COMPRESSED and not flags & AES:
        body = zlib.decompress(body)
    if pid in (PING, PING + 1) and (at := body.find(b"\xa4time\xcb")) >= 0:
        body = body[: at + 6] + bytes(8) + body[at + 14 :]
    return pid, flags, body


class Replay:
    """One capture, of which one side is a peer and the other the file."""

    def __init__(self, name: str, capture: dict, side: str):
        self._name, self._capture, self._side = name, capture, side
        self._options = options(name, capture, side)
        self._kind = capture["setup"].get("packet_kind", "")
        self._mine = "c2s" if side == "server" else "s2c"

    async def run(self):
        """Replay all frames."""
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = listener.getsockname()[1]
            if self._side == "server":
                peer = Server(self._options)
                task = asyncio.create_task(peer.accept(listener))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            else:
                self._options.port = port
                peer = Client(self._options)
                task = asyncio.create_task(peer.connect())
                sock, _ = await loop.sock_accept(listener)
                reader, writer = await asyncio.open_connection(sock=sock)
                await task
            try:
                await self._frames(peer, reader, writer)
            finally:
                task.cancel()
                writer.close()
                conn = self._connection(peer)
                if conn and not conn.closed:
                    conn.drop()

    def _connection(self, peer):
        if self._side == "client":
            return peer.connection
        return peer.connections.get(1)

    async def _frames(self, peer, reader, writer):
        for number, frame in enumerate(self._capture["frames"]):
            if "hex" not in frame:
                return  # too long for the file; the smaller ones show the same
            wanted = bytes.fromhex(frame["hex"])
            if frame["dir"] == self._mine:
                writer.write(wanted)
                continue
            self._act(peer, frame["decoded"])
            read = reader.readexactly(4)
            try:
                head = await asyncio.wait_for(read, TIMEOUT)
                got = head + await reader.readexactly(int.from_bytes(head, "big"))
            except (asyncio.TimeoutError, asyncio.IncompleteReadError) as exc:
                raise Failure(f"frame {number} does not come: {exc!r}") from exc
            if masked(got) != masked(wanted):
                raise Failure(f"frame {number}\n got {got!r}\n wanted {wanted!r}")

    def _act(self, peer, decoded: dict):
        """Have the peer do what it does unasked."""
        pid, conn = decoded["pid"], self._connection(peer)
        body = from_json(decoded["body"])
        if pid == CLOSE:
            ping_is_done = body["reason"] in (None, "pingcomplete")  # twice (D13)
            if ping_is_done or self._name.startswith(UNASKED):
                conn.close(body["reason"])
        elif pid > CLOSE and (self._side == "client" or "no echo" in self._kind):
            if self._options.conntype != "ping":  # which sends its first ping itself
                conn.send(peer.registry.pid_of(decoded.get("name", pid)), body)


async def run_quietly(replay: Replay, events: io.StringIO):
    """Run a replay with the peer's events out of the way."""
    with contextlib.redirect_stdout(events):
        await replay.run()


def main() -> int:
    """Replay all captures."""
    failures = count = 0
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        name, capture = path.stem, json.loads(path.read_text())
        if name.startswith(("example_", OWN_CHECKS)) or name in NO_REPLAY:
            continue
        for side in ("server", "client"):
            if "raw" in capture["peers"].get(side, "raw"):
                continue
            count += 1
            events = io.StringIO()
            try:
                asyncio.run(run_quietly(Replay(name, capture, side), events))
            except Exception as exc:  # whatever it is, it is reported
                failures += 1
                print(f"{name}, {side}: {type(exc).__name__}: {exc}")
                print(events.getvalue())
    print(f"{count} replays, {failures} failed")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
