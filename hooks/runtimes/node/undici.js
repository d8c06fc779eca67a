// SPDX-License-Identifier: Apache-2.0
// fetch() and undici, node's own copy and the program's. A pool makes a request's text when a connection is free, in whatever task
// runs then; the task that counts is the one that called dispatch(), and the rest of the way runs in that.
'use strict';

const channels = require('diagnostics_channel');

const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1');

module.exports = (task, relay) => {
  const { apply, quietly, Mark, UNKNOWN } = task;
  const known = new WeakSet(); // prototypes whose dispatch() is ours
  const copies = new WeakMap(); // class of requests -> was its dispatch() found?
  const origins = new WeakMap(); // handler -> { dispatcher, task }
  let depth = 0;

  // A handler that comes by again was queued by the dispatcher that it was first given to; or the program uses it for several requests
  // at a time, and nobody can tell those apart.
  const taskOf = quietly((dispatcher, handler) => {
    const origin = origins.get(handler);
    if (depth > 0) return origin === undefined ? task.current() : origin.task;
    if (origin === undefined) {
      const own = { dispatcher, task: task.current() };
      origins.set(handler, own);
      return own.task;
    }
    if (origin.dispatcher === dispatcher && origin.task !== task.current()) origin.task = UNKNOWN;
    return origin.task;
  }, UNKNOWN);

  const wrapDispatch = (prototype) => {
    known.add(prototype);
    task.wrap(prototype, 'dispatch', (original) => function dispatch(options, handler) {
      if (handler === null || typeof handler !== 'object') return apply(original, this, arguments);
      const own = taskOf(this, handler);
      depth++;
      try {
        return own === task.current() ? apply(original, this, arguments) : task.run(own, original, this, arguments);
      } finally {
        depth--;
      }
    });
  };

  // The class in the chain that all dispatchers of a copy share.
  const wrapChain = (prototype) => {
    for (let p = prototype; p; p = Object.getPrototypeOf(p)) {
      if (p.constructor && p.constructor.name === 'DispatcherBase' && Object.hasOwn(p, 'dispatch') && !known.has(p)) {
        wrapDispatch(p);
        return true;
      }
    }
    return false;
  };

  // A copy is known by its first request. That one was made in the call of dispatch() itself: nothing was queued before it.
  const findCopies = () => {
    let found = false;
    const dispatcher = globalThis[GLOBAL_DISPATCHER];
    if (dispatcher) found = wrapChain(Object.getPrototypeOf(dispatcher));
    const { cache } = require;
    for (const name of Object.keys(cache)) {
      if (!name.endsWith('dispatcher-base.js')) continue;
      const { exports } = cache[name];
      if (typeof exports === 'function' && exports.prototype && wrapChain(exports.prototype)) found = true;
    }
    return found;
  };

  const isTold = (request) => {
    const copy = request.constructor;
    if (!copies.has(copy)) copies.set(copy, findCopies());
    return copies.get(copy);
  };

  const names = (headers, wanted) => {
    if (typeof headers === 'string') return headers.toLowerCase().includes(`${wanted}:`);
    return Array.isArray(headers) && headers.some((item, i) => i % 2 === 0 && typeof item === 'string' && item.toLowerCase() === wanted);
  };

  const headOf = (request) => {
    const { method, path, headers } = request;
    const fields = typeof headers === 'string' ? headers : relay.fieldsOf(headers);
    const host = names(headers, 'host') ? '' : `host: ${request.host || new URL(request.origin).host}\r\n`;
    return `${method} ${path} HTTP/1.1\r\n${host}${fields}\r\n`;
  };

  const begin = (request, own) => {
    const head = headOf(request);
    const edited = task.during(own, task.native.client, task.native, [-1, true, 1, head]);
    const exchange = relay.begun(undefined);
    if (exchange === undefined) return;
    new relay.Relayed(request, exchange);
    for (const [name, value] of relay.addedFields(head, edited)) request.addHeader(name, value);
  };

  const onCreate = ({ request }) => {
    const own = isTold(request) ? task.current() : UNKNOWN;
    Mark.put(request, own === undefined ? null : own);
    if (String(request.origin).startsWith('https:')) {
      begin(request, own);
    } else if (!names(request.headers, 'traceparent')) {
      const traceparent = task.traceparentOf(own);
      if (traceparent !== undefined) request.addHeader('traceparent', traceparent);
    }
  };

  // The bytes follow at once. A request without a traceparent of ours is told by who owns the socket.
  const onSend = ({ request, socket }) => {
    if (socket === null || typeof socket !== 'object') return;
    const exchange = relay.Relayed.of(request);
    if (exchange !== undefined) exchange.socket = socket;
    const own = Mark.of(request);
    Mark.put(socket, own === undefined ? UNKNOWN : own);
  };

  const onHeaders = ({ request, response }) => {
    const exchange = relay.Relayed.of(request);
    if (exchange === undefined || response.statusCode < 200) return;
    const raw = response.headers.map((item) => (typeof item === 'string' ? item : item.toString('latin1')));
    relay.respond(exchange, response.statusCode, task.capturesResponses ? relay.fieldsOf(raw) : '');
  };

  const onDone = ({ request, error }) => {
    const exchange = relay.Relayed.of(request);
    if (exchange !== undefined) relay.end(exchange, error === undefined ? undefined : relay.errorOf(error));
  };

  const listeners = {
    'undici:request:create': onCreate,
    'undici:client:sendHeaders': onSend,
    'undici:request:headers': onHeaders,
    'undici:request:trailers': onDone,
    'undici:request:error': onDone,
  };

  // A channel is forgotten unless somebody holds it.
  const held = [];
  for (const name of Object.keys(listeners)) {
    const channel = channels.channel(name);
    channel.subscribe(quietly(listeners[name]));
    held.push(channel);
  }
  task.held = held;
};
