# SPDX-License-Identifier: Apache-2.0
"""FastAPI under uvicorn, with the event loop and the HTTP parser that the options name."""

import fastapi
import uvicorn

import shards

application = fastapi.FastAPI()
client = shards.Client()


@application.on_event("startup")
async def start():
    await client.__aenter__()


@application.on_event("shutdown")
async def stop():
    await client.__aexit__()


@application.get("/{path:path}")
async def front(request: fastapi.Request):
    key = request.headers["X-Truth"]
    return fastapi.Response(await client.gather(key), headers={"X-Truth": key})


loop, http = shards.OPTIONS
uvicorn.run(application, host="127.0.0.1", port=shards.PORT, loop=loop, http=http, log_level="warning")
