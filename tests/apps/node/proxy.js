// SPDX-License-Identifier: Apache-2.0
// A proxy as programs write it: each request is passed on to one upstream, the answer piped back. For measuring.
//   node proxy.js --port P --upstream U
'use strict';

const http = require('http');
const options = require('./options.js');

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

http.createServer((request, response) => {
  const { method, url, headers } = request;
  const upstream = http.request({ port: options.upstream, host: '127.0.0.1', method, path: url, agent, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  upstream.on('error', () => {
    response.statusCode = 502;
    response.end();
  });
  request.pipe(upstream);
}).listen(options.port, '127.0.0.1');

process.on('SIGTERM', () => process.exit(0));
