"""JSON lines: how the peers are driven, and how they tell what happens."""

import asyncio
import json
import sys
from typing import AsyncIterator


def emit(event: str, **values):
    """Write one event as a JSON line on standard output."""
    print(json.dumps({"event": event, **values}), flush=True)


async def read_commands() -> AsyncIterator[dict]:
    """The JSON lines on standard input, until it ends. It must be a pipe."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        if line.strip():
            yield json.loads(line)
