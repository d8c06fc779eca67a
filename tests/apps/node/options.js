// SPDX-License-Identifier: Apache-2.0
// --name value pairs of the command line; numbers where they look like numbers.
'use strict';

const options = { calls: 3, mode: 'http', at: 'handler' };
for (let i = 2; i + 1 < process.argv.length; i += 2) {
  const value = process.argv[i + 1];
  options[process.argv[i].slice(2)] = /^\d+$/.test(value) ? Number(value) : value;
}
module.exports = options;
