// SPDX-License-Identifier: Apache-2.0
// A server that refuses requests before the program sees them, in every way that node has. Others are answered after a call.
//   node refusing.js --port P --upstream U
'use strict';

const http = require('http');
const options = require('./options.js');
const call = require('./calls.js').http;

const server = http.createServer(async (request, response) => {
  const truth = request.headers['x-truth'];
  await call(truth, `/for${request.url}`);
  response.setHeader('X-Truth', truth);
  response.end(`${truth}\n`);
});
server.maxRequestsPerSocket = options.most || 0;
server.on('clientError', (error, socket) => {
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
});
server.listen(options.port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
