"""Checks the Python peers against each other and against recorded captures.

    selftest.py [CAPTURES]

CAPTURES is a directory of captures of release 0.2.1, in the format its README
describes. Ends with exit code 0 if everything passes.
"""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.legacy.client import connect
from websockets.legacy.server import serve

from pgnetpeer import CipherError, Key, Packet, Tunnel, timestamp
from server import User, is_gamename_allowed, is_username_allowed

HERE = Path(__file__).parent
PARALLEL = 4  # scenarios replayed side by side
SETTLE = 0.06  # seconds for the server to see the end of a connection


class Failure(Exception):
    """A check failed."""


def check(got, wanted, what: str):
    """Fail unless equal."""
    if got != wanted:
        raise Failure(f"{what}:\n    got    {got!r}\n    wanted {wanted!r}")


class Process:
    """One of the peers as a child process that speaks JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self._backlog: list[dict] = []

    @classmethod
    async def start(cls, script: str, *arguments: str, cwd=None) -> "Process":
        """Start a script of this directory."""
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-B", str(HERE / script), *arguments]
        limit = 64 * 1024 * 1024
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, cwd=cwd, limit=limit
            )
        )

    def do(self, op: str, **values):
        """Send one command."""
        line = json.dumps({"op": op, **values}) + "\n"
        self._process.stdin.write(line.encode())

    async def next(self, timeout: float = 10) -> dict:
        """The next event."""
        if self._backlog:
            return self._backlog.pop(0)
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        if not line:
            raise Failure("the process ended")
        return json.loads(line)

    async def expect(self, event: str, **values) -> dict:
        """The next event of this name; others on the way are dropped."""
        seen = []
        while True:
            try:
                got = await self.next()
            except asyncio.TimeoutError as exc:
                raise Failure(f"no event {event} {values}, only {seen}") from exc
            if got["event"] == event and values.items() <= got.items():
                return got
            seen.append(got)

    async def events_until(self, event: str) -> list[dict]:
        """All events up to one of this name."""
        events = [await self.next()]
        while events[-1]["event"] != event:
            events.append(await self.next())
        return events

    async def exit_code(self) -> int:
        """Await the end."""
        return await asyncio.wait_for(self._process.wait(), 15)

    async def end(self):
        """Kill, if still alive."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Peers:
    """The processes of one test; all end with it."""

    def __init__(self):
        self._processes: list[Process] = []

    async def __aenter__(self) -> "Peers":
        return self

    async def __aexit__(self, *exc):
        for process in self._processes:
            await process.end()

    async def server(self, *arguments: str, cwd=None) -> tuple[Process, dict]:
        """A server, and the event that says that it listens."""
        process = await Process.start("server.py", "--stdin", *arguments, cwd=cwd)
        self._processes.append(process)
        return process, await process.expect("listening")

    async def client(self) -> Process:
        """A client, not connected."""
        process = await Process.start("client.py")
        self._processes.append(process)
        return process

    async def login(self, port: int, username: str, **values) -> Process:
        """A client that has logged in."""
        client = await self.client()
        client.do("connect", port=port, username=username, **values)
        await client.expect("connection", value=True)
        return client


# Client against server


async def refusal(peers: Peers, port: int, username: str, **values) -> str:
    """Try to log in; the reason why it ended."""
    client = await peers.client()
    client.do("connect", port=port, username=username, **values)
    events = await client.events_until("ended")
    return events[-2]["text"]


async def response(client: Process, op: str, **values) -> dict:
    """Do something that is answered."""
    client.do(op, **values)
    return (await client.expect("response", op=op))["response"]


async def test_logins():
    """Registration, wrong password, verification, options of the server."""
    async with Peers() as peers:
        _, opened = await peers.server("--require-password")
        port, key = opened["port"], opened["pubkey"]
        alice = await peers.login(port, "alice", password="x", verify=key)
        for wanted, values in {
            "Username already connected.": {"password": "x"},
            "Unverified server public key.": {"verify": "A" * 44},
        }.items():
            got = await refusal(peers, port, "alice", **values)
            check(got, f"Disconnected: {wanted}", "refusal")
        alice.do("disconnect")
        await alice.expect("ended")
        for name, password, wanted in [
            ("alice", "y", "Incorrect password."),
            ("bobby", "", "User password required."),
            ("", "", "Missing non-empty username."),
            ("a_b", "x", "Username not allowed."),
        ]:
            got = await refusal(peers, port, name, password=password)
            check(got, f"Disconnected: {wanted}", "refusal")
        alice.do("reconnect")
        await alice.expect("connection", value=True)
        got = await refusal(peers, 1, "alice")
        check(got, "Disconnected: Failed to call server.", "refusal")


async def test_unusual_dials():
    """A path, a binary key trade, fragments, no compression."""
    async with Peers() as peers:
        _, opened = await peers.server("--game", "capture")
        for number, values in enumerate(
            [
                {"path": "/some/path?a=b"},
                {"binary_key_trade": True},
                {"fragment": 7},
                {"compression": False, "address": "127.0.0.1"},
            ]
        ):
            client = await peers.login(opened["port"], f"user{number}", **values)
            await response(client, "create", name=f"room {number}")
            got = await response(client, "send", message="echo", payload={"a": 1})
            check(got["payload"]["payload"], {"a": 1}, "echo")


async def test_game():
    """The example game, heartbeats, passwords, the directory, leaving."""
    async with Peers() as peers:
        _, opened = await peers.server()
        alice = await peers.login(opened["port"], "alice")
        bobby = await peers.login(opened["port"], "bobby")
        await response(alice, "create", name="room", password="pw")
        await alice.expect("heartbeat")
        got = await response(alice, "send", message="it's me")
        check(got["message"], "Message added.", "answer of the game")
        beat = await alice.expect("heartbeat")
        log = ["Game started", "Joined: alice", 'alice says: "it\'s me"']
        check(beat["response"]["payload"], {"log": log}, "heartbeat")
        got = await response(bobby, "join", name="room")
        text = "Failed to join game: Incorrect password."
        check(got["message"], text, "joining without the password")
        got = await response(bobby, "join", name="room", password="pw")
        text = "Unexpected argument 'password' for request '__pgnet__.join_game'"
        check(got["message"], text, "joining with the password")
        got = await response(bobby, "game_dir")
        check(got["payload"]["games"]["room"]["users"], 1, "players")
        alice.do("leave")
        await alice.expect("status", text="Left game: room")
        await alice.expect("game", name=None)
        await alice.expect("response", op="leave")


async def test_raw():
    """Raw requests are answered with text, or with a close code."""
    async with Peers() as peers:
        _, opened = await peers.server()
        for values, code in [
            ({"text": '{"message": "x", "id": 1}'}, 1011),
            ({"text": "{nope"}, 1011),
            ({"text": "AAAA", "seal": False}, 1000),
            ({"text": "{}", "binary": True}, 1000),
        ]:
            client = await peers.login(opened["port"], "alice")
            client.do("raw", text='{"message":"a"}')
            got = await client.expect("raw")
            check("Please create" in got["text"], True, "raw answer")
            client.do("raw", **values)
            check((await client.expect("raw"))["close_code"], code, "close code")


async def test_save_and_shutdown():
    """Save at shutdown, load, and the codes of both ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "new" / "save.json")
        async with Peers() as peers:
            server, opened = await peers.server("--save-file", path)
            alice = await peers.login(opened["port"], "alice", password="x")
            await response(alice, "create", name="room")
            admin = await peers.login(opened["port"], "admin", password="admin")
            request = "__pgnet__.shutdown"
            got = await response(admin, "send", message=request)
            check(got["message"], "Shutting down...", "shutdown")
            text = "Disconnected: Connection closed."
            await alice.expect("status", text=text)
            check((await alice.expect("ended"))["close_code"], 1001, "close code")
            check(await server.exit_code(), 0, "exit code")
        async with Peers() as peers:
            server, opened = await peers.server("--save-file", path)
            got = await refusal(peers, opened["port"], "alice", password="y")
            check(got, "Disconnected: Incorrect password.", "refusal")
            alice = await peers.login(opened["port"], "alice", password="x")
            await response(alice, "join", name="room")
            beat = await alice.expect("heartbeat")
            log = ["Game started", "Joined: alice", "Left: alice", "Joined: alice"]
            check(beat["response"]["payload"]["log"], log, "log")
            server.do("shutdown", result=7)
            check(await server.exit_code(), 7, "exit code")


async def test_strict_client():
    """What breaks the 0.2.1 client breaks this one; shifted answers stay shifted."""
    own_key = Key()

    async def serve_oddly(websocket, path):
        packet = json.loads(await websocket.recv())
        trade = {"message": "key_trade", "payload": {"pubkey": own_key.pubkey}}
        await websocket.send(json.dumps(trade))
        tunnel = own_key.get_tunnel(packet["payload"]["pubkey"])
        login = json.loads(tunnel.decrypt(await websocket.recv()))["payload"]
        await websocket.send(tunnel.encrypt('{"message": "Authenticated."}'))
        await websocket.send(tunnel.encrypt('{"message": "unasked"}'))
        odd = {
            "extra": '{"message": "a", "extra": 1}',
            "rate": '{"message": "a", "game": "g", "payload": {"heartbeat_rate": 0}}',
            "shift": '{"message": "a", "disconnecting": true}',
        }
        await websocket.recv()
        await websocket.send(tunnel.encrypt(odd[login["username"]]))
        await websocket.wait_closed()

    async with Peers() as peers, serve(serve_oddly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for name in ("extra", "rate"):
            client = await peers.login(port, name, address="127.0.0.1")
            got = await response(client, "send", message="x")
            check(got["message"], "unasked", "shifted answer")
            client.do("send", message="x")
            await client.expect("error")
            client.do("state")
            state = await client.expect("state")
            check(state["connected"], True, "connected, though dead")
            client.do("reconnect")
            text = "RuntimeError: Cannot open more than one connection per client."
            await client.expect("error", text=text)
        client = await peers.login(port, "shift", address="127.0.0.1")
        got = await response(client, "send", message="x")
        check(got["message"], "unasked", "shifted answer")
        client.do("send", message="x")
        await client.expect("status", text="Disconnected: a")


async def test_simultaneous_logins():
    """Three logins of one name at one moment: all accepted, one dies (defect 2)."""
    async with Peers() as peers:
        _, opened = await peers.server()
        admin = await peers.login(opened["port"], "admin", password="admin")
        connections = [await traded(opened) for _ in range(3)]
        # Nothing tells that the server sleeps; a busy machine has a second to begin
        # that, and another to send the logins, which pile up.
        seconds = {"seconds": 2.0}
        admin.do("send", message="__pgnet__.sleep", payload=seconds)
        await asyncio.sleep(1.0)
        login = Packet("handshake", {"username": "alice"}).serialize()
        for websocket, tunnel in connections:
            await websocket.send(tunnel.encrypt(login))
        for websocket, tunnel in connections:
            answer = json.loads(tunnel.decrypt(await websocket.recv()))
            check(answer["message"], "Authenticated.", "login")
        ends = [asyncio.ensure_future(ws.wait_closed()) for ws, _ in connections]
        await asyncio.wait(ends, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(SETTLE)  # for the others to show that they stay
        for end in ends:
            end.cancel()
        codes = sorted(str(websocket.close_code) for websocket, _ in connections)
        check(codes, ["1011", "None", "None"], "close codes")


async def traded(opened: dict):
    """A bare connection after the key trade, and its tunnel."""
    websocket, key = await connect(f"ws://localhost:{opened['port']}"), Key()
    await websocket.send(Packet("key_trade", {"pubkey": key.pubkey}).serialize())
    await websocket.recv()
    return websocket, key.get_tunnel(opened["pubkey"])


async def test_subprotocol():
    """An answer that names a subprotocol is fatal to the client."""

    async def odd_upgrade(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: (.+)\r", request)[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Protocol: odd\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await reader.read()
        writer.close()

    server = await asyncio.start_server(odd_upgrade, "127.0.0.1", 0)
    async with Peers() as peers, server:
        port = server.sockets[0].getsockname()[1]
        client = await peers.client()
        client.do("connect", address="127.0.0.1", port=port, username="alice")
        text = (await client.expect("error"))["text"]
        check(text.startswith("InvalidHandshake: no subprotocols"), True, text)


PEER_TESTS = [
    test_logins,
    test_unusual_dials,
    test_game,
    test_raw,
    test_save_and_shutdown,
    test_strict_client,
    test_simultaneous_logins,
    test_subprotocol,
]


# Captures: scenarios replayed against server.py


class Replay:
    """Sends the client frames of a scenario and compares the server's."""

    def __init__(self, scenario: dict, port: int):
        self._scenario = scenario
        self._port = port
        self._connections: dict = {}
        self._codes: dict[str, str] = {}  # invite codes, recorded to live

    async def run(self):
        """All frames, in the order recorded."""
        for number, frame in enumerate(self._scenario["frames"]):
            started = time.monotonic()
            try:
                await self._step(frame)
            except (ConnectionClosed, asyncio.TimeoutError, Failure) as exc:
                where = f"frame {number} ({frame['conn']} {frame['dir']})"
                raise Failure(f"{where}: {type(exc).__name__} {exc}") from exc
            self._check_time(frame, time.monotonic() - started)

    @staticmethod
    def _check_time(frame: dict, seconds: float):
        wanted = frame.get("after_seconds")
        if wanted is not None and abs(seconds - wanted) > 0.5:
            raise Failure(f"took {seconds:.2f} s instead of {wanted} s")

    async def _step(self, frame: dict):
        websocket = await self._websocket(frame["conn"])
        if frame.get("event") == "close":
            await self._close(websocket, frame)
        elif frame["dir"] == "c2s":
            await websocket.send(self._seal(frame))
        else:
            self._compare(frame, await asyncio.wait_for(websocket.recv(), 10))

    async def _websocket(self, name: str):
        if name not in self._connections:
            url = f"ws://127.0.0.1:{self._port}"
            self._connections[name] = await connect(url, max_size=None)
        return self._connections[name]

    async def _close(self, websocket, frame: dict):
        if frame["dir"] == "c2s":
            await websocket.close(frame["code"], frame["reason"])
        else:
            await asyncio.wait_for(websocket.wait_closed(), 10)
            got = (websocket.close_code, websocket.close_reason)
            check(got, (frame["code"], frame["reason"]), "close")
        del self._connections[frame["conn"]]  # the name may connect again
        await asyncio.sleep(SETTLE)

    def _tunnel(self, conn: str) -> Tunnel:
        keys = self._scenario["keys"]
        return Key(keys[conn]["private"]).get_tunnel(keys["server"]["public"])

    def _seal(self, frame: dict) -> str:
        if frame["plain"] is None or frame["plain"] == frame["raw"]:
            return frame["raw"]
        plain = frame["plain"]
        for recorded, live in self._codes.items():
            plain = plain.replace(f'"{recorded}"', f'"{live}"')
        return self._tunnel(frame["conn"]).encrypt(plain)

    def _compare(self, frame: dict, got: str):
        if frame["plain"] != frame["raw"]:
            got = self._tunnel(frame["conn"]).decrypt(got)
        self._learn_code(frame["plain"], got)
        for recorded, live in self._codes.items():
            got = got.replace(f'"{live}"', f'"{recorded}"')
        check(mask(got), mask(frame["plain"]), "answer")

    def _learn_code(self, recorded: str, got: str):
        pattern = r'"Created invite code: ([0-9a-f]{4})"'
        old, new = re.search(pattern, recorded), re.search(pattern, got)
        if old and new:
            self._codes[old[1]] = new[1]


def mask(text: str) -> str:
    """A message without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d", "TIME", text)
    text = re.sub(r"remote='127\.0\.0\.1:\d+'", "remote='REMOTE'", text)
    return re.sub(r"(Created invite code: )[0-9a-f]{4}", r"\1CODE", text)


def server_arguments(scenario: dict) -> list[str]:
    """The command line for the options of a scenario."""
    options = scenario["server_options"]
    arguments = ["--game", "capture", "--key", scenario["keys"]["server"]["private"]]
    if "admin_password" in options:
        arguments += ["--admin-password", options["admin_password"]]
    if "save_file" in options:
        arguments += ["--save-file", options["save_file"]]
    if options.get("require_user_password"):
        arguments.append("--require-password")
    if not options.get("registration_enabled", True):
        arguments.append("--no-registration")
    return arguments


async def replay(captures: Path, scenario: dict):
    """Replay one scenario against a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if scenario["scenario"].startswith("load_"):
            target = Path(folder) / scenario["server_options"]["save_file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(captures / "save.json", target)
        async with Peers() as peers:
            arguments = server_arguments(scenario)
            server, opened = await peers.server(*arguments, cwd=folder)
            await Replay(scenario, opened["port"]).run()
            if "server_exit_code" in scenario:
                code = await server.exit_code()
                check(code, scenario["server_exit_code"], "exit code")


# Captures: the recorded session of the release's client, played by client.py


class Recorder:
    """Passes a connection on to the server and notes what goes through."""

    def __init__(self, scenario: dict, port: int):
        keys = scenario["keys"]
        self._tunnel = Key(keys["python"]["private"]).get_tunnel(
            keys["server"]["public"]
        )
        self._port = port
        self.frames: list[tuple[str, str]] = []

    async def __call__(self, client, path):
        async with connect(f"ws://127.0.0.1:{self._port}") as server:
            await asyncio.gather(
                self._pass(client, server, "c2s"), self._pass(server, client, "s2c")
            )
        self.frames.append(("close", str(client.close_code)))

    async def _pass(self, source, target, direction: str):
        async for frame in source:
            plain = frame if frame[0] == "{" else self._tunnel.decrypt(frame)
            self.frames.append((direction, mask(plain)))
            await target.send(frame)
        await target.close()


def recorded_frames(scenario: dict) -> list[tuple[str, str]]:
    """The frames of a scenario as a Recorder notes them."""
    frames = []
    for frame in scenario["frames"]:
        if "event" in frame:
            frames.append(("close", str(frame["code"])))
        else:
            frames.append((frame["dir"], mask(frame["plain"])))
    return frames


def without_beats(items: list) -> list:
    """Without heartbeats, whose number depends on time."""
    marks = ("heartbeat_update", "on_heartbeat", '"message": "beat"')
    return [i for i in items if not any(mark in str(i) for mark in marks)]


def as_recorded_event(event: dict) -> list:
    """An event of the driver as the captures write it."""
    match event:
        case {"event": "response", "response": answer, "id": name}:
            return ["callback", name, answer["status"], answer["message"]]
        case {"event": "heartbeat", "response": answer}:
            return ["on_heartbeat", answer["message"], answer["payload"]]
    value = {k: v for k, v in event.items() if k != "event"}
    return [f"on_{event['event']}", *value.values()]


async def play_recorded_session(client: Process, port: int, scenario: dict):
    """Give the commands of the recorded session; returns the events."""
    keys = scenario["keys"]
    events = []

    async def do(op, wanted, **values):
        client.do(op, **values)
        events.extend(await client.events_until(wanted))

    client.do("heartbeat_payload", payload={"cursor": 7})
    client.do(
        "connect",
        port=port,
        username="alice",
        password="pw",
        verify=keys["server"]["public"],
        key=keys["python"]["private"],
    )
    events.extend(await client.events_until("connection"))
    await do("game_dir", "response", id="get_game_dir")
    await do("create", "response", id="create_game", name="slow room", password="pw")
    events.extend(await client.events_until("heartbeat"))
    await do("send", "response", id="send", message="echo", payload={"hello": "wörld"})
    events.extend(await client.events_until("heartbeat"))
    await do("leave", "response", id="leave_game")
    await do("join", "response", id="join_game", name="room two")
    events.extend(await client.events_until("heartbeat"))
    await do("send", "response", id="kick", message="kick")
    await do(
        "join", "response", id="join_game with password", name="room two", password="x"
    )
    await do("disconnect", "ended")
    return [e for e in events if e["event"] not in ("log", "ended")]


async def compare_client(captures: Path, scenario: dict):
    """client.py sends and tells what the release's client sent and told."""
    async with Peers() as peers:
        _, opened = await peers.server(*server_arguments(scenario))
        recorder = Recorder(scenario, opened["port"])
        async with serve(recorder, "127.0.0.1", 0) as relay:
            port = relay.sockets[0].getsockname()[1]
            client = await peers.client()
            events = await play_recorded_session(client, port, scenario)
            await asyncio.sleep(SETTLE)
    wanted = without_beats(recorded_frames(scenario))
    check(without_beats(recorder.frames), wanted, "frames")
    text = json.dumps(without_beats([as_recorded_event(e) for e in events]))
    text = text.replace(f":{port}", ":PORT")
    wanted = json.dumps(without_beats(scenario["events"]))
    check(text, wanted.replace(":22091", ":PORT"), "events")


# Captures: tables


def check_box(table: dict):
    """Frames with fixed nonces open; what was refused is refused."""
    keys = table["keys"]
    for mine, other in (("a", "b"), ("b", "a")):
        tunnel = Key(keys[mine]["private"]).get_tunnel(keys[other]["public"])
        check(Key(keys[mine]["private"]).pubkey, keys[mine]["public"], "public key")
        for vector in table["vectors"]:
            check(tunnel.decrypt(vector["frame"]), vector["plaintext"], "plaintext")
            sealed = tunnel.encrypt(vector["plaintext"])
            check(len(sealed), len(vector["frame"]), "length")
        for vector in table["refused"]:
            try:
                tunnel.decrypt(vector["frame"])
            except CipherError:
                continue
            raise Failure(f"accepted {vector}")
        lenient = table["accepted_leniently"]
        for vector in [lenient] if isinstance(lenient, dict) else lenient:
            check(tunnel.decrypt(vector["frame"]), vector["plaintext"], "plaintext")


def check_json_text(table: dict):
    """Values come back as the release writes them."""
    for vector in table["vectors"]:
        raw = f'{{"message": "x", "payload": {vector["in"]}, "created_on": "t"}}'
        wanted = f'"payload": {vector["out"]}, "created_on"'
        got = Packet.deserialize(raw).serialize()
        check(wanted in got, True, f"{vector} in {got}")


def check_python_repr(table: dict):
    """Types and renderings in message texts."""
    for vector in table["vectors"]:
        value = json.loads(vector["json"])
        got = (type(value).__name__, repr(value))
        check(got, (vector["type"], vector["repr"]), vector["json"])


def check_password_hash(table: dict):
    """Hashes, also of passwords that are not text."""
    for vector in table["vectors"]:
        got = User.hash_password(vector["salt"], vector["password"])
        check(got, vector["hash"], str(vector))
    for vector in table["json_types"]:
        password = json.loads(vector["json"])
        got = User.hash_password(vector["salt"], password)
        check(got, vector["hash"], str(vector))


def check_names(table: dict):
    """The rules for names."""
    for vector in table["vectors"]:
        got = (is_username_allowed(vector["name"]), is_gamename_allowed(vector["name"]))
        check(got, (vector["user"], vector["game"]), repr(vector["name"]))


TABLES = {
    "box": check_box,
    "json_text": check_json_text,
    "python_repr": check_python_repr,
    "password_hash": check_password_hash,
    "names": check_names,
}


async def check_save(captures: Path):
    """A save file is loaded and written again without a change."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "save.json"
        shutil.copy(captures / "save.json", path)
        async with Peers() as peers:
            options = ["--game", "capture", "--save-file", str(path)]
            server, _ = await peers.server(*options)
            server.do("shutdown")
            check(await server.exit_code(), 0, "exit code")
        check(path.read_bytes(), (captures / "save.json").read_bytes(), "save file")


# The program


class Report:
    """Runs checks and prints how they ended."""

    def __init__(self):
        self.failed = 0
        self._slots = asyncio.Semaphore(PARALLEL)

    async def run(self, name: str, operation):
        """Await one check."""
        async with self._slots:
            try:
                await operation
            except Exception as exc:  # any error is a failed check
                self.failed += 1
                print(f"FAIL {name}: {type(exc).__name__}: {exc}", flush=True)
            else:
                print(f"ok   {name}", flush=True)


async def call(function, *arguments):
    """A plain function as an operation."""
    function(*arguments)


def capture_checks(captures: Path) -> list:
    """Name and operation for each file of the directory."""
    checks = []
    for path in sorted(captures.glob("*.json")):
        data, name = json.loads(path.read_text()), f"capture {path.stem}"
        if "scenario" in data:
            checks.append((name, replay(captures, data)))
            if "events" in data:
                client = compare_client(captures, data)
                checks.append((f"{name}, played by client.py", client))
        elif path.stem in TABLES:
            checks.append((name, call(TABLES[path.stem], data)))
        elif path.stem == "save":
            checks.append((name, check_save(captures)))
        else:
            print(f"--   {name}: nothing here to compare it with")
    return checks


async def run() -> int:
    """All checks; returns the exit code."""
    report = Report()
    checks = [(f"peers {t.__name__}", t()) for t in PEER_TESTS]
    if len(sys.argv) > 1:
        checks += capture_checks(Path(sys.argv[1]))
    print(f"{len(checks)} checks, {timestamp()}")
    await asyncio.gather(*(report.run(name, check) for name, check in checks))
    print(f"{report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
