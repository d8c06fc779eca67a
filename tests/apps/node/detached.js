// SPDX-License-Identifier: Apache-2.0
// Answers at once, and goes on working for the request: three calls, one after the other. A timer that no request started calls, too.
//   node detached.js --port P --upstream U --mode http|fetch|https...
'use strict';

const http = require('http');
const options = require('./options.js');
const call = require('./calls.js')[options.mode];

http.createServer((request, response) => {
  const truth = request.headers['x-truth'];
  response.setHeader('X-Truth', truth);
  response.end(`${truth}\n`);
  setTimeout(async () => {
    for (let i = 0; i < 3; i++) await call(truth, `/later/${i}`);
  }, 20);
}).listen(options.port, '127.0.0.1');

setInterval(() => call('', '/nobodys'), 10);
process.on('SIGTERM', () => process.exit(0));
