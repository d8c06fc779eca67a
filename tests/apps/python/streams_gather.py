# SPDX-License-Identifier: Apache-2.0
"""asyncio.start_server, with nothing but the standard library on either side."""

import asyncio
import random
import sys

PORT, UPSTREAM = sys.argv[1:3]


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return lines[0], {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}


async def ask(key, what):
    await asyncio.sleep(random.random() / 100)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(UPSTREAM))
    writer.write(f"GET /{key}/{what} HTTP/1.1\r\nHost: shard\r\nX-Truth: {key}\r\n\r\n".encode())
    _, fields = await read_head(reader)
    await reader.readexactly(int(fields["content-length"]))
    writer.close()


kept = set()


async def serve(reader, writer):
    kept.add(asyncio.current_task())  # until 3.11, nobody else does
    try:
        while True:
            _, fields = await read_head(reader)
            key = fields["x-truth"]
            await asyncio.gather(*(ask(key, f"shard{i}") for i in range(3)))
            body = key + "\n"
            writer.write(f"HTTP/1.1 200 OK\r\nX-Truth: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
    finally:
        kept.discard(asyncio.current_task())


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(PORT))
    async with server:
        await server.serve_forever()


asyncio.run(main())
