# SPDX-License-Identifier: Apache-2.0
"""What the services of this folder do for a request: sleep, ask the upstream server, with the request's key in each URL."""

import asyncio
import random
import sys

import aiohttp

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
OPTIONS = sys.argv[3:]
SHARDS = 3


def address(key, what):
    return f"http://127.0.0.1:{UPSTREAM}/{key}/{what}"


async def nap():
    await asyncio.sleep(random.random() / 100)


class Client:
    """One pool of connections for all requests."""

    def __init__(self, limit=0):
        self.session, self.limit = None, limit

    async def __aenter__(self):
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self.limit))
        return self

    async def __aexit__(self, *unused):
        await self.session.close()

    async def ask(self, key, what):
        async with self.session.get(address(key, what), headers={"X-Truth": key}) as response:
            return await response.text()

    async def ask_later(self, key, what):
        await nap()
        answer = await self.ask(key, what)
        await nap()
        return answer

    async def gather(self, key):
        await nap()
        await asyncio.gather(*(self.ask_later(key, f"shard{i}") for i in range(SHARDS)))
        return key + "\n"
