# SPDX-License-Identifier: MIT
"""make bench-overload: more users than the instances can serve, through a plain proxy and with the line.

Four model instances, each one answer at a time, one second an answer: four answers a second is all
there is.  USERS (40) ask in a closed loop for SECONDS (60), each from an address of its own: ask, read
the answer, ask the next.  Who has waited for PATIENCE (10) seconds gives up and asks again at once; who
is told 503 comes back after Retry-After.  What the instances have begun or accepted they compute to
the end, also for nobody: that is what a single-process web service does.

ONLY=name,... runs some of the setups.  Every process is ended by its id.
"""
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

USERS = int(os.environ.get("USERS", "40"))
SECONDS = float(os.environ.get("SECONDS", "60"))
PATIENCE = float(os.environ.get("PATIENCE", "10"))
ONLY = [x for x in os.environ.get("ONLY", "").split(",") if x]
INSTANCES = 4
TOKENS = 16
# The first token after 250 ms, the last of sixteen after a second.
MODEL = ["--lanes", "1", "--ttft", "250", "--rate", "20", "--tokens", str(TOKENS), "--on-leave", "finish"]
SETTLE = 10             # seconds after which nothing may be computed for nobody any more
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "release")
HOST = "127.0.0.1"

PLAIN = """
listen: ["127.0.0.1:{port}"]
upstreams: {{up: {{balance: least_requests, servers: [{servers}]}}}}
access_log: off
drain_timeout: 1s
"""
NGINX = """
daemon off; master_process on; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
	access_log off; client_body_temp_path {dir}/b;
	proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
	upstream up {{ least_conn; {servers} }}
	server {{ listen 127.0.0.1:{port}; location / {{
		proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
		proxy_read_timeout 300; proxy_send_timeout 300; proxy_buffering off; }} }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Program:
    running = []

    def __init__(self, argv, port):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        Program.running.append(self)
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit(f"a program ended with {self.process.returncode}: {argv}")
            with socket.socket() as s:
                if s.connect_ex((HOST, port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit(f"nothing listens on port {port}: {argv}")

    def stop(self):
        Program.running.remove(self)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self.process.send_signal(number)
            try:
                self.process.wait(5)
                return
            except subprocess.TimeoutExpired:
                pass


# --- the setups: how to start each, given the ports of the instances -------------------------------

def weir(file):
    return [os.path.join(BUILD, "weir"), "-c", file]


def start_nginx(folder, port, ports):
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    servers = " ".join(f"server {HOST}:{p} max_fails=0;" for p in ports)
    return [nginx, "-c", write(f"{folder}/nginx.conf", NGINX.format(dir=folder, port=port, servers=servers))]


def start_plain(folder, port, ports):
    servers = ", ".join(f'"{HOST}:{p}"' for p in ports)
    return weir(write(f"{folder}/plain.yaml", PLAIN.format(port=port, servers=servers)))


def start_shipped(folder, port, ports):
    """conf/weir.yaml as it is, but for the ports and the log."""
    with open(os.path.join(ROOT, "conf", "weir.yaml"), encoding="utf-8") as f:
        text = f.read()
    for i, p in enumerate(ports):
        text = text.replace(f"127.0.0.1:{8001 + i}", f"{HOST}:{p}")
    text = re.sub(r"^listen: .*$", f'listen: ["{HOST}:{port}"]', text, flags=re.M)
    text = re.sub(r"^access_log: .*$", "access_log: off", text, flags=re.M)
    text = re.sub(r"^admin: .*$", "admin: {listen: []}", text, flags=re.M)
    text = re.sub(r"^drain_timeout: .*$", "drain_timeout: 1s", text, flags=re.M)
    return weir(write(f"{folder}/weir.yaml", text))


SETUPS = [("nginx, plain", start_nginx), ("weir, plain", start_plain), ("weir, conf/weir.yaml", start_shipped)]


# --- users ------------------------------------------------------------------------------------------

class Tally:
    def __init__(self):
        self.times, self.late, self.refused, self.broken = [], 0, 0, 0
        self.served = set()


async def exchange(reader, writer, question):
    """(status, fields) of one answer, read to its end."""
    writer.write((f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(question)}\r\n\r\n").encode() + question)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
    if fields.get("transfer-encoding") == "chunked":
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            await reader.readexactly(size + 2)
            if size == 0:
                break
    else:
        await reader.readexactly(int(fields["content-length"]))
    return int(head[0].split()[1]), fields


async def user(number, port, until, tally):
    """Asks until the time is up."""
    link, n = None, 0
    try:
        while time.monotonic() < until:
            if link is None:
                link = await asyncio.open_connection(HOST, port, local_addr=(f"127.0.1.{number + 1}", 0))
            n += 1
            question = json.dumps({"messages": [{"role": "user", "content": f"user {number} asks {n}"}]}).encode()
            began = time.monotonic()
            try:
                status, fields = await asyncio.wait_for(exchange(*link, question), PATIENCE)
            except (asyncio.TimeoutError, OSError, asyncio.IncompleteReadError) as e:
                if isinstance(e, asyncio.TimeoutError):
                    tally.late += 1
                else:
                    tally.broken += 1
                link[1].close()
                link = None
                continue
            if status == 200:
                if time.monotonic() < until:
                    tally.times.append(time.monotonic() - began)
                    tally.served.add(number)
            elif status in (429, 503):
                tally.refused += 1
                await asyncio.sleep(float(fields.get("retry-after", "1")))
            else:
                tally.broken += 1
                await asyncio.sleep(1)
            if fields.get("connection", "").lower() == "close":
                link[1].close()
                link = None
    finally:
        if link is not None:
            link[1].close()


def computed(ports):
    """(all, for nobody) in answers, by their tokens."""
    total = nobody = 0
    for p in ports:
        with urllib.request.urlopen(f"http://{HOST}:{p}/stats", timeout=5) as r:
            stats = json.load(r)
            total += stats["tokens"]
            nobody += stats["tokens_for_nobody"]
    return total / TOKENS, nobody / TOKENS


async def crowd(port, ports):
    """(tally, answers computed, for nobody after SETTLE)"""
    tally, until = Tally(), time.monotonic() + SECONDS
    users = [asyncio.ensure_future(user(i, port, until, tally)) for i in range(USERS)]
    await asyncio.sleep(min(SETTLE, SECONDS))
    _, early = await asyncio.to_thread(computed, ports)
    await asyncio.sleep(max(0, until - time.monotonic()))
    total, late = await asyncio.to_thread(computed, ports)
    for u in users:
        u.cancel()
    await asyncio.gather(*users, return_exceptions=True)
    return tally, total, late - early


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def run(name, start):
    folder = tempfile.mkdtemp(prefix="weir-overload-")
    try:
        ports = [free_port() for _ in range(INSTANCES)]
        port = free_port()
        for i, p in enumerate(ports):
            Program([os.path.join(BUILD, "model"), "--listen", f"{HOST}:{p}", "--name", f"m{i + 1}", *MODEL], p)
        Program(start(folder, port, ports), port)
        tally, total, nobody = asyncio.run(crowd(port, ports))
    finally:
        for p in list(reversed(Program.running)):
            p.stop()
        shutil.rmtree(folder, ignore_errors=True)
    good = len(tally.times)
    bad = tally.late + tally.refused + tally.broken
    print(f"{name:22}{good / SECONDS:9.2f}{bad / max(1, good + bad):9.0%}{tally.late:8}{tally.refused:9}"
          f"{tally.broken:7}{percentile(tally.times, 0.5):8.1f} s{percentile(tally.times, 0.95):7.1f} s"
          f"{len(tally.served):8}{total:10.0f}{total - good:9.0f}{nobody:12.1f}", flush=True)


def main():
    print(f"{INSTANCES} instances, one answer at a time, 1 s an answer: {INSTANCES} answers a second at most.\n"
          f"{USERS} users in a closed loop for {SECONDS:g} s, patience {PATIENCE:g} s.\n"
          "goodput: answers within the patience; computed: what the instances did, in answers; in vain: of that,\n"
          f"what nobody got; for nobody: of that, what was computed after its client had left, but for the first {SETTLE} s\n")
    print(f"{'':22}{'goodput/s':>9}{'errors':>9}{'gave up':>8}{'refused':>9}{'broken':>7}{'P50':>10}{'P95':>9}"
          f"{'users':>8}{'computed':>10}{'in vain':>9}{'for nobody':>12}", flush=True)
    for name, start in SETUPS:
        if not ONLY or any(o in name for o in ONLY):
            run(name, start)


main()
