// SPDX-License-Identifier: Apache-2.0
// A program that serves nobody: one call, in the way that its mode names, and its failures.
//   node client.js --port P --mode http|fetch|https|refused|cancelled
'use strict';

const http = require('http');
const https = require('https');
const options = require('./options.js');

const host = '127.0.0.1';
const { port } = options;
// Spans go out within the time that an exit waits for them, unless the machine is very busy: so it comes a little later.
const done = (result) => {
  console.log(JSON.stringify(result));
  setTimeout(() => {}, 500);
};
const failed = (error) => done(error.code || error.name);

const modes = {
  http: () => http.get({ host, port }, (response) => response.resume().on('end', () => done(response.statusCode))),
  fetch: async () => {
    const response = await fetch(`http://${host}:${port}/`);
    await response.text();
    done(response.status);
  },
  https: () => https.get({ host, port, rejectUnauthorized: false, path: '/x?sig=1' }, (response) => {
    response.resume().on('end', () => done(response.statusCode));
  }).on('error', failed),
  strict: () => https.get({ host, port }).on('error', failed),
  cancelled: () => {
    const request = https.get({ host, port, rejectUnauthorized: false, path: '/slow' }).on('error', failed);
    setTimeout(() => request.destroy(), 300);
  },
};

modes[options.mode]();
