// SPDX-License-Identifier: Apache-2.0
// Threads of JavaScript. One with the options of the process loads the adapter by itself. Where the program gives it an environment or
// arguments, node makes its options anew from NODE_OPTIONS there; the adapter takes its own part out again as it does in the process.
'use strict';

const threads = require('worker_threads');

module.exports = ({ option }) => {
  if (option === undefined) return;
  const { env } = process;
  const { Worker } = threads;

  const withOption = (options) => (options === undefined || options === null || options === '' ? option : `${option} ${options}`);

  // The options as they are, but for the environment.
  const withEnvironment = (options) => {
    const environment = { ...options.env, NODE_OPTIONS: withOption(options.env.NODE_OPTIONS) };
    return Object.create(options, { env: { value: environment, enumerable: true } });
  };

  const construct = (target, args, self) => {
    const options = args[1];
    const own = options !== null && typeof options === 'object' ? options.env : undefined;
    if (own !== null && typeof own === 'object' && own !== env) {
      return Reflect.construct(target, [args[0], withEnvironment(options)], self);
    }
    if (!options || !Array.isArray(options.execArgv)) return Reflect.construct(target, args, self);
    const before = env.NODE_OPTIONS;
    env.NODE_OPTIONS = withOption(before);
    try {
      return Reflect.construct(target, args, self);
    } finally {
      if (before === undefined) delete env.NODE_OPTIONS;
      else env.NODE_OPTIONS = before;
    }
  };

  threads.Worker = new Proxy(Worker, { construct });
};
