// SPDX-License-Identifier: Apache-2.0
// Writes on plain sockets by others than node's own HTTP. Whoever calls write() has no say in when the bytes leave: a chunk that
// has to wait keeps its task until then. Chunks of several tasks that leave together are nobody's that we know.
'use strict';

const net = require('net');

module.exports = (task) => {
  const { apply, quietly, Mark, UNKNOWN } = task;
  const SILENT = Symbol('silent');

  class Hidden extends (class { constructor(object) { return object; } }) {
    #waiting = [];

    static of(socket) {
      return #waiting in socket ? socket.#waiting : undefined;
    }
  }

  // Whose bytes these are. SILENT: they say so themselves, or it does not matter.
  const ownerOf = (socket) => {
    if (socket.encrypted === true) return SILENT;
    if (socket.parser) {
      const message = socket._httpMessage;
      return message && Mark.of(message) === null ? undefined : SILENT;
    }
    const own = Mark.of(socket); // see undici.js
    if (own === undefined) return task.current();
    return own === null ? undefined : own;
  };

  const isBusy = (socket) => socket.connecting || socket.writableLength > 0 || socket.writableCorked > 0;

  // Chunks before this one that are still to pass _writeGeneric().
  const chunksAhead = (socket) => {
    const state = socket._writableState;
    const ahead = state.buffered.length - state.bufferedIndex + (socket.connecting && state.writing ? 1 : 0);
    return ahead >= 0 ? ahead : NaN;
  };

  const keep = quietly((socket, owner) => {
    let waiting = Hidden.of(socket);
    if (waiting === undefined) {
      new Hidden(socket);
      waiting = Hidden.of(socket);
    }
    if (waiting.length === 0) {
      for (let n = chunksAhead(socket); n > 0; n--) waiting.push(UNKNOWN);
    }
    waiting.push(owner);
  });

  const holds = (socket) => {
    const waiting = Hidden.of(socket);
    return waiting !== undefined && waiting.length > 0;
  };

  const writer = (original) => function write(chunk) {
    const owner = ownerOf(this);
    if (owner === SILENT ? holds(this) : isBusy(this)) {
      keep(this, owner === SILENT ? UNKNOWN : owner);
    } else if (owner !== SILENT) {
      return task.during(owner, original, this, arguments);
    }
    return apply(original, this, arguments);
  };

  task.wrap(net.Socket.prototype, 'write', writer);
  task.wrap(net.Socket.prototype, 'end', (original) => {
    const withChunk = writer(original);
    return function end(chunk) {
      const bare = chunk === undefined || chunk === null || typeof chunk === 'function';
      return apply(bare ? original : withChunk, this, arguments);
    };
  });
  task.wrap(net.Socket.prototype, '_writeGeneric', (original) => function _writeGeneric(writev, chunks) {
    if (!holds(this) || this.connecting) return apply(original, this, arguments);
    const owners = Hidden.of(this).splice(0, writev ? chunks.length : 1);
    const owner = owners.every((other) => other === owners[0]) ? owners[0] : UNKNOWN;
    return task.during(owner, original, this, arguments);
  });
};
