# SPDX-License-Identifier: Apache-2.0
"""Requests that are answered by tasks of their own, and each leaves another behind: contexts come and go."""

import asyncio
import sys

PORT = int(sys.argv[1])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
running = set()


def start(coroutine):
    task = asyncio.create_task(coroutine)
    running.add(task)
    task.add_done_callback(running.discard)
    return task


async def afterwards():
    await asyncio.sleep(0.01)


async def answer(writer):
    start(afterwards())
    await asyncio.sleep(0)
    writer.write(ANSWER)


async def serve(reader, writer):
    running.add(asyncio.current_task())
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await start(answer(writer))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
    finally:
        running.discard(asyncio.current_task())


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    async with server:
        await server.serve_forever()


asyncio.run(main())
