// SPDX-License-Identifier: Apache-2.0
// Ways to call the upstream: (truth, path) => a promise of the body.
'use strict';

const http = require('http');
const net = require('net');
const { EventEmitter } = require('events');
const options = require('./options.js');

const host = '127.0.0.1';
const port = options.upstream;
const base = `http://${host}:${port}`;

function read(response, done) {
  let body = '';
  response.setEncoding('utf8');
  response.on('data', (chunk) => { body += chunk; });
  response.on('end', () => done(body));
}

function request(agent, path, headers, done, fail) {
  return http.get({ port, host, path, agent, headers }, (response) => read(response, done)).on('error', fail);
}

function promise(agent, path, headers) {
  return new Promise((resolve, reject) => request(agent, path, headers, resolve, reject));
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const narrow = new http.Agent({ keepAlive: true, maxSockets: 2 });

// ---- a client of the program's own, on plain sockets ----

function parse(text) {
  const end = text.indexOf('\r\n\r\n');
  const length = end < 0 ? null : /content-length: (\d+)/i.exec(text.slice(0, end));
  if (!length || text.length < end + 4 + Number(length[1])) return undefined;
  return { body: text.slice(end + 4, end + 4 + Number(length[1])), rest: text.slice(end + 4 + Number(length[1])) };
}

const headOf = (truth, path) => `GET ${path} HTTP/1.1\r\nHost: shards\r\nX-Truth: ${truth}\r\n\r\n`;

// A socket for each call.
function netFresh(truth, path) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      text += chunk;
      const answer = parse(text);
      if (answer) {
        socket.destroy();
        resolve(answer.body);
      }
    });
    socket.on('error', reject);
    socket.write(headOf(truth, path));
  });
}

// Sockets that all calls share: each written by the caller, one call at a time.
const idle = [];

async function netShared(truth, path) {
  const socket = idle.pop() || net.connect(port, host).setEncoding('latin1');
  socket.write(headOf(truth, path));
  const body = await new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk) => {
      text += chunk;
      const answer = parse(text);
      if (!answer) return;
      socket.off('data', onData);
      socket.off('error', reject);
      resolve(answer.body);
    };
    socket.on('data', onData);
    socket.on('error', reject);
  });
  idle.push(socket);
  return body;
}

// One socket, written for all callers by whichever came first (batch), or by whoever got the last answer (turns).
class Shared extends EventEmitter {
  constructor(batch) {
    super();
    this.batch = batch;
    this.queue = [];
    this.sent = [];
    this.text = '';
  }

  open() {
    this.socket = net.connect(port, host).setEncoding('latin1');
    this.socket.on('data', (chunk) => {
      this.text += chunk;
      for (let answer = parse(this.text); answer; answer = parse(this.text)) {
        this.text = answer.rest;
        this.sent.shift().resolve(answer.body);
        if (!this.batch) this.write();
      }
    });
  }

  write() {
    while (this.queue.length > 0 && (this.batch || this.sent.length === 0)) {
      const call = this.queue.shift();
      this.sent.push(call);
      this.socket.write(call.head);
    }
  }

  call(truth, path) {
    if (!this.socket) this.open();
    return new Promise((resolve) => {
      this.queue.push({ head: headOf(truth, path), resolve });
      if (!this.batch) this.write();
      else if (this.queue.length === 1) setImmediate(() => this.write());
    });
  }
}

const batch = new Shared(true);
const turns = new Shared(false);

module.exports = {
  http: (truth, path) => promise(agent, path, { 'X-Truth': truth }),
  queue: (truth, path) => promise(narrow, path, { 'X-Truth': truth }),
  fresh: (truth, path) => promise(false, path, { 'X-Truth': truth }),
  array: (truth, path) => promise(agent, path, ['X-Truth', truth, 'Host', 'shards']),
  fetch: async (truth, path) => (await fetch(base + path, { headers: { 'X-Truth': truth } })).text(),
  // Callbacks only, the second call from the end of the first.
  nested: (truth, path) => new Promise((resolve, reject) => {
    const headers = { 'X-Truth': truth };
    request(narrow, path, headers, () => request(narrow, `${path}&again`, headers, resolve, reject), reject);
  }),
  // The request is made here, and ended from the callbacks of another one's.
  late: (truth, path) => new Promise((resolve, reject) => {
    const made = http.request({ port, host, path, agent, method: 'POST', headers: { 'X-Truth': truth } }, (r) => read(r, resolve));
    made.on('error', reject);
    lateEnds.push(made);
    if (lateEnds.length >= 8) lateEnds.splice(0).forEach((one) => one.end('x'));
    else setTimeout(() => lateEnds.splice(0).forEach((one) => one.end('x')), 3);
  }),
  netFresh,
  netShared,
  netBatch: (truth, path) => batch.call(truth, path),
  netTurns: (truth, path) => turns.call(truth, path),
};

const lateEnds = [];

// Redis clients that write for several callers at a time, and calls after their answers.
if (options.redis) {
  const modules = `${options.package}/node_modules`;
  const after = async (get, truth, path) => {
    const value = await get(truth);
    if (value !== null) throw new Error(`found ${value}`);
    return module.exports.http(truth, path);
  };
  let client;
  module.exports.redis = (truth, path) => after(async (key) => {
    client = client || require(`${modules}/redis`).createClient({ url: `redis://${host}:${options.redis}` }).connect();
    return (await client).get(key);
  }, truth, path);
  const ioredis = (batching) => (truth, path) => after((key) => {
    client = client || new (require(`${modules}/ioredis`))({ host, port: options.redis, enableAutoPipelining: batching });
    return client.get(key);
  }, truth, path);
  module.exports.ioredis = ioredis(false);
  module.exports.ioredisBatch = ioredis(true);
}

// undici from a package directory: connections that requests wait for, and a handler object that serves several.
if (options.package) {
  const undici = require(`${options.package}/node_modules/undici`);
  const pool = new undici.Pool(base, { connections: 2 });
  const limited = new undici.Agent({ connections: 2 });
  const ask = async (dispatcher, truth, path) => (await undici.request(base + path, { dispatcher, headers: { 'x-truth': truth } })).body.text();
  module.exports.undici = (truth, path) => ask(undefined, truth, path);
  module.exports.undiciPool = (truth, path) => ask(pool, truth, path);
  module.exports.undiciFetch = async (truth, path) => (await undici.fetch(base + path, { dispatcher: limited, headers: { 'x-truth': truth } })).text();
  module.exports.undiciGlobal = (truth, path) => {
    undici.setGlobalDispatcher(limited);
    return module.exports.fetch(truth, path);
  };
}
