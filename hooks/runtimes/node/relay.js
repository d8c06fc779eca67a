// SPDX-License-Identifier: Apache-2.0
// Exchanges inside TLS and HTTP/2, which the library cannot read: it is told of them, in the text of HTTP/1 heads, and makes spans
// that are like all others.
'use strict';

// error.type as the library has it for plain sockets; other codes speak for themselves.
const ERRORS = {
  __proto__: null,
  ECONNRESET: 'connection_reset',
  EPIPE: 'broken_pipe',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'connection_refused',
  EHOSTUNREACH: 'host_unreachable',
  ENETUNREACH: 'host_unreachable',
  ABORT_ERR: 'cancelled',
  UND_ERR_ABORTED: 'cancelled',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_SOCKET: 'connection_closed',
};

module.exports = (task) => {
  const { native, quietly, UNKNOWN } = task;

  // The exchange on a message of node's.
  class Relayed extends (class { constructor(object) { return object; } }) {
    #exchange;

    constructor(object, exchange) {
      super(object);
      this.#exchange = exchange;
    }

    static of(object) {
      return #exchange in object ? object.#exchange : undefined;
    }
  }

  const fdOf = quietly((socket) => {
    const handle = socket ? socket._handle : undefined;
    return handle && handle.fd >= 0 ? handle.fd : -1;
  }, -1); // an HTTP/2 session's socket may be gone, and say so by an exception

  const fieldsOf = (raw) => {
    let text = '';
    for (let i = 0; i + 1 < raw.length; i += 2) {
      if (raw[i][0] !== ':') text += `${raw[i]}: ${raw[i + 1]}\r\n`;
    }
    return text;
  };

  const respond = (exchange, status, fields) => {
    if (exchange.answered || !(status >= 100)) return;
    exchange.answered = true;
    native.response(exchange.slot, exchange.gen, fdOf(exchange.socket), `HTTP/1.1 ${status} \r\n${fields}\r\n`);
  };

  const end = (exchange, error) => {
    if (exchange.over) return;
    exchange.over = true;
    native.end(exchange.slot, exchange.gen, fdOf(exchange.socket), error);
  };

  const errorOf = (error) => {
    const code = error && (error.code || error.name);
    if (typeof code !== 'string') return code === 20 ? 'cancelled' : 'error';
    return ERRORS[code] || (code === 'AbortError' ? 'cancelled' : code);
  };

  const begun = (socket) => {
    const name = task.name();
    return name === undefined ? undefined : { slot: name.slot, gen: name.gen, socket, answered: false, over: false };
  };

  // ---- server ----

  const server = (request, response) => {
    const { socket } = request;
    const head = `${request.method} ${request.url} HTTP/1.${request.httpVersionMinor}\r\n${fieldsOf(request.rawHeaders)}\r\n`;
    native.server(fdOf(socket), true, 1, head);
    const own = task.result();
    const exchange = begun(socket);
    if (exchange === undefined) return UNKNOWN;
    if (response !== null && typeof response === 'object') new Relayed(response, exchange);
    return own;
  };

  const onResponseEvent = (response, exchange, event) => {
    if (event !== 'finish' && event !== 'close') return;
    if (response.headersSent) respond(exchange, response.statusCode, task.capturesResponses ? headersOf(response) : '');
    if (event === 'finish') end(exchange, undefined);
    else if (!exchange.over) end(exchange, response.headersSent ? 'client_disconnected' : exchange.socket.destroyed ? 'client_disconnected' : 'no_response');
  };

  const headersOf = (message) => {
    let text = '';
    const headers = message.getHeaders();
    for (const name of Object.keys(headers)) text += `${name}: ${headers[name]}\r\n`;
    return text;
  };

  // ---- client ----

  // The head is whole in request._header. In its place comes what the library makes of it.
  const client = (request, own) => {
    const text = request._header;
    if (typeof text !== 'string') return;
    const head = task.during(own, native.client, native, [-1, true, 1, text]);
    const exchange = begun(undefined);
    if (exchange === undefined) return;
    if (head !== undefined) request._header = head;
    new Relayed(request, exchange);
  };

  const onRequestEvent = (request, event, first) => {
    const exchange = Relayed.of(request);
    if (exchange.over) return;
    if (exchange.socket === undefined && request.socket) exchange.socket = request.socket;
    switch (event) {
      case 'response':
      case 'upgrade':
      case 'connect':
        respond(exchange, first.statusCode, task.capturesResponses ? fieldsOf(first.rawHeaders) : '');
        if (event === 'response') {
          new Relayed(first, exchange);
        } else {
          end(exchange, undefined);
        }
        break;
      case 'error':
        end(exchange, errorOf(first));
        break;
      case 'close':
        if (!exchange.answered) end(exchange, 'cancelled');
        break;
      default:
    }
  };

  // By the program. What node then reports is a connection that was reset.
  const onRequestDestroyed = (request, error) => {
    if (error === undefined || error === null || error.name === 'AbortError') end(Relayed.of(request), 'cancelled');
  };

  const onAnswerEvent = (answer, exchange, event) => {
    if (event === 'end') end(exchange, undefined);
    else if (event === 'close') end(exchange, answer.complete ? undefined : answer.aborted ? 'connection_closed' : 'cancelled');
  };

  // What the library put into a head, as [name, value]: its lines are before the blank one.
  const addedFields = (head, edited) => {
    if (edited === undefined || !edited.startsWith(head.slice(0, -2))) return [];
    return edited.slice(head.length - 2, -4).split('\r\n').map((line) => line.split(': ', 2));
  };

  return {
    addedFields,
    Relayed,
    fdOf,
    fieldsOf,
    respond,
    end,
    errorOf,
    begun,
    server: quietly(server, UNKNOWN),
    client: quietly(client),
    onRequestEvent: quietly(onRequestEvent),
    onRequestDestroyed: quietly(onRequestDestroyed),
    isRelayed: (message) => Relayed.of(message) !== undefined,
    onMessageEvent: quietly((message, event) => {
      const exchange = Relayed.of(message);
      if (exchange.over) return;
      if (message.rawHeaders === undefined) onResponseEvent(message, exchange, event);
      else onAnswerEvent(message, exchange, event);
    }),
  };
};
