"""Reads envelopes with Python's own msgpack, by section 1 of docs/PROTOCOL.md. Reads a JSON array of texts of hex from
stdin, and writes an array of the results: {"written": hex of the envelope in its shortest form, "left": how many bytes
follow it}, or {"error": text}."""

import base64
import json
import sys

import msgpack

NUMBER, STATUS, BOOL, TEXT, GAME = range(5)
SHAPES = [
    [NUMBER, NUMBER, NUMBER, TEXT],
    [NUMBER, NUMBER, NUMBER, NUMBER, STATUS, BOOL, GAME, TEXT],
    [NUMBER, NUMBER, NUMBER, GAME, TEXT],
    [NUMBER, NUMBER],
]


def plain(value):
    """value without bytes, as payloads are handed on."""
    if isinstance(value, (msgpack.ExtType, msgpack.Timestamp)):
        raise TypeError("an extension")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        if any(isinstance(key, bytes) for key in value):
            raise TypeError("a key of bytes")
        return {key: plain(item) for key, item in value.items()}
    return value


def element(value, kind):
    if kind == NUMBER and type(value) is int and value >= 0:
        return value
    if kind == STATUS and type(value) is int and -(2**63) <= value < 2**63:
        return value
    if kind == BOOL and type(value) is bool:
        return value
    if kind in (TEXT, GAME) and type(value) is str:
        return value if kind == TEXT or value else None
    if kind == GAME and value is None:
        return None
    raise TypeError(f"got {value!r}")


def envelope(data):
    unpacker = msgpack.Unpacker(strict_map_key=True)
    unpacker.feed(data)
    value = unpacker.unpack()
    if type(value) is not list:
        raise TypeError("no array")
    kind = element(value[0], NUMBER)
    shape = SHAPES[kind]
    elements = [element(value[i], want) for i, want in enumerate(shape)]
    if kind != 3:
        elements.append(plain(value[len(shape)]))
    return {"written": msgpack.packb(elements).hex(), "left": len(data) - unpacker.tell()}


def result(text):
    try:
        return envelope(bytes.fromhex(text))
    except Exception as error:
        return {"error": repr(error)}


json.dump([result(text) for text in json.load(sys.stdin)], sys.stdout)
