"""Transcodes with Python's own modules. Reads a JSON array of objects {"json": text} or {"msgpack": hex}
from stdin, and writes an array of the results, hex or text, or of "!" and the error."""

import base64
import json
import sys

import msgpack


def plain(value):
    """value without bytes, by the rule for them."""
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


def transcode(case):
    try:
        if "json" in case:
            return msgpack.packb(json.loads(case["json"])).hex()
        return json.dumps(plain(msgpack.unpackb(bytes.fromhex(case["msgpack"]))))
    except Exception as error:
        return "!" + repr(error)


json.dump([transcode(case) for case in json.load(sys.stdin)], sys.stdout)
