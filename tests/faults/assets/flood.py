"""Floods a service with queries: ``flood.py HOST PORT CONNECTIONS SECONDS``; prints the statuses."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

BODY = b'{"user_id": "flood", "question": "What is 2+2?"}'
REQUEST = (
    b"POST /api/v1/query HTTP/1.1\r\nHost: flood\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


async def flood(host: str, port: int, until: float, statuses: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.monotonic() < until:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        statuses[int(head.split()[1])] += 1
    writer.close()


async def main(host: str, port: str, connections: str, seconds: str) -> None:
    statuses: Counter[int] = Counter()
    until = time.monotonic() + float(seconds)
    await asyncio.gather(*(flood(host, int(port), until, statuses) for _ in range(int(connections))))
    print(json.dumps(statuses))  # noqa: T201 - what the test reads


asyncio.run(main(*sys.argv[1:]))
