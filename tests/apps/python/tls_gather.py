# SPDX-License-Identifier: Apache-2.0
"""streams_gather.py's calls, with one over TLS among them, to a server that this program has started: another process, not traced."""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile

PORT, UPSTREAM, *ROLE = sys.argv[1:]
kept = set()


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}


async def ask(port, key, what, tls=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port), ssl=tls)
    writer.write(f"GET /{key}/{what} HTTP/1.1\r\nHost: shard\r\nX-Truth: {key}\r\n\r\n".encode())
    fields = await read_head(reader)
    await reader.readexactly(int(fields["content-length"]))
    writer.close()


def serve_with(answer):
    async def serve(reader, writer):
        kept.add(asyncio.current_task())
        try:
            while True:
                key = (await read_head(reader))["x-truth"]
                await answer(key)
                body = key + "\n"
                writer.write(f"HTTP/1.1 200 OK\r\nX-Truth: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()
        finally:
            kept.discard(asyncio.current_task())
    return serve


async def secure(certificate):
    async def nothing(_):
        await asyncio.sleep(0)
    asyncio.get_running_loop().add_reader(0, os._exit, 0)  # whoever started us is gone
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve_with(nothing), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def front(secure_port, certificate):
    tls = ssl.create_default_context(cafile=certificate)
    tls.check_hostname = False

    async def shards(key):
        await asyncio.gather(ask(UPSTREAM, key, "a"), ask(secure_port, key, "b", tls), ask(UPSTREAM, key, "c"))

    server = await asyncio.start_server(serve_with(shards), "127.0.0.1", int(PORT))
    await server.serve_forever()


if ROLE:
    asyncio.run(secure(ROLE[0]))
    sys.exit()
with tempfile.TemporaryDirectory() as where:
    pem = os.path.join(where, "both.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shard", "-days", "30", "-keyout", pem,
                    "-out", pem + ".crt"], check=True, capture_output=True)
    with open(pem, "a", encoding="ascii") as whole, open(pem + ".crt", encoding="ascii") as part:
        whole.write(part.read())
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    with subprocess.Popen([sys.executable, __file__, PORT, UPSTREAM, pem], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=environment) as other:
        try:
            asyncio.run(front(int(other.stdout.readline()), pem))
        finally:
            other.kill()
