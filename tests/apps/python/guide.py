# SPDX-License-Identifier: Apache-2.0
"""One service (aiohttp) with a path for each way in which asyncio programs split the work of a request."""

import asyncio
import contextvars
import os
import sys
import urllib.request

from aiohttp import web

import shards

kept = set()


def keep(task):
    kept.add(task)
    task.add_done_callback(kept.discard)
    return task


async def create_task(client, key):
    later = [keep(asyncio.create_task(client.ask_later(key, f"task{i}"))) for i in range(3)]
    await client.ask(key, "direct")
    await asyncio.gather(*later)


async def gather(client, key):
    await client.gather(key)


async def task_group(client, key):
    async def fail():
        await asyncio.sleep(0.3)
        raise ValueError(key)

    try:
        async with asyncio.TaskGroup() as group:
            for i in range(2):
                group.create_task(client.ask(key, f"slow{i}"))
            group.create_task(fail())
    except* ValueError:
        pass
    await client.ask(key, "after")


async def worker(client, queue):
    while True:
        key, done = await queue.get()
        await client.ask(key, "worker")
        done.set_result(None)


async def before(client, key):
    done = asyncio.get_running_loop().create_future()
    application["queue"].put_nowait((key, done))
    await client.ask(key, "direct")
    await done


async def fresh(client, key):
    context = contextvars.Context()
    task = context.run(asyncio.ensure_future, client.ask(key, "fresh"))
    await client.ask(key, "direct")
    await task


async def afterwards(client, key):
    await asyncio.sleep(0.3)
    await client.ask(key, "first")
    await asyncio.gather(*(client.ask(key, f"child{i}") for i in range(2)))
    await client.ask(key, "last")


async def forget(client, key):
    keep(asyncio.create_task(afterwards(client, key)))
    await client.ask(key, "direct")


async def to_thread(client, key):
    def ask():
        request = urllib.request.Request(shards.address(key, "thread"), headers={"X-Truth": key})
        return urllib.request.urlopen(request).read()

    await asyncio.gather(asyncio.to_thread(ask), client.ask(key, "direct"))


async def copied(client, key):
    context = contextvars.copy_context()
    task = context.copy().run(asyncio.ensure_future, client.ask_later(key, "copy"))
    await client.ask(key, "direct")
    await task


async def leave(client, key):
    """Answer, then end in the way that the path names."""
    def end():
        how = key.rpartition("-")[2]
        if how == "exit":
            sys.exit(3)
        if how == "os_exit":
            os._exit(4)
        raise RuntimeError("unhandled")

    asyncio.get_running_loop().call_later(0.2, end)
    await client.ask(key, "direct")


async def front(request):
    key = request.headers["X-Truth"]
    await globals()[request.match_info["what"]](request.app["client"], key)
    return web.Response(text=key + "\n", headers={"X-Truth": key})


async def prepare(app):
    limit = 1 if "one-connection" in shards.OPTIONS else 0
    async with shards.Client(limit) as app["client"]:
        app["queue"] = asyncio.Queue()
        task = asyncio.create_task(worker(app["client"], app["queue"]))
        yield
        task.cancel()


application = web.Application()
application.router.add_get("/{what}/{key:.*}", front)
application.cleanup_ctx.append(prepare)
if "uvloop" in shards.OPTIONS:
    import uvloop

    uvloop.install()
web.run_app(application, host="127.0.0.1", port=shards.PORT, print=None)
