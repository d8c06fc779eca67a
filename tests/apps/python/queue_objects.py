# SPDX-License-Identifier: Apache-2.0
"""What a program can see of the functions and methods that hand work between threads: all that is printed must be as always."""

import concurrent.futures.thread
import copy
import inspect
import pickle
import queue
import sys
import threading
import traceback
import types

threading.Thread(target=lambda: None).start()  # all that is patched is patched by now

WRITTEN_IN_PYTHON = [queue.Queue.put, queue.Queue.get, queue._PySimpleQueue.put, queue._PySimpleQueue.get,
                     threading.Condition.wait, threading.Condition.notify, threading.Condition.__init__,
                     threading.Condition.__enter__, concurrent.futures.thread.ThreadPoolExecutor.submit]


def functions():
    for f in WRITTEN_IN_PYTHON:
        print(f.__module__, f.__qualname__, repr(f).split(" at ")[0], inspect.signature(f), hash(inspect.getsource(f)) != 0,
              inspect.isfunction(f), isinstance(f, types.FunctionType), repr(type(f)), type(f).__name__,
              f.__code__.co_name, f.__defaults__, f.__kwdefaults__, f.__closure__, sys.getrefcount(f),
              sorted(set(dir(f)) ^ set(dir(functions))))
        print(copy.copy(f) is f, copy.deepcopy(f) is f, f == f, {f: 1}[f],
              [pickle.loads(pickle.dumps(f, protocol)) is f for protocol in range(pickle.HIGHEST_PROTOCOL + 1)],
              pickle._loads(pickle._dumps(f)) is f)


def methods():
    for name in "put", "get", "put_nowait", "get_nowait":
        f = getattr(queue.SimpleQueue, name)
        print(repr(f), type(f), f.__doc__, f.__text_signature__, inspect.ismethoddescriptor(f))


def raised(do, *args, **keywords):
    try:
        do(*args, **keywords)
    except Exception as error:  # pylint: disable=broad-except
        print(type(error), error, [frame.name for frame in traceback.extract_tb(error.__traceback__)])


def errors():
    full = queue.Queue(1)
    full.put(item=1)
    raised(full.put, 2, block=False)
    raised(full.put, 2, timeout=0.001)
    raised(full.put)
    raised(full.put, 1, 2, 3, 4)
    print(full.get(True, timeout=1), full.qsize(), full.unfinished_tasks)
    raised(full.get, timeout=0.001)
    raised(full.get, timeout=-1)
    raised(full.get_nowait)
    raised(queue.Queue.put, item=1)
    raised(queue.Queue.get)
    for call in (queue.SimpleQueue().put, queue.SimpleQueue.get, queue.SimpleQueue().get_nowait):
        raised(call)
    raised(queue.SimpleQueue().get, timeout=-1)
    raised(threading.Condition().wait)
    raised(threading.Condition().notify)


def traced():
    """The events of a profiler and of a tracer, and the frames that a call is in."""
    events = []
    both = queue.Queue(), queue.SimpleQueue()

    def note(frame, what, argument):
        if frame.f_code.co_filename.endswith(("queue.py", "threading.py")):
            events.append((what, frame.f_code.co_name, frame.f_lineno, getattr(argument, "__name__", None)))
        return note

    for start in sys.setprofile, sys.settrace:
        start(note)
        for q in both:
            q.put(1)
            q.get()
        start(None)
    print(events)

    class Frames(queue.Queue):
        def _put(self, item):
            frame, names = sys._getframe(), []
            while frame:
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            print(names)

    Frames().put(1)


def deep(n):
    """As deep as without us, through C as well as not."""
    if n:
        return deep(n - 1)
    q = queue.Queue()
    q.put(n)
    return q.get()


def overridden():
    class Wrapping(queue.Queue):
        def put(self, item, *args, **keywords):
            super().put([item], *args, **keywords)

        def get(self, *args, **keywords):
            return super().get(*args, **keywords)[0]

    q = Wrapping()
    q.put(1, timeout=1)
    print(q.get(block=True))
    saved = queue.Queue.get
    queue.Queue.get = lambda self, *args: ("patched", saved(self, *args))
    q = queue.Queue()
    q.put(1)
    print(q.get())
    queue.Queue.get = saved


functions()
methods()
errors()
traced()
print(deep(900))
overridden()
