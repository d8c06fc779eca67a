# SPDX-License-Identifier: Apache-2.0
"""Configurations of real servers, each started as a proxy in front of truth backends (or as what its name says)."""

import os
import pwd
import signal

from programs import free_port

IS_ROOT = os.geteuid() == 0


def _unprivileged_user():
    return "www-data" if any(u.pw_name == "www-data" for u in pwd.getpwall()) else "nobody"


def nginx(workplace, backends, environment=None, *, workers=1, keepalive=True, http="", server="", location="",
          user="root", upstream="", idle=300):
    port = free_port()
    directory = workplace.directory(f"nginx-{port}")
    servers = "".join(f"server 127.0.0.1:{b.port} max_fails=0; " for b in backends)
    persistent = 'proxy_http_version 1.1; proxy_set_header Connection "";' if keepalive else ""
    proxy = f"proxy_pass http://backend; {persistent}" if backends else ""
    paths = "".join(f"{p}_temp_path {directory}/{p}; " for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = workplace.file(f"nginx-{port}.conf", f"""
daemon off; worker_processes {workers}; pid {directory}/pid; error_log {directory}/error.log warn;
{f"user {user};" if IS_ROOT else ""}
events {{ worker_connections 2048; }}
http {{
	access_log off; keepalive_requests 10000000; keepalive_timeout {idle}s; {paths}
	client_header_timeout 2s; client_body_timeout 2s;
	{f"upstream backend {{ {servers} {upstream} {'keepalive 128; keepalive_requests 10000000;' if keepalive else ''} }}"
     if backends else ""}
	{http}
	server {{
		listen 127.0.0.1:{port} backlog=1024 {"reuseport" if workers > 1 else ""};
		{server}
		location / {{ {proxy} {location} }}
	}}
}}
""")
    return workplace.start(["nginx", "-p", directory, "-c", config, "-e", f"{directory}/start.log"], port, environment,
                           signal.SIGQUIT)


def haproxy(workplace, backends, environment=None, *, threads=1, server="", backend="", header="", idle=300, config_before=()):
    port = free_port()
    lines = "\n".join(f"\tserver s{i} 127.0.0.1:{b.port} {server}" for i, b in enumerate(backends))
    config = workplace.file(f"haproxy-{port}.cfg", f"""
global
	nbthread {threads}
	maxconn 4000
	{header}
defaults
	mode http
	timeout connect 5s
	timeout client {idle}s
	timeout server 60s
	timeout queue 60s
	timeout http-request 2s
	timeout check 5s
frontend front
	bind 127.0.0.1:{port}
	default_backend back
backend back
	{backend}
{lines}
""")
    return workplace.start(["haproxy", "-db", *config_before, "-f", config], port, environment, signal.SIGUSR1)


def lighttpd(workplace, backends, environment=None, *, idle=300):
    port = free_port()
    directory = workplace.directory(f"lighttpd-{port}")
    hosts = ", ".join(f'("host" => "127.0.0.1", "port" => {b.port})' for b in backends)
    config = workplace.file(f"lighttpd-{port}.conf", f"""
server.modules = ("mod_proxy")
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = 4096
server.max-keep-alive-requests = 65535
server.max-read-idle = 2
server.max-keep-alive-idle = {idle}
server.errorlog = "{directory}/error.log"
proxy.server = ("" => ({hosts}))
""")
    return workplace.start(["lighttpd", "-D", "-f", config], port, environment, signal.SIGINT)


def apache_user():
    return f"User {_unprivileged_user()}\nGroup {_unprivileged_user()}" if IS_ROOT else ""


def apache(workplace, backends, environment=None, *, idle=300):
    port = free_port()
    directory = workplace.directory(f"apache-{port}")
    modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so"
                        for m in ("mpm_event", "authz_core", "reqtimeout", "proxy", "proxy_http"))
    config = workplace.file(f"apache-{port}.conf", f"""
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
ErrorLog {directory}/error.log
DefaultRuntimeDir {directory}
Mutex pthread
Listen 127.0.0.1:{port}
{modules}
{apache_user()}
StartServers 2
ServerLimit 2
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 256
MaxSpareThreads 256
MaxConnectionsPerChild 0
KeepAlive On
KeepAliveTimeout {idle}
MaxKeepAliveRequests 0
RequestReadTimeout header=2 body=2
ProxyPass / http://127.0.0.1:{backends[0].port}/
""")
    return workplace.start(["apache2", "-DFOREGROUND", "-f", config], port, environment)


def varnish(workplace, backends, environment=None, *, recv="return (pass);", response="", idle=300):
    port = free_port()
    vcl = workplace.file(f"varnish-{port}.vcl", f"""
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{backends[0].port}"; }}
sub vcl_recv {{ {recv} }}
sub vcl_backend_response {{ {response} }}
""")
    return workplace.start(
        ["varnishd", "-F", "-j", "none", "-T", "none", "-n", workplace.path / f"varnish-{port}", "-a",
         f"127.0.0.1:{port}", "-f", vcl, "-s", "malloc,64m", "-p", "thread_pool_min=100", "-p", "thread_pools=1", "-p", f"timeout_idle={idle}"], port,
        environment)
