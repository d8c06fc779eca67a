// SPDX-License-Identifier: Apache-2.0
// Tasks: what an AsyncLocalStorage of ours holds while the work of one request runs. And the words that the library reads, laid out
// as struct node_shared in hooks/runtimes/node.h.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');

const { apply } = Reflect;
const CURRENT = 0;
const RESULT = 10;
const NAME = 20;
const CAPTURES_RESPONSES = 22;
const CANNOT_TELL = 0;
const NOBODY = 1;

// Something of ours on objects that are not ours, as a private field: no reflection shows it, and it is gone with the object.
class Identity {
  constructor(object) {
    return object;
  }
}

class Mark extends Identity {
  #value;

  constructor(object, value) {
    super(object);
    this.#value = value;
  }

  static of(object) {
    return #value in object ? object.#value : undefined;
  }

  static put(object, value) {
    if (#value in object) object.#value = value;
    else new Mark(object, value);
  }
}

// One request. traceparent and line are made when they are first asked for.
class Task {
  constructor(words) {
    this.kind = words[RESULT];
    this.slot = words[RESULT + 1];
    this.gen = words[RESULT + 2];
    this.a = words[RESULT + 3];
    this.b = words[RESULT + 4];
    this.c = words[RESULT + 5];
    this.d = words[RESULT + 6];
    this.e = words[RESULT + 7];
    this.f = words[RESULT + 8];
    this.flags = words[RESULT + 9];
    this.traceparent = undefined;
    this.line = undefined;
  }
}

// What happens in here is no concern of the program's: an object that is not as we know it costs us a span, never an exception.
const quietly = (call, otherwise) => function quiet() {
  try {
    return apply(call, this, arguments);
  } catch {
    return otherwise;
  }
};

module.exports = (native) => {
  const { words } = native;
  const storage = new AsyncLocalStorage();
  const UNKNOWN = { kind: CANNOT_TELL };

  const write = (task, at) => {
    words[at] = task.kind;
    words[at + 1] = task.slot;
    words[at + 2] = task.gen;
    words[at + 3] = task.a;
    words[at + 4] = task.b;
    words[at + 5] = task.c;
    words[at + 6] = task.d;
    words[at + 7] = task.e;
    words[at + 8] = task.f;
    words[at + 9] = task.flags;
  };

  // The value that names the task, or undefined where there is nobody to name.
  const traceparentOf = (task) => {
    if (task === undefined || task === UNKNOWN) return undefined;
    if (task.traceparent === undefined) {
      write(task, RESULT);
      task.traceparent = native.mint();
    }
    return task.traceparent;
  };

  return {
    native,
    apply,
    quietly,
    Mark,
    UNKNOWN,
    capturesResponses: words[CAPTURES_RESPONSES] !== 0,
    current: () => storage.getStore(),
    run: (task, call, self, args) => storage.run(task, apply, call, self, args),

    // What the last call of native left in the words.
    result: () => (words[RESULT] === CANNOT_TELL ? UNKNOWN : new Task(words)),
    name: () => (words[NAME] === 0 ? undefined : { slot: words[NAME], gen: words[NAME + 1] }),

    traceparentOf,
    lineOf: (task) => {
      if (task === undefined || task === UNKNOWN) return undefined;
      if (task.line === undefined) task.line = `traceparent: ${traceparentOf(task)}\r\n`;
      return task.line;
    },

    // call, with the library told whose work its system calls are. task undefined: nobody's.
    during: (task, call, self, args) => {
      if (task === undefined) words[CURRENT] = NOBODY;
      else if (task === UNKNOWN) words[CURRENT] = CANNOT_TELL;
      else write(task, CURRENT);
      try {
        return apply(call, self, args);
      } finally {
        words[CURRENT] = CANNOT_TELL;
      }
    },

    // Replace a method by wrap(original), with the same name, length and attributes.
    wrap: (prototype, name, wrap) => {
      const original = prototype[name];
      if (typeof original !== 'function') return;
      const wrapper = wrap(original);
      Object.defineProperty(wrapper, 'name', { value: original.name, configurable: true });
      Object.defineProperty(wrapper, 'length', { value: original.length, configurable: true });
      const own = Object.getOwnPropertyDescriptor(prototype, name);
      Object.defineProperty(prototype, name, {
        value: wrapper,
        writable: true,
        configurable: true,
        enumerable: own === undefined ? false : own.enumerable,
      });
    },
  };
};
