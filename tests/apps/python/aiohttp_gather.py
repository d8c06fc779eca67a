# SPDX-License-Identifier: Apache-2.0
"""aiohttp as server and as client."""

from aiohttp import web

import shards


async def front(request):
    key = request.headers["X-Truth"]
    return web.Response(text=await request.app["client"].gather(key), headers={"X-Truth": key})


async def with_client(app):
    async with shards.Client() as app["client"]:
        yield


application = web.Application()
application.router.add_get("/{key:.*}", front)
application.cleanup_ctx.append(with_client)
if "uvloop" in shards.OPTIONS:
    import uvloop

    uvloop.install()
web.run_app(application, host="127.0.0.1", port=shards.PORT, print=None)
