# SPDX-License-Identifier: Apache-2.0
"""Node.js programs start, end and see what they would without the adapter."""

import os
import re
import shutil

import pytest

import node
import programs
import wire

pytestmark = pytest.mark.skipif(not node.NODE, reason="there is no node here: scripts/setup test installs it")

SCRIPT = "console.log(JSON.stringify({sum: 1 + 1, options: process.env.NODE_OPTIONS || null, argv: process.execArgv}))"
PERMISSION = "--permission" if node.MAJOR >= 24 else "--experimental-permission"


def both(workplace, script, *arguments, **more):
    """A run without the library and one with it: what a user sees of each."""
    seen = []
    for shim in (False, True):
        done, _ = node.run_script(workplace, script, *arguments, shim=shim, **more)
        seen.append((done.returncode, done.stdout, re.sub(r"\(node:\d+\)", "(node)", done.stderr)))
    return seen


@pytest.mark.parametrize("options", [None, "--max-old-space-size=200", '--title="a b"', "--require ./own.js --import=./own.mjs"])
def test_environment(workplace, options):
    """Its own NODE_OPTIONS work and are seen, ours are not; nor in children."""
    if options and "--import" in options and node.MAJOR < 20:
        options = "--require ./own.js"
    workplace.file("own.js", "process.own = 1")
    workplace.file("own.mjs", "")
    without, under = both(workplace, node.APPS / "environment.js", environment={"NODE_OPTIONS": options} if options else {})
    assert without[0] == 0, without[2]
    assert under == without


@pytest.mark.parametrize("options", [
    ["--frozen-intrinsics"], ["--disable-proto=throw"], ["--disable-proto=delete"], ["--no-addons"], ["--jitless"],
    ["--throw-deprecation", "--pending-deprecation"], ["--disallow-code-generation-from-strings"], ["--trace-uncaught"],
    ["--preserve-symlinks"], ["--experimental-vm-modules"], ["--check"],
])
def test_options(workplace, options):
    script = workplace.file("script.js", SCRIPT)
    without, under = both(workplace, script, node_options=options)
    assert without[0] == 0, without[2]
    assert under == without


@pytest.mark.skipif(node.MAJOR < 20, reason="this node has no permission model")
@pytest.mark.parametrize("more", [[], ["--allow-fs-read=*"], ["--allow-fs-read=*", "--allow-addons"], ["--allow-fs-read=/tmp"]])
@pytest.mark.parametrize("through", ["arguments", "NODE_OPTIONS"])
def test_permission_model(workplace, more, through):
    """A preload that may not be read would end the program."""
    script = workplace.file("script.js", SCRIPT)
    options = [PERMISSION, f"--allow-fs-read={script}", *more]
    if through == "arguments":
        without, under = both(workplace, script, node_options=options)
    else:
        without, under = both(workplace, script, environment={"NODE_OPTIONS": " ".join(options)})
    assert without[0] == 0, without[2]
    assert under[:2] == without[:2]
    assert [line for line in under[2].splitlines() if "node:" not in line] == \
        [line for line in without[2].splitlines() if "node:" not in line]


@pytest.mark.skipif(node.MAJOR < 20, reason="this node has no --env-file")
def test_environment_files(workplace):
    """NODE_OPTIONS of a file count where the environment has none."""
    workplace.file("env", "NODE_OPTIONS=--title=told\nA=1\n")
    script = workplace.file("script.js", "console.log(process.title, process.env.NODE_OPTIONS, process.env.A)")
    without, under = both(workplace, script, node_options=["--env-file=env"])
    assert without[:2] == (0, "told --title=told 1\n")
    assert under == without


def test_adapter_that_is_not_there(workplace):
    """A library alone, without its folder."""
    library = shutil.copy(programs.LIBRARY, workplace.path)
    script = workplace.file("script.js", SCRIPT)
    done, _ = node.run_script(workplace, script, LD_PRELOAD=library)
    assert node.told(done) == {"sum": 2, "options": None, "argv": []}


def test_a_path_that_needs_quotes(workplace):
    folder = workplace.directory('a "b" \\c')
    library = shutil.copy(programs.LIBRARY, folder)
    shutil.copytree(programs.BUILD / "node", folder / "node")
    script = workplace.file("script.js", "require('http').get({port: process.argv[2], host: '127.0.0.1'}, (r) => r.resume())")
    os.symlink(folder, workplace.path / "link")
    with wire.Recorder() as recorder:
        done, _ = node.run_script(workplace, script, recorder.port, LD_PRELOAD=workplace.path / "link" / os.path.basename(library))
        assert (done.returncode, done.stderr) == (0, "")


def test_a_child_without_the_library(workplace):
    script = workplace.file("script.js", """
        const { spawnSync } = require('child_process');
        if (process.argv[2]) console.log(process.env.NODE_OPTIONS, process.env.LD_PRELOAD);
        else {
          const env = { ...process.env };
          delete env.LD_PRELOAD;
          const child = spawnSync(process.execPath, [__filename, 'child'], { env });
          process.stdout.write(child.stdout);
          process.stdout.write(child.stderr);
        }""")
    done, _ = node.run_script(workplace, script)
    assert (done.returncode, done.stdout) == (0, "undefined undefined\n")


@pytest.mark.parametrize("script", ["throw new Error('x')", "process.exit(7)", "process.abort = 0; Promise.reject(new TypeError('y'))",
                                    "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 1000)",
                                    "const s = require('net').createServer().listen(0, () => s.close(() => console.log('closed')))",
                                    "require('http').createServer().emit('request', null); console.log('well')",
                                    "console.log(require('util').inspect(new (require('http').IncomingMessage)()))",
                                    "console.log(require('net').Socket.prototype.write.name, require('net').Server.prototype.emit.length)"])
def test_endings(workplace, script):
    path = workplace.file("script.js", script)
    without, under = both(workplace, path)
    assert under == without


def test_addons_of_older_headers(workplace):
    """They refer to their own initialiser by name; a preloaded library that had one of that name would come first."""
    script = workplace.file("script.js", f"console.log(require({str(programs.APPS / 'old_addon.node')!r}))")
    without, under = both(workplace, script)
    assert without[:2] == (0, "{ initialised: 'its own' }\n")
    assert under == without


def test_the_test_runner(workplace):
    script = workplace.file("some.test.js", "require('node:test')('adds', () => require('assert').equal(1 + 1, 2))")
    done, _ = node.run_script(workplace, script, node_options=["--test"])
    assert done.returncode == 0, done.stdout
    assert "pass 1" in done.stdout, done.stdout


@pytest.mark.skipif(node.MAJOR < 20, reason="this node builds no snapshots of programs")
def test_snapshots(workplace):
    script = workplace.file("script.js", "globalThis.kept = 5; require('v8').startupSnapshot.setDeserializeMainFunction(() => console.log(kept))")
    done, _ = node.run_script(workplace, script, node_options=["--snapshot-blob", "blob", "--build-snapshot"])
    assert done.returncode == 0, done.stderr
    done, _ = node.run_script(workplace, "", node_options=["--snapshot-blob", "blob"])
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
