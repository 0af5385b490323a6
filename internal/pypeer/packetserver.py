"""A server that behaves as peng3dnet 0.2.0, driven by JSON lines.

Its one argument is a JSON object of options. README.md lists the options, the commands
on standard input and the events on standard output.
"""

import asyncio
import json
import socket
import sys
from typing import Any

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
    VERSION,
    Connection,
    Options,
    Peer,
    from_json,
)

BACKLOG = 100


class Server(Peer):
    """Accepts connections and serves them."""

    def __init__(self, options: Options):
        super().__init__(options)
        self.connections: dict[int, Connection] = {}
        self._last_cid = 0

    async def accept(self, listener: socket.socket):
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            sock, addr = await loop.sock_accept(listener)
            self._last_cid += 1
            conn = Connection(self, sock, self._last_cid)
            self.connections[conn.cid] = conn
            conn.state = STATE_HELLOWAIT
            emit("connect", cid=conn.cid, address=addr[0])
            conn.send(HELLO, self._versions())
            conn.state = STATE_WAITTYPE

    def _versions(self) -> dict:
        return {
            "version": self.options.version,
            "protoversion": self.options.protoversion,
        }

    def internal(self, conn: Connection, pid: int, value: Any):
        """Steps 2 and 4 of the handshake (5), and what is out of place."""
        if pid == SETTYPE:
            if conn.state == STATE_WAITTYPE and isinstance(value, dict):
                self._set_type(conn, value.get("conntype", "classic"))
        elif pid == ACCEPT and conn.state == STATE_WAIT1:
            if isinstance(value, dict) and value.get("success"):
                emit("handshake", cid=conn.cid)
                conn.state = STATE_ACTIVE
        elif pid in (HANDSHAKE, ACCEPT):
            conn.close("smartpacketinvalid")

    def _set_type(self, conn: Connection, conntype: str):
        own = self.options.conntypes
        known = conntype == "classic" or conntype in own
        if not known and not (conntype == "ping" and self.options.ping is not None):
            emit("conntype", cid=conn.cid, conntype=conntype, known=False)
            return  # nothing is sent (D4)
        emit("conntype", cid=conn.cid, conntype=conntype, known=True)
        conn.conntype = conntype
        if conntype == "classic":
            conn.state = STATE_WAIT1
            handshake = {**self._versions(), "registry": self.registry.pids}
            conn.send(HANDSHAKE, handshake)
        elif conntype == "ping":
            conn.state = STATE_ACTIVE
        elif own[conntype] is not None:
            conn.state = own[conntype]

    def conntype_receives(self, conn: Connection, pid: int, value: Any) -> bool:
        if conn.conntype == "_notset":
            emit("early", cid=conn.cid, pid=pid)
            return True
        if conn.conntype != "ping":
            return False
        if pid == PING:
            conn.mode = MODE_PING
            conn.send(PONG, self._pong(value))
        else:
            conn.close("pinginvalidside" if pid == PONG else "invalidpingpacket")
        return True

    def _pong(self, request: Any) -> dict:
        """What is merged into the answer of a ping (11)."""
        ping = self.options.ping
        answer = {"oldmsg": request} if ping.get("writeback", True) else {}
        answer.update(from_json(ping.get("func", {})))
        answer.update(from_json(ping.get("data", {})))
        versions = {"version": VERSION, "release": VERSION}
        return {**answer, "peng3dnet": {**versions, "protoversion": PROTOVERSION}}

    def unknown(self, conn: Connection, pid: int):
        emit("unknown", cid=conn.cid, pid=pid)

    def on_close(self, conn: Connection, reason: Any):
        super().on_close(conn, reason)
        del self.connections[conn.cid]

    async def obey(self):
        """Follow standard input until `shutdown` is done, or it ends."""
        async for command in read_commands():
            if command["op"] == "shutdown":
                for conn in list(self.connections.values()):
                    conn.close(command.get("reason", "servershutdown"))
                while self.connections:
                    await asyncio.sleep(0.01)
                return
            conn = self.connections.get(command["cid"])
            if not conn:
                emit("error", text=f"no connection {command['cid']}")
            elif command["op"] == "close":
                conn.close(command.get("reason"))
            elif command["op"] == "drop":
                conn.drop()
            else:
                self.send_command(conn, command)


async def run(options: Options):
    """Serve until standard input ends or says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
        server = Server(options)
        accepting = asyncio.create_task(server.accept(listener))
        emit("listening", port=listener.getsockname()[1])
        await server.obey()
        accepting.cancel()
        for conn in list(server.connections.values()):
            conn.drop()


if __name__ == "__main__":
    asyncio.run(run(Options(**json.loads(sys.argv[1]))))
