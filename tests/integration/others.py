# SPDX-License-Identifier: Apache-2.0
"""Services without an adapter of ours: PHP, CGI, Perl, Ruby and Java, each as its users run it."""

import dataclasses
import pathlib
import shutil
import signal
import subprocess
import typing

import programs
import scenarios
import servers
import truth

APPS = pathlib.Path(__file__).resolve().parents[1] / "apps" / "others"
NATIVE = programs.APPS / "others"
CLASSES = NATIVE / "java"
JARS = ":".join(f"/usr/share/java/{jar}.jar" for jar in ("tomcat10-embed-core", "jakarta-annotation-api"))
CONNECTIONS = 64
CALLS = 2  # for each request, in every app
# What a server must be told to let its CGI programs have.
TRACING = ("LD_PRELOAD", "INTERSPAN_FILE", "INTERSPAN_CAPTURE_REQUEST_HEADERS", "INTERSPAN_LOG_FILE", "INTERSPAN_LOG_LEVEL",
           "OTEL_TRACES_EXPORTER", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_RESOURCE_ATTRIBUTES")
PREFORK = f"""
StartServers {CONNECTIONS}
ServerLimit {CONNECTIONS + 8}
MaxRequestWorkers {CONNECTIONS + 8}
MinSpareServers 1
MaxSpareServers {CONNECTIONS + 8}
"""
THREADS = "StartServers 2\nServerLimit 2\nThreadsPerChild 64\nMaxRequestWorkers 128\nMaxSpareThreads 128"


def for_anybody(workplace, environment):
    """Copies of the scripts and the library that users who may not look into our directories can read: theirs, and the environment."""
    scripts, libraries = workplace.path / "scripts", workplace.path / "libraries"
    shutil.copytree(APPS, scripts, dirs_exist_ok=True)
    shutil.copytree(programs.LIBRARY.parent, libraries, ignore=lambda _, names: [n for n in names if not n.endswith(".so")],
                    dirs_exist_ok=True)
    if "LD_PRELOAD" in environment:
        environment = environment | {"LD_PRELOAD": str(libraries / programs.LIBRARY.name)}
    return scripts, environment


@dataclasses.dataclass(frozen=True)
class App:
    name: str
    start: typing.Callable  # (workplace, backend's port, environment) -> Program


def apache(workplace, mpm, modules, config, environment, php=None):
    port = programs.free_port()
    directory = workplace.directory(f"apache-{port}")
    files = {m: f"mod_{m}.so" for m in (f"mpm_{mpm}", "authz_core", "env", *modules)} | (php or {})
    loaded = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/{file}" for m, file in files.items())
    user = servers.apache_user()
    path = workplace.file(f"apache-{port}.conf", f"""
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
ErrorLog {directory}/error.log
DefaultRuntimeDir {directory}
Mutex pthread
Listen 127.0.0.1:{port}
{loaded}
{user}
MaxConnectionsPerChild 0
KeepAlive On
KeepAliveTimeout 300
MaxKeepAliveRequests 0
PassEnv BACKEND_PORT
{config}
""")
    return workplace.start(["apache2", "-DFOREGROUND", "-f", path], port, environment)


def mod_php(workplace, backend, environment):
    scripts, environment = for_anybody(workplace, environment)
    config = f"""
{PREFORK}
SetHandler application/x-httpd-php
AliasMatch ^/ {scripts}/page.php
<Directory {scripts}>
Require all granted
</Directory>
"""
    library = next(pathlib.Path("/usr/lib/apache2/modules").glob("libphp*.so")).name
    return apache(workplace, "prefork", ("alias",), config, environment | {"BACKEND_PORT": str(backend)}, {"php": library})


def apache_cgi(script, mpm="event", module="cgid"):
    def start(workplace, backend, environment):
        scripts, environment = for_anybody(workplace, environment)
        traced = " ".join(name for name in TRACING if name in environment)
        config = f"""
{THREADS if mpm == "event" else PREFORK}
{f"PassEnv {traced}" if traced else ""}
ScriptAliasMatch ^/ {scripts}/{script}
<Directory {scripts}>
Require all granted
</Directory>
"""
        return apache(workplace, mpm, ("alias", module), config, environment | {"BACKEND_PORT": str(backend)})
    return start


def lighttpd_cgi(script):
    def start(workplace, backend, environment):
        port = programs.free_port()
        directory = workplace.directory(f"lighttpd-{port}")
        passed = {k: v for k, v in environment.items() if k in TRACING} | {"BACKEND_PORT": str(backend)}
        variables = ", ".join(f'"{k}" => "{v}"' for k, v in passed.items())
        config = workplace.file(f"lighttpd-{port}.conf", f"""
server.modules = ("mod_rewrite", "mod_alias", "mod_setenv", "mod_cgi")
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 300
server.errorlog = "{directory}/error.log"
url.rewrite-once = ("^/" => "/run/{script}")
alias.url = ("/run/" => "{APPS}/")
setenv.add-environment = ({variables})
cgi.assign = ("" => "")
""")
        return workplace.start(["lighttpd", "-D", "-f", config], port, environment)
    return start


def perl_prefork(workplace, backend, environment):
    port = programs.free_port()
    return workplace.start(["perl", APPS / "prefork.pl", port, backend, CONNECTIONS], port, environment)


def starman(workplace, backend, environment):
    port = programs.free_port()
    argv = ["starman", "--listen", f"127.0.0.1:{port}", "--workers", CONNECTIONS, "--keepalive-timeout", 300, "--max-requests", 1000000,
            APPS / "app.psgi"]
    return workplace.start(argv, port, environment | {"BACKEND_PORT": str(backend)})


def puma(*options):
    def start(workplace, backend, environment):
        port = programs.free_port()
        argv = ["puma", "--no-config", "--quiet", "--bind", f"tcp://127.0.0.1:{port}", "--threads", "5:16", *options,
                APPS / "config.ru"]
        return workplace.start(argv, port, environment | {"BACKEND_PORT": str(backend)}, signal.SIGINT)
    return start


def java(program, *options):
    def start(workplace, backend, environment):
        port = programs.free_port()
        # For a test beside others: a small heap, and no more threads of its own than it needs. programs.py looks for IPv4.
        argv = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true", "-cp", f"{CLASSES}:{JARS}", program, port, backend, *options]
        return workplace.start(argv, port, environment)
    return start


def native(program, *options):
    def start(workplace, backend, environment):
        port = programs.free_port()
        return workplace.start([NATIVE / program, port, backend, *options], port, environment)
    return start


SMALL = [
    App("mod_php", mod_php),
    App("apache-cgi-shell", apache_cgi("cgi.sh")),
    App("apache-cgi-perl", apache_cgi("cgi.pl")),
    App("apache-cgi-python", apache_cgi("cgi.py")),
    App("apache-mod-cgi", apache_cgi("cgi.sh", "prefork", "cgi")),
    App("lighttpd-cgi-shell", lighttpd_cgi("cgi.sh")),
    App("lighttpd-cgi-perl", lighttpd_cgi("cgi.pl")),
    App("lighttpd-cgi-python", lighttpd_cgi("cgi.py")),
    App("perl-prefork", perl_prefork),
    App("starman", starman),
    App("puma", puma()),
    App("puma-cluster", puma("--workers", "2")),
]
JAVA = [
    *(App(f"jdk-{kind}-{way}", java("JdkServer", way, kind)) for kind in ("fixed", "slow", "inner", "cached", "stealing")
      for way in ("connection", "client", "gather")),
    *(App(f"tomcat-{way}", java("TomcatServer", way)) for way in ("connection", "client", "gather")),
]
STEALING = [
    App("tokio-sequence", native("tokio_server", "sequence")),
    App("tokio-gather", native("tokio_server", "gather")),
]
GO = App("go-cgo", native("go_server"))
BY_NAME = {app.name: app for app in [*SMALL, *JAVA, *STEALING, GO]}


def run(app, *, shim=True, requests=None, alone=0, incoming="none", **settings):
    """alone: of the requests, so many come first and one after the other."""
    requests = requests or programs.REQUESTS
    with programs.Workplace() as workplace:
        backend = programs.start_backend(workplace, "--delay-max", "5")
        spans_file = workplace.file("spans.jsonl")
        environment = programs.shim_environment(workplace, spans_file, **settings) if shim else {}
        program = app.start(workplace, backend.port, environment)
        first = programs.run_load(program.port, alone, 1, "--traceparent", incoming) if alone else {}
        load = programs.run_load(program.port, requests - alone, CONNECTIONS, "--traceparent", incoming, "--first", alone)
        result = scenarios.Result({k: v + first.get(k, 0) for k, v in load.items()})
        spans = programs.SpanFile(spans_file, workplace.run)
        if shim:
            spans.wait_for(truth.SERVER, requests, deadline_s=10)
            spans.wait_for(truth.CLIENT, requests * CALLS, deadline_s=2)
        result.exit_status = program.stop()
        if app in STEALING + [GO] and result.exit_status == -signal.SIGTERM:
            result.exit_status = 0  # they do not catch it
        result.stderr = program.stderr
        backend.stop()
        if shim:
            # A program that had no time to export at its end has left its spans to others.
            subprocess.run([programs.AGENT, "drain"], env=programs.clean_environment() | environment | {"LD_PRELOAD": ""}, check=True,
                           stdout=subprocess.DEVNULL)
            result.spans = spans.refresh()
            result.verdict = truth.judge(result.spans, incoming=incoming)
        return result
