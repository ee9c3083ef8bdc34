# SPDX-License-Identifier: MIT
"""weir beside nginx and HAProxy, in one run: a table of scenarios, each a kind of load and what it costs.

usage: compare.py [NAME...]      the scenarios, all by default
"""
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
CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU, OTHER_CPUS = {CPUS[-1]}, set(CPUS[:-1]) or {CPUS[0]}
SBIN = "/usr/sbin:/usr/bin"
BUILD = "build/release"

NGINX = """
user root; daemon off; master_process on; worker_processes 1; worker_rlimit_nofile 20000; pid {dir}/nginx.pid;
error_log {dir}/nginx.err crit;
events {{ worker_connections 19000; }}
http {{
	access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/b; sendfile on; tcp_nodelay on;
	proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
	proxy_cache_path {dir}/cache keys_zone=c:50m inactive=1h;
	upstream up {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
	server {{
		listen 127.0.0.1:{port} backlog=4096;
		proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
		proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_read_timeout 300;
		location / {{ proxy_pass http://up; {buffering} }}
		location /text/ {{ proxy_pass http://up; gzip on; gzip_types text/plain; gzip_comp_level 3; }}
		location /cached/ {{ proxy_pass http://up/; proxy_cache c; proxy_cache_valid 200 10m; }}
	}}
}}
"""
HAPROXY = """
global
	maxconn 9900
	nbthread 1
	tune.bufsize 16384
defaults
	mode http
	option forwardfor
	option http-no-delay
	timeout client 300s
	timeout server 300s
	timeout connect 5s
	http-reuse always
cache c
	total-max-size 256
	max-object-size 1000000
	max-age 600
frontend f
	bind 127.0.0.1:{port}
	use_backend cached if {{ path_beg /cached/ }}
	use_backend coded if {{ path_beg /text/ }}
	default_backend b
backend b
	server s 127.0.0.1:{origin}
backend coded
	compression algo gzip
	compression type text/plain
	server s 127.0.0.1:{origin}
backend cached
	http-request cache-use c
	http-response cache-store c
	http-request set-path %[path,regsub(^/cached/,/)]
	server s 127.0.0.1:{origin}
"""
WEIR = """
listen: ["127.0.0.1:{port}"]
upstreams: {{up: {{servers: ["127.0.0.1:{origin}"], keepalive: {{idle: 64, timeout: 60s}}}}}}
caches: {{c: {{size: 256MB, valid: {{200: 10m}}}}}}
limits: {{l: {{key: "header:X-Key", rate: 1000000/s, burst: 1000000, size: 32MB}}}}
routes:
  - {{path: /bytes/200, host: [limited.example], upstream: up, limit: l}}
  - {{path: /bytes, host: [cached.example], upstream: up, cache: c}}
  - {{path: /stream, host: [cached.example], upstream: up, cache: c}}
  - {{path: /text, upstream: up, compress: {{encodings: [gzip, zstd], level: 3}}}}
  - {{path: /, upstream: up}}
client: {{max_connections: 9900}}
access_log: off
"""


# --- programs -------------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(400):
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


class Program:
    running = []

    def __init__(self, name, argv, port, cpus):
        self.name, self.port = name, port
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        Program.running.append(self)
        wait_for(port, self.process)

    def cpu_ns(self):
        """Time on a CPU so far, user and system, of all its threads."""
        total = 0
        for p in tree(self.process.pid):
            for path in glob.glob(f"/proc/{p}/task/*/schedstat"):
                with open(path) as f:
                    total += int(f.read().split()[0])
        return total

    def rss(self):
        total = 0
        for p in tree(self.process.pid):
            with open(f"/proc/{p}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith(("Private_Clean",
                                                                                    "Private_Dirty")))
        return total * 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        Program.running.remove(self)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


class Bench:
    """An origin, and the proxies in front of it, started anew for each scenario."""

    def __init__(self, top, period_us, buffering, names, steps=1000):
        self.dir = top
        self.origin = free_port()
        Program("origin", [f"{BUILD}/load", "origin", str(self.origin), str(period_us),
                           str(steps)], self.origin, OTHER_CPUS)
        self.proxies = [getattr(self, name)(buffering) for name in names]

    def values(self, buffering):
        return {"dir": self.dir, "origin": self.origin, "port": free_port(), "buffering": buffering}

    def weir(self, buffering):
        v = self.values(buffering)
        path = write(f"{self.dir}/weir.yaml", WEIR.format(**v))
        return Program("weir", [f"{BUILD}/weir", "-c", path], v["port"], PROXY_CPU)

    def nginx(self, buffering):
        v = self.values(buffering)
        path = write(f"{self.dir}/nginx.conf", NGINX.format(**v))
        return Program("nginx", [shutil.which("nginx", path=SBIN), "-c", path], v["port"], PROXY_CPU)

    def haproxy(self, buffering):
        v = self.values(buffering)
        path = write(f"{self.dir}/haproxy.cfg", HAPROXY.format(**v))
        return Program("haproxy", [shutil.which("haproxy", path=SBIN), "-f", path], v["port"], PROXY_CPU)

    def stop(self):
        for p in list(reversed(Program.running)):
            p.stop()


# --- loads ------------------------------------------------------------------------------------------------

def wrk(program, path, connections=64, seconds=None, host="bench", script=None, accept=None):
    """(CPU us a request, requests a second, CPU s a GB, bytes a request)"""
    seconds = seconds or SECONDS
    argv = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s", "-H", f"Host: {host}"]
    argv += ["-s", script] if script else []
    argv += ["-H", f"Accept-Encoding: {accept}"] if accept else []
    before = program.cpu_ns()
    out = subprocess.run([*argv, f"http://127.0.0.1:{program.port}{path}"], capture_output=True, text=True,
                         check=True, preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CPUS)).stdout
    spent = program.cpu_ns() - before
    m = re.search(r"(\d+) requests in [\d.]+\w+, ([\d.]+)(\w+) read", out)
    if "Non-2xx" in out or "Socket errors" in out or not m or int(m.group(1)) == 0:
        sys.exit(f"{program.name}: not all answers were good:\n{out}")
    count, size = int(m.group(1)), float(m.group(2)) * {"KB": 1e3, "MB": 1e6, "GB": 1e9, "B": 1}[m.group(3)]
    return spent / count / 1000, count / seconds, spent / 1e9 / (size / 1e9), size / count


class Streams:
    """Many clients that stay; of PATH/0, PATH/1..., same of each."""

    def __init__(self, program, n, seconds, path="/stream", same=1):
        self.program, self.n = program, n
        self.process = subprocess.Popen([f"{BUILD}/load", "streams", "127.0.0.1", str(program.port), str(n),
                                         str(seconds), path, str(same)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, OTHER_CPUS))
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{program.name}: the streams do not open")

    def measure(self, may_end=0):
        """(CPU us an event, delay p50 us, p99 us)"""
        before = self.program.cpu_ns()
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        spent = self.program.cpu_ns() - before
        got = dict(zip(line.split()[::2], map(int, line.split()[1::2])))
        if got["ended"] > may_end or not got["events"]:
            sys.exit(f"{self.program.name}: {line}")
        return spent / got["events"] / 1000, got["p50_us"], got["p99_us"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# --- scenarios ----------------------------------------------------------------------------------------------

def table(title, columns, rows, what=""):
    """rows: name -> list of tuples, a figure a column; medians, and their ratio to the first row's."""
    print(f"\n{title}")
    if what:
        print(f"  {what}")
    print(f"  {'':14}" + "".join(f"{c:>16}{'ratio':>8}" for c in columns))
    medians = {name: [statistics.median(r[i] for r in got) for i in range(len(columns))]
               for name, got in rows.items()}
    mine = next(iter(medians.values()))
    for name, m in medians.items():
        print(f"  {name:14}" + "".join(f"{v:>16.2f}{v / mine[i] if mine[i] else 0:>8.2f}"
                                       for i, v in enumerate(m)), flush=True)


def rounds(bench, load, n=None):
    """Rounds alternate between the proxies, so that a change of the machine's mood meets all of them."""
    figures = {p.name: [] for p in bench.proxies}
    for p in bench.proxies:
        load(p)             # warm
    for _ in range(n or ROUNDS):
        for p in bench.proxies:
            figures[p.name].append(load(p))
    return figures


ALL = ("weir", "nginx", "haproxy")


def small(top):
    """200-byte GETs on 64 keep-alive connections."""
    b = Bench(top, 50000, "proxy_buffering off;", ALL)
    table("small: " + small.__doc__, ["CPU us/request", "requests/s"],
          {k: [r[:2] for r in v] for k, v in rounds(b, lambda p: wrk(p, "/bytes/200")).items()})
    b.stop()


def streams(top):
    """1,000 event streams, 20 events a second each, ten at once: an engine gives a token to each of a batch."""
    stream(top, streams, 100)


def singles(top):
    """1,000 event streams, 20 events a second each, no two at once."""
    stream(top, singles, 1000)


def stream(top, scenario, steps):
    b = Bench(top, 50000, "proxy_buffering off;", ALL, steps)

    def load(p):
        s = Streams(p, 1000, SECONDS)
        got = s.measure()
        s.close()
        time.sleep(0.5)
        return got
    figures = rounds(b, load)
    direct = Streams(Program.running[0], 1000, SECONDS)
    base = direct.measure()
    direct.close()
    table(f"{scenario.__name__}: {scenario.__doc__}", ["CPU us/event", "delay p50 us", "delay p99 us"], figures,
          f"without a proxy the delay is {base[1]} us (p50), {base[2]} us (p99)")
    b.stop()


def idle(top):
    """9,000 open streams with an event each 5 s: private memory a stream."""
    n, figures = 9000, {}
    for name in ALL:
        b = Bench(top, 5000000, "proxy_buffering off;", (name,))
        p = b.proxies[0]
        wrk(p, "/bytes/200", seconds=1)
        before = p.rss()
        s = Streams(p, n, 6)
        s.measure(may_end=n // 50)
        figures[name] = [((p.rss() - before) / n / 1024,)]
        s.close()
        b.stop()
    table("idle: " + idle.__doc__, ["KiB/stream"], figures)


def bodies(top):
    """1 MB bodies on 16 connections, 100 MB bodies on 4: CPU a GB."""
    b = Bench(top, 50000, "proxy_max_temp_file_size 0;", ALL)
    rows = {p.name: [] for p in b.proxies}
    one = rounds(b, lambda p: wrk(p, "/bytes/1048576", 16))
    big = rounds(b, lambda p: wrk(p, "/bytes/104857600", 4, max(SECONDS, 6)), 3)
    for name in rows:
        rows[name] = [(statistics.median(r[2] for r in one[name]), statistics.median(r[2] for r in big[name]))]
    table("bodies: " + bodies.__doc__, ["1 MB: s/GB", "100 MB: s/GB"], rows, "nginx buffers in memory, as it does by default, but not in files")
    b.stop()


def coded(top):
    """64 KB of text on 16 connections, in gzip at level 3 (HAProxy's has no levels); weir in zstd too."""
    size, rows = 65536, {}
    b = Bench(top, 50000, "", ALL)

    def load(p, accept):
        got = wrk(p, f"/text/{size}", 16, accept=accept)
        return got[0] / (size / 1e6), size / got[3]
    for accept in ("gzip", "zstd"):
        for name, got in rounds(b, lambda p, a=accept: load(p, a)).items():
            if accept == "gzip" or name == "weir":
                rows[f"{name} {accept}"] = got
    table("coded: " + coded.__doc__, ["CPU us/MB", "shrinks to 1/"], rows)
    b.stop()


def hits(top):
    """Answers from the cache on 64 keep-alive connections: 200 bytes, 64 KB."""
    b = Bench(top, 50000, "", ALL)

    def path(p, n):
        return f"/bytes/{n}" if p.name == "weir" else f"/cached/bytes/{n}"
    few = rounds(b, lambda p: wrk(p, path(p, 200), host="cached.example"))
    many = rounds(b, lambda p: wrk(p, path(p, 65536), host="cached.example"))
    table("hits: " + hits.__doc__, ["200 B: us", "64 KB: us"],
          {name: [(x[0], y[0]) for x, y in zip(few[name], many[name])] for name in few})
    b.stop()


def followers(top):
    """1,000 streams, as 100 fetches that ten follow each, and as 1,000 fetches."""
    b = Bench(top, 50000, "", ("weir",))
    weir, figures = b.proxies[0], {"followed": [], "separate": []}

    def load(path, same):
        # Through the cache or past it is said by the host; load sends "bench", so by a route of its own.
        s = Streams(weir, 1000, SECONDS, path, same)
        got = s.measure()
        s.close()
        time.sleep(0.5)
        return got
    b.stop()
    text = WEIR.replace("host: [cached.example], upstream: up, cache: c}}\n  - {{path: /stream, host: [cached.example],",
                        "host: [cached.example], upstream: up, cache: c}}\n  - {{path: /stream/shared,")
    origin = free_port()
    Program("origin", [f"{BUILD}/load", "origin", str(origin), "50000", "100"], origin, OTHER_CPUS)
    port = free_port()
    weir = Program("weir", [f"{BUILD}/weir", "-c", write(f"{top}/weir.yaml", text.format(origin=origin, port=port))],
                   port, PROXY_CPU)
    for i in range(ROUNDS):
        figures["followed"].append(load(f"/stream/shared/{i}", 10))
        figures["separate"].append(load("/stream/own", 1))
    table("followers: " + followers.__doc__, ["CPU us/event", "delay p50 us", "delay p99 us"],
          dict(reversed(figures.items())))
    for p in list(reversed(Program.running)):
        p.stop()


def limiter(top):
    """200-byte GETs with a limit of a million keys in its table, and without."""
    b = Bench(top, 50000, "", ("weir",))
    weir, script = b.proxies[0], write(f"{top}/keys.lua", """
local n = 0
request = function()
	n = (n + 1) % 1000000
	return wrk.format(nil, nil, {Host = wrk.headers["Host"], ["X-Key"] = "client-" .. n})
end
""")
    # The table is filled first.
    wrk(weir, "/bytes/200", seconds=max(SECONDS, 30), host="limited.example", script=script)
    figures = {"without": [], "with": []}
    for _ in range(ROUNDS):
        figures["without"].append(wrk(weir, "/bytes/200", host="bench", script=script)[:1])
        figures["with"].append(wrk(weir, "/bytes/200", host="limited.example", script=script)[:1])
    table("limiter: " + limiter.__doc__, ["CPU us/request"], figures)
    b.stop()


def memory(top):
    """A cache of 256 MB filled with a million small answers, and with a few large ones: growth to its size."""
    size, rows = 256 * 1024 * 1024, {}
    for name, path, connections, seconds in (("200 bytes", "/bytes/200", 64, max(SECONDS, 25)),
                                             ("7 MB", "/bytes/7340032", 4, max(SECONDS, 4))):
        b = Bench(top, 50000, "", ("weir",))
        weir = b.proxies[0]
        script = write(f"{top}/unique.lua", f"""
local n = 0
request = function()
	n = n + 1
	return wrk.format(nil, "{path}?" .. n)
end
""")
        wrk(weir, "/bytes/200", seconds=1)
        before = weir.rss()
        _, rate, _, _ = wrk(weir, path, connections, seconds, host="cached.example", script=script)
        rows[name] = [((weir.rss() - before) / size, rate * seconds)]
        b.stop()
    table("memory: " + memory.__doc__, ["RSS/size", "answers"], rows)


SCENARIOS = [small, streams, singles, idle, bodies, coded, hits, followers, limiter, memory]


def main():
    wanted = sys.argv[1:] or [s.__name__ for s in SCENARIOS]
    unknown = set(wanted) - {s.__name__ for s in SCENARIOS}
    if unknown:
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are "
                 + ", ".join(s.__name__ for s in SCENARIOS))
    print(f"{ROUNDS} rounds of {SECONDS} s; proxies on CPU {sorted(PROXY_CPU)[0]}, clients and servers on "
          f"{sorted(OTHER_CPUS)}; load {os.getloadavg()[0]:.1f}; figures are medians, ratios are to the first line")
    top = tempfile.mkdtemp(prefix="weir-bench-")
    try:
        for s in SCENARIOS:
            if s.__name__ in wanted:
                s(top)
    finally:
        for p in list(reversed(Program.running)):
            p.stop()
        shutil.rmtree(top, ignore_errors=True)


main()
