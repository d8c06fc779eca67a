# SPDX-License-Identifier: Apache-2.0
"""A service that asks three shards at once: aiohttp as server and as client."""

import asyncio
import random
import sys

import aiohttp
from aiohttp import web

PORT, UPSTREAM = sys.argv[1:3]


async def ask(request, shard):
    await asyncio.sleep(random.random() / 100)
    url = f"http://127.0.0.1:{UPSTREAM}{request.path}/shard{shard}"
    headers = {"X-Truth": request.headers["X-Truth"]}
    async with request.app["session"].get(url, headers=headers) as response:
        return (await response.read()).decode()


async def front(request):
    await asyncio.sleep(random.random() / 100)
    answers = await asyncio.gather(*(ask(request, shard) for shard in range(3)))
    await asyncio.sleep(random.random() / 100)
    return web.Response(text=request.headers["X-Truth"] + "\n" + "".join(answers))


async def session(app):
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    yield
    await app["session"].close()


application = web.Application()
application.router.add_get("/{key:.*}", front)
application.cleanup_ctx.append(session)
web.run_app(application, host="127.0.0.1", port=int(PORT), print=None)
