# SPDX-License-Identifier: Apache-2.0
"""The ways in which a Python program spreads a request over threads. Each makes calls upstream that bear the request's truth id.

Pools are made by the first request that needs them, as programs do: their threads are started in that request and outlive it.
"""

import collections
import concurrent.futures
import http.client
import itertools
import multiprocessing.pool
import os
import queue
import random
import threading
import time

UPSTREAM = int(os.environ.get("UPSTREAM", "0"))
WORKERS = 8


def call(truth):
    """One call, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", UPSTREAM, timeout=60)
    connection.request("GET", "/upstream", headers={"X-Truth": truth})
    body = connection.getresponse().read()
    connection.close()
    assert body.startswith(truth.encode()), body


_lock = threading.Lock()
_made = {}


def once(make):
    """What make() makes, when it is first needed."""
    with _lock:
        if make not in _made:
            _made[make] = make()
        return _made[make]


def executor():
    return concurrent.futures.ThreadPoolExecutor(WORKERS)


def second_executor():
    return concurrent.futures.ThreadPoolExecutor(WORKERS)


def thread_pool():
    return multiprocessing.pool.ThreadPool(WORKERS)


def _worker(jobs, unpack):
    while True:
        job = unpack(jobs.get())
        time.sleep(random.random() / 1000)
        try:
            call(job[0])
        except Exception as error:  # pylint: disable=broad-except
            job[1].append(error)
        job[2].set()


def _pool(jobs, unpack=lambda job: job):
    for _ in range(WORKERS):
        threading.Thread(target=_worker, args=(jobs, unpack), daemon=True).start()
    return jobs


def fifo_workers():
    return _pool(queue.Queue())


def lifo_workers():
    return _pool(queue.LifoQueue())


def simple_workers():
    return _pool(queue.SimpleQueue())


def priority_workers():
    return _pool(queue.PriorityQueue(), lambda job: job[2])


_order = itertools.count()


def hand_over(jobs, truth, wrap=lambda job: job):
    """Leave a job to workers and wait until it is done."""
    job = (truth, [], threading.Event())
    jobs.put(wrap(job))
    assert job[2].wait(60)
    assert not job[1], job[1]


def direct(truth):
    call(truth)


def submit(truth):
    once(executor).submit(call, truth).result(60)


def map_(truth):
    list(once(executor).map(call, [truth] * 3))


def thread(truth):
    t = threading.Thread(target=call, args=(truth,))
    t.start()
    t.join()


def threads(truth):
    started = [threading.Thread(target=call, args=(truth,)) for _ in range(3)]
    for t in started:
        t.start()
    for t in started:
        t.join()


def timer(truth):
    t = threading.Timer(0.002, call, [truth])
    t.start()
    t.join()


def fifo(truth):
    hand_over(once(fifo_workers), truth)


def lifo(truth):
    hand_over(once(lifo_workers), truth)


def simple(truth):
    hand_over(once(simple_workers), truth)


def priority(truth):
    hand_over(once(priority_workers), truth, lambda job: (random.randrange(3), next(_order), job))


def pool(truth):
    once(thread_pool).map(call, [truth] * 2)


def nested(truth):
    def outer():
        once(second_executor).submit(call, truth).result(60)
        call(truth)

    once(executor).submit(outer).result(60)


def results(truth):
    """Threads that leave their results in a queue; what reads them goes on calling."""
    done = queue.Queue()
    for _ in range(2):
        threading.Thread(target=lambda: done.put(call(truth))).start()
    for _ in range(2):
        done.get()
    call(truth)


def raising(truth):
    def fail():
        call(truth)
        raise KeyError(truth)

    future = once(executor).submit(fail)
    assert isinstance(future.exception(60), KeyError)
    call(truth)


def cancelling(truth):
    """More items than workers take, half of them cancelled; and items that nobody ever takes."""
    futures = [once(executor).submit(call, truth) for _ in range(2 * WORKERS)]
    for future in futures[::2]:
        future.cancel()
    concurrent.futures.wait(futures, 60)
    left = queue.Queue()
    for _ in range(3):
        left.put((truth, object()))


class Session:
    """A pool of kept connections, as clients have it: whoever finds none makes one."""

    def __init__(self):
        self.idle = queue.LifoQueue(4)
        for _ in range(4):
            self.idle.put(None)

    def call(self, truth):
        try:
            connection = self.idle.get(block=False)
        except queue.Empty:
            connection = None
        if not connection:
            connection = http.client.HTTPConnection("127.0.0.1", UPSTREAM, timeout=60)
        connection.request("GET", "/session", headers={"X-Truth": truth})
        response = connection.getresponse()
        assert response.read().startswith(truth.encode())
        if response.will_close:
            connection = None
        try:
            self.idle.put(connection, block=False)
        except queue.Full:
            pass


def session(truth):
    """The same connections, borrowed by threads of many requests."""
    shared = once(Session)
    t = threading.Thread(target=lambda: [shared.call(truth) for _ in range(2)])
    t.start()
    once(executor).submit(shared.call, truth).result(60)
    shared.call(truth)
    t.join()


def process_pool():
    return concurrent.futures.ProcessPoolExecutor(2)


def processes(truth):
    once(process_pool).submit(call, truth).result(60)


def spawned_pool():
    return concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


def served_pool():
    return concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("forkserver"))


def own_processes():
    """multiprocessing's own: each of its processes does a few jobs, then another one is started."""
    return multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=8)


def call_in_thread(truth):
    thread(truth)
    call(truth)


def spawned(truth):
    once(spawned_pool).submit(call_in_thread, truth).result(60)


def served(truth):
    once(served_pool).submit(call_in_thread, truth).result(60)


def pooled(truth):
    once(own_processes).apply(call_in_thread, (truth,))


def forked(truth):
    once(process_pool).submit(call_in_thread, truth).result(60)


def process(truth):
    """One that does what it was started for, and nothing else."""
    started = multiprocessing.get_context("spawn").Process(target=call, args=(truth,))
    started.start()
    started.join()


def waiting(truth):
    """A thread that waits in every usual way for what others do on its behalf, and goes on calling."""
    def run():
        shared = once(executor)
        for future in concurrent.futures.as_completed([shared.submit(call, truth) for _ in range(3)]):
            future.result()
        helper = threading.Thread(target=call, args=(truth,))
        helper.start()
        done = threading.Event()
        threading.Timer(0.001, done.set).start()
        done.wait()
        concurrent.futures.wait([shared.submit(call, truth)])
        helper.join()
        done.wait(0.001)
        call(truth)

    t = threading.Thread(target=run)
    t.start()
    t.join()


def _own_worker(jobs, changed):
    while True:
        with changed:
            while not jobs:
                changed.wait()
            job = jobs.popleft()
        call(job[0])
        job[2].set()


def _event_worker(jobs, changed):
    while True:
        changed.wait()
        try:
            job = jobs.popleft()
        except IndexError:
            changed.clear()
            continue
        call(job[0])
        job[2].set()


class OwnPool:
    """A pool of the program's own making: a list, and a condition or an event."""

    def __init__(self, worker, changed):
        self.jobs = collections.deque()
        self.changed = changed
        for _ in range(WORKERS):
            threading.Thread(target=worker, args=(self.jobs, changed), daemon=True).start()

    def run(self, truth):
        job = (truth, [], threading.Event())
        if isinstance(self.changed, threading.Event):
            self.jobs.append(job)
            self.changed.set()
        else:
            with self.changed:
                self.jobs.append(job)
                self.changed.notify()
        assert job[2].wait(60)


def condition_pool():
    return OwnPool(_own_worker, threading.Condition())


def event_pool():
    return OwnPool(_event_worker, threading.Event())


def own_condition(truth):
    once(condition_pool).run(truth)


def own_event(truth):
    once(event_pool).run(truth)


class PollingPool:
    """Threads that look into a list from time to time: what they take from it nobody sees."""

    def __init__(self, pause):
        self.jobs = collections.deque()
        for _ in range(WORKERS):
            threading.Thread(target=self.work, args=(pause,), daemon=True).start()

    def work(self, pause):
        while True:
            try:
                truth, done = self.jobs.popleft()
            except IndexError:
                pause()
                continue
            call(truth)
            done.set()

    def leave(self, truth):
        done = threading.Event()
        self.jobs.append((truth, done))
        return done


def sleeping_pool():
    return PollingPool(lambda: time.sleep(0.001))


def ticking_pool():
    stop = threading.Event()
    return PollingPool(lambda: stop.wait(0.001))


def locking_pool():
    held = threading.Lock()
    held.acquire()
    return PollingPool(lambda: held.acquire(timeout=0.001))


def polling(truth):
    assert once(sleeping_pool).leave(truth).wait(60)


def polling_event(truth):
    assert once(ticking_pool).leave(truth).wait(60)


def polling_lock(truth):
    assert once(locking_pool).leave(truth).wait(60)


def leaving(truth):
    """Answered before it is done."""
    once(sleeping_pool).leave(truth)


def sleeper(truth):
    """One thread that sleeps and then calls."""
    def run():
        time.sleep(0.002)
        call(truth)

    t = threading.Thread(target=run)
    t.start()
    t.join()


WAYS = {way.__name__.rstrip("_"): way for way in (
    direct, submit, map_, thread, threads, timer, fifo, lifo, simple, priority, pool, nested, results, raising, cancelling,
    session, waiting)}
OTHERS = {way.__name__: way for way in (processes, spawned, served, pooled, forked, process, own_condition, own_event, polling, polling_event, polling_lock, leaving,
                                        sleeper)}


def serve(path, truth):
    """Do what /WAY asks for; /mix: each in its turn. The answer's first line."""
    name = path.strip("/")
    if name == "mix":
        number = int(truth.split("-")[1])
        name = list(WAYS)[number % len(WAYS)]
    {**WAYS, **OTHERS}[name](truth)
    return (truth + "\n").encode()
