// SPDX-License-Identifier: Apache-2.0
// HTTP/2, with and without TLS: a stream is an exchange. Its class, and that of client sessions, are not exported; they are found on the
// first objects of theirs.
'use strict';

const NO_ERROR = 0;
const CANCEL = 8;
const NOTHING = {};

module.exports = (task, relay) => {
  const { native, apply, quietly, Mark, UNKNOWN } = task;
  let isWatching = false; // streams are
  let isArmed = false; // client sessions are

  const textOf = (headers) => {
    let text = '';
    for (const name of Object.keys(headers)) {
      const value = headers[name];
      if (name[0] === ':' || value === undefined || value === null) continue;
      for (const one of Array.isArray(value) ? value : [value]) text += `${name}: ${one}\r\n`;
    }
    return text;
  };

  const headOf = (method, path, authority, fields) => {
    const target = method === 'CONNECT' ? authority : path;
    return `${method} ${target} HTTP/1.1\r\n${authority ? `host: ${authority}\r\n` : ''}${fields}\r\n`;
  };

  const socketOf = (session) => {
    try {
      return session.socket;
    } catch {
      return undefined; // it has none any more
    }
  };

  // A session does not know it before it is connected.
  const isSecure = (session, socket) => session.encrypted === true || (socket !== undefined && socket.encrypted === true);

  // ---- events of streams ----

  const onServerEvent = quietly((stream, exchange, event) => {
    if (event !== 'close') return;
    const sent = stream.sentHeaders;
    if (sent) relay.respond(exchange, sent[':status'], task.capturesResponses ? textOf(sent) : '');
    if (stream.rstCode === NO_ERROR && exchange.answered) relay.end(exchange, undefined);
    else relay.end(exchange, stream.rstCode === CANCEL || stream.aborted ? 'client_disconnected' : exchange.answered ? 'stream_reset' : 'no_response');
  });

  const onClientEvent = quietly((stream, exchange, event, first) => {
    if (event === 'response') {
      relay.respond(exchange, first[':status'], task.capturesResponses ? textOf(first) : '');
    } else if (event === 'error') {
      relay.end(exchange, stream.rstCode === CANCEL ? 'cancelled' : relay.errorOf(first));
    } else if (event === 'close') {
      if (exchange.answered && stream.rstCode === NO_ERROR) relay.end(exchange, undefined);
      else relay.end(exchange, stream.rstCode === CANCEL || !exchange.answered ? 'cancelled' : 'stream_reset');
    }
  });

  // All streams inherit from one class.
  const watchStreams = (stream) => {
    isWatching = true;
    const prototype = Object.getPrototypeOf(Object.getPrototypeOf(stream));
    task.wrap(prototype, 'emit', (original) => function emit(event, first) {
      const exchange = relay.Relayed.of(this);
      if (exchange === undefined) return apply(original, this, arguments);
      const own = Mark.of(this);
      if (!exchange.over) (own === undefined ? onClientEvent : onServerEvent)(this, exchange, event, first);
      if (own === undefined || task.current() === own) return apply(original, this, arguments);
      return task.run(own, original, this, arguments);
    });
  };

  // ---- servers ----

  const server = (stream, headers) => {
    const known = Mark.of(stream);
    if (known !== undefined) return known;
    const { session } = stream;
    if (!session || !headers) return UNKNOWN;
    if (!isWatching) watchStreams(stream);
    const socket = socketOf(session);
    const head = headOf(headers[':method'], headers[':path'], headers[':authority'] || headers.host, textOf(headers));
    native.server(relay.fdOf(socket), isSecure(session, socket), 2, head);
    const own = task.result();
    const exchange = relay.begun(socket);
    if (exchange === undefined) return UNKNOWN;
    new relay.Relayed(stream, exchange);
    Mark.put(stream, own);
    return own;
  };

  // ---- clients ----

  const authorityOf = (session, headers) => {
    const given = headers[':authority'] || headers.host;
    if (given) return given;
    const symbol = Object.getOwnPropertySymbols(session).find((one) => one.description === 'authority');
    return symbol ? session[symbol] : undefined;
  };

  const withFields = (headers, head, edited) => {
    const fields = relay.addedFields(head, edited);
    return fields.length === 0 ? headers : Object.assign({ __proto__: null }, headers, Object.fromEntries(fields));
  };

  const begin = quietly((session, headers) => {
    const own = task.current();
    const head = headOf(headers[':method'] || 'GET', headers[':path'] || '/', authorityOf(session, headers), textOf(headers));
    const socket = socketOf(session);
    const edited = task.during(own, native.client, native, [relay.fdOf(socket), isSecure(session, socket), 2, head]);
    return { exchange: relay.begun(socket), headers: withFields(headers, head, edited) };
  });

  const wrapSessions = (prototype) => {
    task.wrap(prototype, 'request', (original) => function request(headers, options) {
      if (Array.isArray(headers) || this.destroyed || this.closed) return apply(original, this, arguments);
      const { exchange, headers: edited } = begin(this, headers || {}) || NOTHING;
      if (exchange === undefined) return apply(original, this, arguments);
      let stream;
      try {
        stream = apply(original, this, [edited, options]);
      } catch (error) {
        relay.end(exchange, relay.errorOf(error));
        throw error;
      }
      if (!isWatching) watchStreams(stream);
      new relay.Relayed(stream, exchange);
      return stream;
    });
  };

  // A session over nothing shows the class.
  const arm = () => {
    isArmed = true;
    const { Duplex } = require('stream');
    const nowhere = new Duplex({ read() {}, write(chunk, encoding, done) { done(); } });
    const session = require('http2').connect('http://localhost', { createConnection: () => nowhere });
    session.on('error', () => {});
    wrapSessions(Object.getPrototypeOf(session));
    session.destroy();
  };

  return {
    server: quietly(server, UNKNOWN),
    arm: quietly(() => {
      if (!isArmed && process.moduleLoadList.includes('NativeModule internal/http2/core')) arm();
    }),
  };
};
