# SPDX-License-Identifier: MIT
"""weir, nginx and HAProxy in front of one server: CPU per request and requests a second."""
import glob
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS", "4"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "64"))
CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU, OTHER_CPUS = {CPUS[-1]}, set(CPUS[:-1]) or {CPUS[0]}
BODY = 200

NGINX = """
daemon off; master_process on; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
	access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/b;
	proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
	upstream up {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
	server {{ listen 127.0.0.1:{port}; location / {{
		proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
		proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_set_header X-Forwarded-Proto $scheme; proxy_buffering off; }} }}
}}
"""
HAPROXY = """
global
	maxconn 4096
	nbthread 1
defaults
	mode http
	option forwardfor
	timeout client 60s
	timeout server 60s
	timeout connect 5s
	http-reuse always
frontend f
	bind 127.0.0.1:{port}
	default_backend b
backend b
	server s 127.0.0.1:{origin}
"""
WEIR = """
listen: ["127.0.0.1:{port}"]
upstreams: {{up: {{servers: ["127.0.0.1:{origin}"], keepalive: {{idle: 64, timeout: 60s}}}}}}
routes: [{{path: /, upstream: up}}]
access_log: off
"""
# The server behind: nginx too, since it costs little and is on another core.
ORIGIN = """
daemon off; master_process on; worker_processes 1; pid {dir}/origin.pid; error_log {dir}/origin.err;
events {{ worker_connections 4096; }}
http {{
	access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/ob;
	proxy_temp_path {dir}/op; fastcgi_temp_path {dir}/of; uwsgi_temp_path {dir}/ou; scgi_temp_path {dir}/os;
	server {{ listen 127.0.0.1:{origin} backlog=4096; location / {{ return 200 "{body}"; }} }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"a program ended with {process.returncode}: {process.args}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}: {process.args}")


def tree(pid):
    """The process and its children."""
    pids = [pid]
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path) as f:
            for child in f.read().split():
                pids += tree(int(child))
    return pids


def cpu_ns(pid):
    total = 0
    for p in tree(pid):
        for path in glob.glob(f"/proc/{p}/task/*/schedstat"):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total


class Program:
    running = []

    def __init__(self, name, argv, port, cpus):
        self.name, self.port = name, port
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        Program.running.append(self)
        wait_for(port, self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(program):
    before = cpu_ns(program.process.pid)
    out = subprocess.run(["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s",
                          f"http://127.0.0.1:{program.port}/"], capture_output=True, text=True,
                         check=True, preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CPUS)).stdout
    spent = cpu_ns(program.process.pid) - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad or "Socket errors" in out:
        sys.exit(f"{program.name}: not all answers were good:\n{out}")
    return spent / count / 1000, count / SECONDS


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def main():
    nginx, haproxy = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    top = tempfile.mkdtemp(prefix="weir-bench-")
    origin = free_port()
    ports = {name: free_port() for name in ("weir", "nginx", "haproxy")}
    v = {name: {"dir": top, "origin": origin, "port": port} for name, port in ports.items()}
    try:
        Program("origin", [nginx, "-c", write(f"{top}/origin.conf", ORIGIN.format(dir=top, origin=origin, body="x" * BODY))],
                origin, OTHER_CPUS)
        proxies = [
            Program("weir", ["build/release/weir", "-c", write(f"{top}/weir.yaml", WEIR.format(**v["weir"]))],
                    ports["weir"], PROXY_CPU),
            Program("nginx", [nginx, "-c", write(f"{top}/nginx.conf", NGINX.format(**v["nginx"]))],
                    ports["nginx"], PROXY_CPU),
            Program("haproxy", [haproxy, "-f", write(f"{top}/haproxy.cfg", HAPROXY.format(**v["haproxy"]))],
                    ports["haproxy"], PROXY_CPU),
        ]
        print(f"{BODY}-byte GETs, {CONNECTIONS} keep-alive connections, {ROUNDS} rounds of {SECONDS} s, "
              f"proxies on CPU {sorted(PROXY_CPU)[0]}, the rest on {sorted(OTHER_CPUS)}")
        figures = {p.name: [] for p in proxies}
        for p in proxies:
            measure(p)      # warm
        for _ in range(ROUNDS):
            for p in proxies:
                figures[p.name].append(measure(p))
        print(f"{'':10}{'CPU/request':>14}{'to weir':>9}{'requests/s':>12}{'to weir':>9}")
        mine = [statistics.median(f[i] for f in figures["weir"]) for i in (0, 1)]
        for name, rows in figures.items():
            cpu, rate = (statistics.median(r[i] for r in rows) for i in (0, 1))
            print(f"{name:10}{cpu:11.2f} us{cpu / mine[0]:9.2f}{rate:12.0f}{rate / mine[1]:9.2f}")
    finally:
        for p in reversed(Program.running):
            p.stop()
        shutil.rmtree(top, ignore_errors=True)


main()
