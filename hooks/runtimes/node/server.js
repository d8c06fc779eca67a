// SPDX-License-Identifier: Apache-2.0
// Requests that arrive. All of node's servers inherit from net.Server, and hand requests to the program by its emit().
'use strict';

const net = require('net');

module.exports = (task, relay) => {
  const { native, apply, quietly, Mark, UNKNOWN } = task;
  const http2 = require('./http2.js')(task, relay);
  const clients = require('./clients.js')(task, relay);

  const isAnswered = (event) => event !== 'upgrade' && event !== 'connect' && event !== 'dropRequest';

  // The engine has parsed what came over a plain socket. Inside TLS nobody has but node; how those end that become something else is not
  // seen there.
  const begin = (event, request, response) => {
    const { socket } = request;
    if (socket === null || typeof socket !== 'object') return UNKNOWN;
    if (socket.encrypted === true) return isAnswered(event) ? relay.server(request, response) : UNKNOWN;
    const handle = socket._handle;
    const fd = handle ? handle.fd : -1;
    if (!(fd >= 0)) return UNKNOWN;
    native.take(fd, request.method, request.url, event === 'checkExpectation');
    return task.result();
  };

  const taskOf = quietly((event, request, response) => {
    let own = Mark.of(request);
    if (own === undefined) {
      own = begin(event, request, response);
      Mark.put(request, own);
      if (isAnswered(event) && response !== null && typeof response === 'object') Mark.put(response, own);
    }
    return own;
  }, UNKNOWN);

  // One that another process accepted for this one is new to the library.
  const adopt = quietly((socket) => {
    const handle = socket._handle;
    if (handle && handle.fd >= 0) native.adopt(handle.fd);
  });

  task.wrap(net.Server.prototype, 'emit', (original) => function emit(event, first, second) {
    switch (event) {
      case 'request':
      case 'checkContinue':
      case 'checkExpectation':
      case 'upgrade':
      case 'connect':
      case 'dropRequest':
        // HTTP/2 comes here by way of its 'stream'.
        if (first !== null && typeof first === 'object' && first.httpVersionMajor === 1) {
          return task.run(taskOf(event, first, second), original, this, arguments);
        }
        break;
      case 'stream':
        if (first !== null && typeof first === 'object') {
          return task.run(http2.server(first, second), original, this, arguments);
        }
        break;
      case 'connection':
        clients.arm();
        if (first !== null && typeof first === 'object') adopt(first);
        break;
      default:
    }
    return apply(original, this, arguments);
  });

  // What a socket's own events run is nobody's that we know: clients share sockets, and write there for others.
  task.wrap(net.Socket.prototype, 'connect', (original) => function connect() {
    clients.arm();
    http2.arm();
    return task.run(UNKNOWN, original, this, arguments);
  });
};
