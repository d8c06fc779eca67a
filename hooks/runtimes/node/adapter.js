// SPDX-License-Identifier: Apache-2.0
// Loaded by node before the program's own modules (hooks/runtimes/node_options.c says when). It must be unnoticeable: it throws
// nothing, prints nothing, and leaves the environment and require.cache as they would be without it.
'use strict';

const { dlopen, env } = process;

function open() {
  const addon = { exports: {} };
  try {
    dlopen(addon, `${__dirname}/interspan.node`);
  } catch {
    return undefined; // addons are not allowed here
  }
  return addon.exports;
}

// Children get what the program would have given them: the library, where it is preloaded, sets its own.
function restoreOptions({ option }) {
  const { NODE_OPTIONS } = env;
  if (option === undefined || NODE_OPTIONS === undefined || !NODE_OPTIONS.startsWith(option)) return;
  if (NODE_OPTIONS === option) delete env.NODE_OPTIONS;
  else env.NODE_OPTIONS = NODE_OPTIONS.slice(option.length + 1);
}

function forgetModules() {
  for (const name of Object.keys(require.cache)) {
    if (name.startsWith(`${__dirname}/`)) delete require.cache[name];
  }
}

try {
  const native = open();
  if (native !== undefined) {
    restoreOptions(native);
    if (native.words !== undefined) {
      const task = require('./task.js')(native);
      const relay = require('./relay.js')(task);
      require('./server.js')(task, relay);
      require('./sockets.js')(task);
      require('./undici.js')(task, relay);
      require('./workers.js')(native);
    }
  }
  forgetModules();
} catch {
  // Whatever it was, the program does not hear of it.
}
