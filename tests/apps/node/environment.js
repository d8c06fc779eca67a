// SPDX-License-Identifier: Apache-2.0
// Prints what a program can see of its own start.
'use strict';

const { execFileSync } = require('child_process');

const seen = {
  options: process.env.NODE_OPTIONS === undefined ? null : process.env.NODE_OPTIONS,
  names: Object.keys(process.env).filter((name) => name !== 'LD_PRELOAD' && !/^(INTERSPAN|OTEL)_/.test(name)).sort(),
  arguments: process.execArgv,
  modules: Object.keys(require.cache),
  child: process.argv[2] === 'child' ? null : JSON.parse(execFileSync(process.execPath, [__filename, 'child'])),
};
console.log(JSON.stringify(seen));
