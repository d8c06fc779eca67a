# SPDX-License-Identifier: Apache-2.0
"""An asyncio server, of the standard library alone, that hands its work to threads: asyncio_threads.py PORT."""

import asyncio
import concurrent.futures
import contextvars
import signal
import sys
import threading

import spread

TRUTH = contextvars.ContextVar("TRUTH")
POOL = concurrent.futures.ThreadPoolExecutor(8)


def in_thread(truth):
    """What threads may see of the program's own context variables is what they see without us: nothing."""
    assert TRUTH.get(None) is None
    spread.call(truth)


def in_copied_context(truth):
    assert TRUTH.get(None) == truth
    spread.call(truth)


async def run_in_executor(truth):
    loop = asyncio.get_running_loop()
    await asyncio.gather(loop.run_in_executor(None, in_thread, truth), loop.run_in_executor(POOL, in_thread, truth))


async def to_thread(truth):
    await asyncio.gather(*(asyncio.to_thread(in_copied_context, truth) for _ in range(2)))


async def submit(truth):
    await asyncio.wrap_future(POOL.submit(in_thread, truth))


async def thread(truth):
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run():
        in_thread(truth)
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run).start()
    await done.wait()


async def in_task(truth):
    await asyncio.create_task(run_in_executor(truth))


WAYS = (run_in_executor, to_thread, submit, thread, in_task)


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            truth = next(line.split(": ")[1] for line in head if line.lower().startswith("x-truth: "))
            TRUTH.set(truth)
            name = head[0].split()[1].strip("/")
            way = WAYS[int(truth.split("-")[1]) % len(WAYS)] if name == "mix" else globals()[name]
            await way(truth)
            body = truth + "\n"
            writer.write(f"HTTP/1.1 200 OK\r\nX-Truth: {truth}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=256)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


asyncio.run(main())
