"""A client that behaves as peng3dnet 0.2.0, driven by JSON lines.

README.md lists the commands on standard input and the events on standard output.
"""

import asyncio
import socket
import time
from typing import Any, Optional

from lines import emit, read_commands
from packetpeer import (
    ACCEPT,
    HANDSHAKE,
    HELLO,
    MODE_PING,
    PING,
    PONG,
    PROTOVERSION,
    SETTYPE,
    STATE_ACTIVE,
    STATE_HELLOWAIT,
    STATE_WAIT1,
    STATE_WAITTYPE,
    Connection,
    Options,
    Peer,
    from_json,
    to_json,
)


AUTO = "__AUTO__"  # the clock's time (11)


class Client(Peer):
    """Connects to a server, once."""

    connection: Optional[Connection] = None

    async def connect(self):
        """Open the socket and wait for Hello."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        address = (self.options.host, self.options.port)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            emit("error", text=f"connect: {exc}")
            return
        self.connection = Connection(self, sock, None)
        self.connection.state = STATE_HELLOWAIT
        emit("connect")

    def internal(self, conn: Connection, pid: int, value: Any):
        """Steps 1 and 3 of the handshake (5), and what is out of place."""
        if pid == HELLO:
            if conn.state == STATE_HELLOWAIT:
                self._hello(conn, value)
        elif pid == HANDSHAKE:
            if conn.state == STATE_WAIT1:
                self._handshake(conn, value)
            else:
                conn.close("smartpacketinvalid")
        elif pid == ACCEPT:
            conn.close("smartpacketinvalid")

    def _hello(self, conn: Connection, value: dict):
        if value["protoversion"] != PROTOVERSION:
            conn.close("protoversionmismatch")
            return
        conn.send(SETTYPE, {"conntype": self.options.conntype})
        conn.state = STATE_WAITTYPE
        conntype = self.options.conntype
        if conntype == "classic":
            conn.state = STATE_WAIT1
        elif conntype == "ping":
            conn.mode = MODE_PING
            conn.state = STATE_ACTIVE
            self.ping(self.options.data)
        elif self.options.conntypes.get(conntype) is not None:
            conn.state = self.options.conntypes[conntype]
        emit("conntype", conntype=conntype)

    def _handshake(self, conn: Connection, value: dict):
        if value["protoversion"] != PROTOVERSION:
            conn.close("protoversionmismatch")
            return
        server = value["registry"]
        if self.options.autosync:
            same = set(server) == set(self.registry.pids)
            if not same and self.options.missing == "closeconnection":
                conn.close("packetregmismatch")
                return
            self.registry.remap(server)
        conn.send(ACCEPT, {"success": True})
        emit("handshake", registry=server, version=value["version"])
        conn.state = STATE_ACTIVE

    def conntype_receives(self, conn: Connection, pid: int, value: Any) -> bool:
        if self.options.conntype != "ping":
            return False
        if pid == PONG:
            emit("pong", data=to_json(value), recvtime=time.time())
        else:
            conn.close("pinginvalidside" if pid == PING else "invalidpingpacket")
        return True

    def ping(self, data: Any):
        """Send a ping request: a map with a time, or any other value."""
        data = from_json(data)
        if data is None or isinstance(data, dict):
            data = {**(data or {})}
            if data.setdefault("time", AUTO) == AUTO:
                data["time"] = time.time()
        self.connection.send(PING, data)

    def unknown(self, conn: Connection, pid: int):
        emit("unknown", pid=pid)
        self.processing = False  # (D3)

    def obey(self, command: dict):
        """Follow a command to a client that is connected."""
        conn = self.connection
        match command["op"]:
            case "close":
                conn.close(command.get("reason"))
            case "drop":
                conn.drop("socketclose")
            case "ping":
                self.ping(command.get("data"))
            case "pingdone":  # as pingServer ends a ping (D13)
                conn.close(None)
                conn.close("pingcomplete")
            case _:
                self.send_command(conn, command)


async def run():
    """Obey commands until `quit` or the end of the input."""
    client = None
    async for command in read_commands():
        if command["op"] == "quit":
            break
        if command["op"] == "connect":
            options = {k: v for k, v in command.items() if k != "op"}
            client = Client(Options(**options))
            await client.connect()
        elif client and client.connection:
            client.obey(command)
        else:
            emit("error", text=f"{command['op']!r} before a connect")
    if client and client.connection:
        client.connection.drop("socketclose")


if __name__ == "__main__":
    asyncio.run(run())
