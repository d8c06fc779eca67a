// SPDX-License-Identifier: Apache-2.0
// A server that answers each request after calling shards in the way that --mode names (calls.js), at the moment that --at names. Every
// call carries the request's X-Truth.
//   node front.js --port P --upstream U --mode MODE --at handler|data|end|timer|immediate|tick|pipeline [--calls N] [--workers N]
'use strict';

const http = require('http');
const options = require('./options.js');
const call = require('./calls.js')[options.mode];

const random = (ms) => new Promise((resolve) => setTimeout(resolve, Math.random() * ms));

async function shard(truth, key) {
  if (key % 2 === 1) await random(4);
  const body = await call(truth, `/shard/${key}?of=${truth}`);
  if (!body.startsWith(truth)) throw new Error(`asked for ${truth}, got ${body}`);
  if (key % 3 === 0) await random(2);
}

async function answer(request, response) {
  const truth = request.headers['x-truth'] || '';
  try {
    await Promise.all(Array.from({ length: options.calls }, (_, key) => shard(truth, key)));
    response.setHeader('X-Truth', truth);
    response.end(`${truth}\n`);
  } catch (error) {
    response.statusCode = 500;
    response.end(`${error.stack}\n`);
  }
}

const moments = {
  handler(request, response) {
    request.resume();
    answer(request, response);
  },
  data(request, response) {
    let begun = false;
    request.on('data', () => {
      if (!begun) answer(request, response);
      begun = true;
    });
    request.on('end', () => { if (!begun) answer(request, response); });
  },
  end(request, response) {
    request.resume();
    request.on('end', () => answer(request, response));
  },
  timer(request, response) {
    request.resume();
    setTimeout(answer, Math.random() * 5, request, response);
  },
  immediate(request, response) {
    request.resume();
    setImmediate(() => process.nextTick(() => queueMicrotask(() => answer(request, response))));
  },
  // The body is read by an async generator, which the program resumes when it likes.
  async pipeline(request, response) {
    async function* pieces() {
      for await (const piece of request) yield piece.length;
      yield 0;
    }
    for await (const size of pieces()) if (size === 0) await answer(request, response);
  },
};

const server = http.createServer(moments[options.at]);
process.on('SIGTERM', () => process.exit(0));
server.listen(options.port, '127.0.0.1');
