// SPDX-License-Identifier: Apache-2.0
// A front over plain HTTP that calls upstreams of its own, in the same process, inside TLS and HTTP/2. They answer with the X-Truth and
// the traceparent that they got, after a call to the plain upstream.
//   node secure.js --port P --upstream U --mode https|http2|h2c|compat|fetch --certificate FILE --key FILE
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const http2 = require('http2');
const options = require('./options.js');
const callUpstream = require('./calls.js').http;

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');
process.on('warning', () => {});

const files = { key: fs.readFileSync(options.key), cert: fs.readFileSync(options.certificate) };

async function answerOf(truth, path) {
  await callUpstream(`${truth}.b`, `${path}/behind`);
  return `${truth}\n`;
}

async function onRequest(request, response) {
  const body = await answerOf(request.headers['x-truth'], request.url);
  response.setHeader('x-traceparent', request.headers.traceparent || 'none');
  response.statusCode = request.url.includes('/fail') ? 503 : 200;
  response.end(body);
}

async function onStream(stream, headers) {
  const body = await answerOf(headers['x-truth'], headers[':path']);
  stream.respond({ ':status': 200, 'x-traceparent': headers.traceparent || 'none' });
  stream.end(body);
}

const backends = {
  https: () => https.createServer(files, onRequest),
  fetch: () => https.createServer(files, onRequest),
  http2: () => http2.createSecureServer(files).on('stream', onStream),
  h2c: () => http2.createServer().on('stream', onStream),
  compat: () => http2.createSecureServer(files, onRequest),
};

function read(stream) {
  return new Promise((resolve, reject) => {
    let body = '';
    stream.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => resolve(body)).on('error', reject);
  });
}

let session;

function callSession(scheme, port, truth, path) {
  if (!session || session.destroyed || session.closed) {
    session = http2.connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
  }
  const stream = session.request({ ':path': path, 'x-truth': truth });
  stream.end();
  return read(stream);
}

const agent = new https.Agent({ keepAlive: true, maxSockets: 8 });

const calls = {
  https: (port, truth, path) => new Promise((resolve, reject) => {
    https.get({ port, host: '127.0.0.1', path, agent, headers: { 'X-Truth': truth }, rejectUnauthorized: false }, (response) => {
      resolve(read(response));
    }).on('error', reject);
  }),
  fetch: async (port, truth, path) => (await fetch(`https://127.0.0.1:${port}${path}`, { headers: { 'x-truth': truth } })).text(),
  http2: (port, truth, path) => callSession('https', port, truth, path),
  compat: (port, truth, path) => callSession('https', port, truth, path),
  h2c: (port, truth, path) => callSession('http', port, truth, path),
};

const backend = backends[options.mode]().listen(0, '127.0.0.1', () => {
  const { port } = backend.address();
  http.createServer(async (request, response) => {
    const truth = request.headers['x-truth'];
    try {
      const bodies = await Promise.all([0, 1].map((key) => calls[options.mode](port, `${truth}.${key}`, `/secure/${key}?token=secret`)));
      if (bodies.some((body, key) => body !== `${truth}.${key}\n`)) throw new Error(`${truth}: ${bodies}`);
      response.setHeader('X-Truth', truth);
      response.end(`${truth}\n`);
    } catch (error) {
      response.statusCode = 500;
      response.end(error.stack);
    }
  }).listen(options.port, '127.0.0.1');
});

process.on('SIGTERM', () => process.exit(0));
