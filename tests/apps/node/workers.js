// SPDX-License-Identifier: Apache-2.0
// A front whose requests are answered by a thread, or by processes.
//   node workers.js --port P --upstream U --mode thread|execArgv|environment|shared|cluster|none
'use strict';

const cluster = require('cluster');
const { Worker, isMainThread, SHARE_ENV } = require('worker_threads');
const options = require('./options.js');

const threads = {
  thread: {},
  execArgv: { execArgv: [] },
  environment: { env: { A: '1' } },
  shared: { env: SHARE_ENV, execArgv: [] },
};

function serve() {
  options.mode = 'http';
  require('./front.js');
}

if (!isMainThread || cluster.isWorker) {
  if (!isMainThread && process.env.NODE_OPTIONS !== undefined) throw new Error(`NODE_OPTIONS is ${process.env.NODE_OPTIONS}`);
  serve();
} else if (options.mode in threads) {
  process.on('SIGTERM', () => process.exit(0));
  const worker = new Worker(__filename, { argv: process.argv.slice(2), ...threads[options.mode] });
  worker.on('error', (error) => { throw error; });
  if (process.env.NODE_OPTIONS !== undefined) throw new Error(`NODE_OPTIONS is ${process.env.NODE_OPTIONS}`);
} else {
  cluster.schedulingPolicy = options.mode === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
  for (let i = 0; i < 2; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill();
    cluster.disconnect(() => process.exit(0));
  });
}
