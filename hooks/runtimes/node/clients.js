// SPDX-License-Identifier: Apache-2.0
// HTTP/1 messages as node's own classes have them. A request that the program makes is the work of the task that made it, whenever it
// is written, and whatever runs then; so the task is named in the bytes. What a message emits runs in its task, too: node emits
// bodies and ends from its parser.
'use strict';

module.exports = (task, relay) => {
  const { apply, quietly, Mark, UNKNOWN } = task;
  let armed = false;

  const isLoaded = (name) => process.moduleLoadList.includes(`NativeModule ${name}`);

  const wrapEvents = (prototype) => {
    task.wrap(prototype, 'emit', (original) => function emit(event) {
      if (relay.isRelayed(this)) relay.onMessageEvent(this, event);
      const own = Mark.of(this);
      if (own === undefined) return apply(original, this, arguments);
      const listeners = this._events;
      if (listeners === undefined || listeners[event] === undefined || task.current() === own) {
        return apply(original, this, arguments);
      }
      return task.run(own, original, this, arguments);
    });
  };

  const namesTraceparent = quietly((request, headers) => {
    if (request.hasHeader('traceparent')) return true;
    if (!Array.isArray(headers)) return false;
    const pairs = Array.isArray(headers[0]);
    for (let i = 0; i < headers.length; i += pairs ? 1 : 2) {
      const name = pairs ? headers[i][0] : headers[i];
      if (typeof name === 'string' && name.length === 11 && name.toLowerCase() === 'traceparent') return true;
    }
    return false;
  }, true);

  const wrapRequests = (http) => {
    const { ClientRequest } = http;
    task.wrap(http.Agent.prototype, 'addRequest', (original) => function addRequest(request) {
      if (request !== null && typeof request === 'object' && Mark.of(request) === undefined) {
        const current = task.current();
        Mark.put(request, current === undefined ? null : current);
      }
      return apply(original, this, arguments);
    });
    // Called once a request, with its start line, to make the text of its head.
    task.wrap(ClientRequest.prototype, '_storeHeader', (original) => function _storeHeader(first, headers) {
      let own = Mark.of(this);
      if (own === undefined) {
        own = task.current();
        if (own === undefined) own = null;
        Mark.put(this, own);
      }
      if (this.protocol === 'https:') {
        const returned = apply(original, this, arguments);
        relay.client(this, own === null ? undefined : own);
        return returned;
      }
      if (own === null || own === UNKNOWN || namesTraceparent(this, headers)) return apply(original, this, arguments);
      return apply(original, this, [first + task.lineOf(own), headers]);
    });
    task.wrap(ClientRequest.prototype, 'destroy', (original) => function destroy(error) {
      if (relay.isRelayed(this)) relay.onRequestDestroyed(this, error);
      return apply(original, this, arguments);
    });
    task.wrap(ClientRequest.prototype, 'emit', (original) => function emit(event, first) {
      if (relay.isRelayed(this)) relay.onRequestEvent(this, event, first);
      return apply(original, this, arguments);
    });
  };

  return {
    // Not before the program has loaded them: they would cost every other program some milliseconds.
    arm: quietly(() => {
      if (armed || !isLoaded('_http_client')) return;
      armed = true;
      const http = require('http');
      wrapRequests(http);
      wrapEvents(http.IncomingMessage.prototype);
      wrapEvents(http.ServerResponse.prototype);
    }),
  };
};
