# SPDX-License-Identifier: Apache-2.0
"""An ASGI application without a framework, and httpx. Alone, under uvicorn; with more options, under gunicorn's workers of that kind."""

import asyncio
import os
import random
import sys

import httpx

client = None


async def ask(key, what):
    await asyncio.sleep(random.random() / 100)
    response = await client.get(f"http://127.0.0.1:{os.environ['UPSTREAM']}/{key}/{what}", headers={"X-Truth": key})
    assert response.text is not None


async def lifespan(receive, send):
    global client
    await receive()
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), trust_env=False)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await client.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    key = dict(scope["headers"])[b"x-truth"].decode()
    await asyncio.gather(*(ask(key, f"shard{i}") for i in range(3)))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-truth", key.encode())]})
    await send({"type": "http.response.body", "body": (key + "\n").encode()})


if __name__ == "__main__":
    port, os.environ["UPSTREAM"], *options = sys.argv[1:]
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    if not options:
        import uvicorn
        uvicorn.run("httpx_gather:application", host="127.0.0.1", port=int(port), log_level="warning", timeout_keep_alive=300)
    else:
        os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "--log-level", "warning", "-b", "127.0.0.1:" + port,
                                  "--keep-alive", "300", "--timeout", "300", "-k", "uvicorn.workers.UvicornWorker", *options, "httpx_gather:application"])
