// SPDX-License-Identifier: Apache-2.0
// The same in an ECMAScript module.
import http, { createServer } from 'node:http';
import options from './options.js';

const agent = new http.Agent({ keepAlive: true });

const call = (truth, key) => new Promise((resolve, reject) => {
  http.get({ port: options.upstream, host: '127.0.0.1', path: `/shard/${key}`, agent, headers: { 'X-Truth': truth } }, (response) => {
    response.resume().on('end', resolve);
  }).on('error', reject);
});

process.on('SIGTERM', () => process.exit(0));
createServer(async (request, response) => {
  const truth = request.headers['x-truth'];
  await Promise.all([call(truth, 0), call(truth, 1), (async () => (await fetch(`http://127.0.0.1:${options.upstream}/`, { headers: { 'X-Truth': truth } })).text())()]);
  response.setHeader('X-Truth', truth);
  response.end(`${truth}\n`);
}).listen(options.port, '127.0.0.1');
