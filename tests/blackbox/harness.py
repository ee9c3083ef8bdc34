# SPDX-License-Identifier: MIT
"""Both ends of a proxy, scripted: the daemon with a configuration, raw clients, raw servers.

Nothing here waits by sleeping a while and hoping: eventually() asks again until it is so.
"""
import contextlib
import fcntl
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BUILD = os.path.abspath(os.environ.get("WEIR_BUILD", "build/san"))
WEIR = os.path.join(BUILD, "weir")
# "make valgrind": the daemon runs under memcheck, about ten times as long for everything.
VALGRIND = os.environ.get("WEIR_VALGRIND") == "1"
SLOW = 5 if VALGRIND else 1
KNOWN = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../valgrind.supp"))
MEMCHECK = ("valgrind --tool=memcheck --leak-check=full --show-leak-kinds=all --track-fds=yes "
            "--errors-for-leak-kinds=all --error-exitcode=99 --vgdb=no --num-callers=50 "
            f"--suppressions={KNOWN}").split()
PATIENCE = 10           # seconds for what should happen at once
TEST_LIMIT = 45         # seconds a test function
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|check failed")
LOG = "access_log: {path: $LOG, format: json}\n"
DEFAULTS = LOG + "drain_timeout: 5s\n"

_live = []              # what the running test opened
_at_end = []            # called when all tests of a file are over


def eventually(predicate, timeout=PATIENCE, what=None):
    """Asks until the answer is true; gives it back."""
    end = time.monotonic() + timeout * SLOW
    pause = 0.001
    while True:
        got = predicate()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"did not happen in {timeout} s: {what or predicate_text(predicate)}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def predicate_text(predicate):
    code = getattr(predicate, "__code__", None)
    return f"{code.co_name} line {code.co_firstlineno}" if code else repr(predicate)


def steady(value, quiet=0.7, timeout=20):
    """Waits until value() has not changed for a while (there is no event for "nothing happens")."""
    end = time.monotonic() + timeout * SLOW
    last, since = value(), time.monotonic()
    while time.monotonic() - since < quiet * SLOW:
        assert time.monotonic() < end, "never steady"
        time.sleep(0.02)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last


# --- ports: below the kernel's own range, each locked for the life of this process ----------------

_locks = []
_next_port = 10000 + os.getpid() * 97 % 20000


def free_port():
    global _next_port
    folder = os.path.join(tempfile.gettempdir(), f"weir-test-ports.{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    for _ in range(20000):
        _next_port = _next_port + 1 if _next_port < 30000 else 10000
        f = open(os.path.join(folder, str(_next_port)), "w")
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", _next_port))
        except OSError:
            f.close()
            continue
        _locks.append(f)
        return _next_port
    raise RuntimeError("no free port")


def address_of(text):
    """"HOST:PORT", "[v6]:PORT" or "unix:PATH" to (family, address)."""
    if text.startswith("unix:"):
        return socket.AF_UNIX, text[5:]
    host, port = text.rsplit(":", 1)
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def set_reset(sock):
    """close() sends RST from now on."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# --- messages ----------------------------------------------------------------------------------

class Message:
    """A parsed head with its body; head is the bytes as they came."""

    def __init__(self, head):
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.append((name, value.strip(" \t")))
        self.body = b""
        self.raw_body = b""
        self.trailers = []
        self.chunks = []
        self.complete = False

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        got = self.all(name)
        return got[0] if got else default

    def has(self, name):
        return bool(self.all(name))

    @property
    def is_chunked(self):
        return self.get("Transfer-Encoding", "").lower() == "chunked"

    def __repr__(self):
        return f"<{self.start!r} {self.headers} body={len(self.body)} complete={self.complete}>"


class Request(Message):
    def __init__(self, head):
        super().__init__(head)
        self.method, _, rest = self.start.partition(" ")
        self.target, _, self.version = rest.rpartition(" ")


class Response(Message):
    def __init__(self, head):
        super().__init__(head)
        self.version, _, rest = self.start.partition(" ")
        self.status, self.reason = int(rest[:3]), rest[4:]
        self.interim = []


class Closed(Exception):
    """The peer sends no more; reset says how."""

    def __init__(self, reset=False, had=b""):
        super().__init__(("connection reset" if reset else "connection closed") + f" after {had[:300]!r}")
        self.reset = reset


class Stream:
    """A socket with what was read ahead; both ends use it."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = b""
        self.eof = None         # "fin" or "rst" once seen
        self.received = 0
        self.sent = 0

    def fill(self, size=65536):
        if self.eof:
            raise Closed(self.eof == "rst", self.buf)
        try:
            data = self.sock.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            self.eof = "rst"
            raise Closed(True, self.buf) from None
        if not data:
            self.eof = "fin"
            raise Closed(False, self.buf)
        self.received += len(data)
        self.buf += data
        return data

    def take(self, n):
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def recv_until(self, mark):
        while mark not in self.buf:
            self.fill()
        return self.take(self.buf.index(mark) + len(mark))

    def recv_exactly(self, n):
        while len(self.buf) < n:
            self.fill()
        return self.take(n)

    def recv_some(self):
        if not self.buf:
            self.fill()
        return self.take(len(self.buf))

    def recv_all(self):
        """Until the peer closes."""
        with contextlib.suppress(Closed):
            while True:
                self.fill()
        return self.take(len(self.buf))

    def send(self, data):
        self.sock.sendall(data)
        self.sent += len(data)

    def read_chunks(self, m):
        raw = []
        try:
            while True:
                line = self.recv_until(b"\r\n")
                raw.append(line)
                size = int(line[:-2].split(b";")[0], 16)
                if size == 0:
                    break
                data = self.recv_exactly(size)
                m.chunks.append(data)
                raw += [data, self.recv_exactly(2)]
                assert raw[-1] == b"\r\n", "no CRLF after a chunk"
        finally:
            m.raw_body, m.body = b"".join(raw), b"".join(m.chunks)
        while True:
            line = self.recv_until(b"\r\n")
            m.raw_body += line
            if line == b"\r\n":
                break
            name, _, value = line.decode("latin-1").partition(":")
            m.trailers.append((name, value.strip()))
        m.complete = True

    def read_counted(self, m, n):
        parts, left = [], n
        try:
            while left > 0:
                if not self.buf:
                    self.fill(1 << 20)
                data = self.take(left)
                parts.append(data)
                left -= len(data)
            m.complete = True
        finally:
            m.body = m.raw_body = b"".join(parts)

    def is_closed(self):
        """True when the peer has closed or reset; reads ahead without waiting."""
        while not self.eof:
            if not select.select([self.sock], [], [], 0)[0]:
                return False
            with contextlib.suppress(Closed):
                self.fill()
        return True

    def wait_closed(self, timeout=PATIENCE):
        eventually(self.is_closed, timeout, "peer closes the connection")
        return self.eof

    def shutdown(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def reset(self):
        set_reset(self.sock)
        self.close()


# --- the client --------------------------------------------------------------------------------

class Client(Stream):
    """A raw client; to: a Weir or an address."""

    def __init__(self, to, timeout=PATIENCE, rcvbuf=None, source=None):
        family, address = address_of(to if isinstance(to, str) else to.addr)
        sock = socket.socket(family)
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            sock.bind((source, 0))
        sock.settimeout(timeout * SLOW)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        _live.append(self)

    def request(self, method="GET", target="/", headers=(), body=None, chunked=False, version="1.1",
                host="test.example"):
        """Sends a request; returns self."""
        head = [f"{method} {target} HTTP/{version}"]
        if host is not None:
            head.append(f"Host: {host}")
        head += [f"{n}: {v}" for n, v in (headers.items() if isinstance(headers, dict) else headers)]
        if chunked:
            head.append("Transfer-Encoding: chunked")
            parts = [body] if isinstance(body, bytes) else list(body or [])
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts if p) + b"0\r\n\r\n"
        elif body is not None:
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self

    def recv_head(self):
        return Response(self.recv_until(b"\r\n\r\n"))

    def recv_response(self, method="GET"):
        """A whole answer; complete is False when it was cut."""
        interim = []
        while True:
            r = self.recv_head()
            if r.status >= 200 or r.status == 101:
                break
            interim.append(r)
        r.interim = interim
        if method == "HEAD" or r.status in (101, 204, 304):
            r.complete = True
            return r
        try:
            if r.is_chunked:
                self.read_chunks(r)
            elif r.has("Content-Length"):
                self.read_counted(r, int(r.get("Content-Length")))
            else:
                r.body = self.recv_all()
                r.complete = self.eof == "fin"
        except Closed:
            r.complete = False
        return r

    def ask(self, method="GET", target="/", headers=(), body=None, **more):
        return self.request(method, target, headers, body, **more).recv_response(method)


def get(w, target="/", headers=(), method="GET", body=None, source=None, **more):
    """One request on a connection of its own."""
    c = Client(w, source=source)
    try:
        return c.ask(method, target, headers, body, **more)
    finally:
        c.close()
        _live.remove(c)


def raw(w, data, method="GET"):
    """Bytes in, one answer out, on a connection of its own (which stays open)."""
    c = Client(w)
    c.send(data)
    r = c.recv_response(method)
    r.client = c
    return r


class Background(threading.Thread):
    """Runs a function aside; result() waits for it and raises what it raised."""

    def __init__(self, function, *args, **more):
        super().__init__(daemon=True)
        self.call = (function, args, more)
        self.value = self.error = None
        self.start()

    def run(self):
        function, args, more = self.call
        try:
            self.value = function(*args, **more)
        except BaseException as e:      # noqa: B902  (handed to result())
            self.error = e

    def result(self, timeout=30):
        self.join(timeout * SLOW)
        assert not self.is_alive(), "still running"
        if self.error:
            raise self.error
        return self.value


# --- the server --------------------------------------------------------------------------------

class OriginConn(Stream):
    def __init__(self, sock, origin):
        super().__init__(sock)
        self.origin = origin
        self.requests = []
        self.raw = b""              # the first bytes as they came, for looking at
        self.gone = False           # FIN or RST of the peer was seen, or we closed
        self.ours = False           # we closed

    def fill(self, size=65536):
        try:
            data = super().fill(size)
        except Closed:
            self.gone = True
            raise
        if len(self.raw) < 1 << 20:
            self.raw += data
        return data

    def send(self, data):
        try:
            for i in range(0, len(data), 1 << 16):
                part = data[i:i + (1 << 16)]
                self.sock.sendall(part)
                self.sent += len(part)
        except (BrokenPipeError, ConnectionResetError):
            self.eof, self.gone = "rst", True
            raise Closed(True) from None

    def answer(self, body=b"", status="200 OK", headers=()):
        if isinstance(body, str):
            body = body.encode()
        head = f"HTTP/1.1 {status}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
        self.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def chunked_head(self, type="text/plain", headers=()):
        self.send(("HTTP/1.1 200 OK\r\n" + f"Content-Type: {type}\r\n" +
                   "".join(f"{n}: {v}\r\n" for n, v in headers) +
                   "Transfer-Encoding: chunked\r\n\r\n").encode())

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def last_chunk(self):
        self.send(b"0\r\n\r\n")

    def read_body(self, r):
        if r.is_chunked:
            self.read_chunks(r)
        else:
            self.read_counted(r, int(r.get("Content-Length", "0")))
        return r.body

    def wait_gone(self, timeout=30):
        """Reads until the peer has left; False when it stays."""
        self.sock.settimeout(timeout * SLOW)
        try:
            while True:
                self.fill()
                self.buf = b""
        except Closed:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.ours = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        super().close()

    def reset(self):
        self.ours = True
        set_reset(self.sock)
        Stream.close(self)


class Origin:
    """A scripted server.  handler(conn, request) writes the answer; what it leaves undone (nothing
    written, connection open) is a stall, during which the peer's leaving is still seen."""

    def __init__(self, handler=None, name="origin", port=None, path=None, read_body=True, start=True,
                 sndbuf=None, rcvbuf=None, host="127.0.0.1"):
        self.handler = handler or (lambda conn, r: conn.answer(self.name))
        self.name = name
        self.path = path
        self.port = None if path else port or free_port()
        self.host = host
        self.addr = f"unix:{path}" if path else \
            f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.read_body = read_body
        self.sndbuf, self.rcvbuf = sndbuf, rcvbuf
        self.conns = []
        self.heads = []             # every request head that came
        self.requests = []          # every whole request, body and all (read_body)
        self.errors = []
        self.lock = threading.Lock()
        self.listener = None
        if start:
            self.start()
        _live.append(self)

    def start(self):
        family, address = address_of(self.addr)
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        s.bind(address)
        s.listen(1024)
        self.listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()
        return self

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if self.path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.sndbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.sndbuf)
            conn = OriginConn(sock, self)
            self.conns.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            while not conn.ours:
                r = Request(conn.recv_until(b"\r\n\r\n"))
                r.conn = conn
                conn.requests.append(r)
                with self.lock:
                    self.heads.append(r)
                if self.read_body:
                    conn.read_body(r)
                with self.lock:
                    self.requests.append(r)
                answer = self.handler(conn, r)
                if isinstance(answer, bytes):
                    conn.send(answer)
        except Closed:
            pass
        except OSError as e:
            if not conn.ours:
                self.errors.append(e)
        except Exception as e:      # noqa: B902  (a broken script shows in the test)
            self.errors.append(e)
            traceback.print_exc()
        conn.gone = True
        Stream.close(conn)

    def stop(self, reset=False):
        """Refuses from now on; every connection ends."""
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        for c in self.conns:
            if not c.ours:
                c.reset() if reset else c.close()

    close = stop

    @property
    def open_conns(self):
        return [c for c in self.conns if not c.gone and not c.ours]

    def targets(self):
        return [r.target for r in self.requests]

    def wait(self, n=1, timeout=PATIENCE):
        """The n-th request, once it came whole."""
        eventually(lambda: len(self.requests) >= n, timeout, f"{n} requests at {self.name}")
        return self.requests[n - 1]


def has_ended(pid):
    """Also where nobody collects the dead, as the first process of a container may not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Gate:
    """Holds handlers until opened."""

    def __init__(self):
        self.event = threading.Event()

    def open(self):
        self.event.set()

    def wait(self, timeout=30):
        assert self.event.wait(timeout * SLOW), "gate never opened"


class FullListener:
    """Listens, never accepts, its queue full: a connect to it neither fails nor succeeds."""

    def __init__(self, host="127.0.0.1"):
        self.port = free_port()
        self.addr = f"{host}:{self.port}"
        self.sock = socket.socket()
        self.sock.bind((host, self.port))
        self.sock.listen(0)
        self.fillers = []
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((host, self.port))
            self.fillers.append(s)
            if not select.select([], [s], [], 0.2)[1]:
                break
        else:
            raise RuntimeError("the queue does not fill")
        _live.append(self)

    def close(self):
        self.sock.close()
        for s in self.fillers:
            s.close()


def pending_connects(port):
    """How many sockets of this machine are in SYN_SENT to that port of 127.0.0.1."""
    want = f"0100007F:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as f:
        return sum(1 for line in f if (p := line.split())[2] == want and p[3] == "02")


# --- the daemon --------------------------------------------------------------------------------

def conf(n=1, up="", route="", routes=None, extra="", listen='"127.0.0.1:$PORT"'):
    """The usual file: n servers $O1.. in the upstream "up", everything to it."""
    servers = ", ".join(f"$O{i + 1}" for i in range(n))
    up = ", ".join(x for x in (f"servers: [{servers}]" if "servers:" not in up else "", up) if x)
    routes = routes if routes is not None else \
        "[{" + ", ".join(x for x in ("path: /, upstream: up", route) if x) + "}]"
    return (f"listen: [{listen}]\nupstreams:\n  up: {{{up}}}\nroutes: {routes}\n" + DEFAULTS
            + extra + ("\n" if extra and not extra.endswith("\n") else ""))


def environment(**more):
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(more)
    return env


def command(report, program=WEIR):
    """How weir is called; memcheck writes its findings to the file named."""
    return [*MEMCHECK, f"--log-file={report}", program] if VALGRIND else [program]


def check_report(path):
    """No error, no leak, no descriptor left open but those it was given."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    left = re.findall(r"Open [\w ]+ \d+:.*\n(?!.*<inherited from parent>)", text)
    assert "ERROR SUMMARY: 0 errors" in text and not left, "memcheck says:\n" + text[-8000:]


def part(items):
    """All of them; under memcheck, where each call costs a second, some."""
    items = list(items)
    return items[::10] if VALGRIND else items


def run_weir(*args, env=None, timeout=20, program=WEIR, **more):
    """Runs weir to its end: (exit code, stdout, stderr)."""
    with tempfile.NamedTemporaryFile(prefix="weir-test.") as report:
        p = subprocess.run([*command(report.name, program), *map(str, args)], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=timeout * SLOW,
                           env=environment(**(env or {})), check=False, **more)
        if VALGRIND:
            check_report(report.name)
    out, err = p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")
    assert not SANITIZER.search(err), err
    return p.returncode, out, err


@contextlib.contextmanager
def folder():
    d = tempfile.mkdtemp(prefix="weir-test.")
    try:
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


@contextlib.contextmanager
def stopped(w):
    """The daemon sleeps: what is sent meanwhile meets it in one turn, in the order of its coming."""
    w.signal(signal.SIGSTOP)

    def state():
        with open(f"/proc/{w.pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0]
    eventually(lambda: state() == "T", what="the daemon is stopped")
    try:
        yield
    finally:
        w.signal(signal.SIGCONT)


class Weir:
    """A running daemon.  $PORT, $PORT2.., $LOG, $DIR and $O1.. (the origins) are put into the text."""

    def __init__(self, text=None, *origins, args=None, nofile=None, env=None, ready=True, sockets=(),
                 prefix=(), **names):
        self.dir = tempfile.mkdtemp(prefix="weir-test.")
        self.names = {"DIR": self.dir, "LOG": os.path.join(self.dir, "access.log"), **names}
        for i in range(1, 5):
            key = "PORT" if i == 1 else f"PORT{i}"
            if key not in self.names and (text is None or "$" + key in text):
                self.names[key] = free_port()
        self.set_origins(*origins)
        self.port = self.names.get("PORT")
        self.addr = f"127.0.0.1:{self.port}"
        self.file = os.path.join(self.dir, "weir.yaml")
        self.log_path = self.names["LOG"]
        self.stopped = False
        self.code = None
        if text is not None:
            self.write(text)
            args = ["-c", self.file]
        else:
            args = [self.fill(a) for a in args]
        self.stderr_path = os.path.join(self.dir, "stderr")
        self.stdout_path = os.path.join(self.dir, "stdout")
        self.report = os.path.join(self.dir, "memcheck")

        def limits():
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
            for i, s in enumerate(sockets):     # handed over as systemd does
                os.dup2(s.fileno(), 3 + i)

        if sockets:
            env = {**(env or {}), "LISTEN_FDS": str(len(sockets))}
            prefix = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
        handed = tuple(range(3, 3 + len(sockets)))
        argv = [*prefix, *command(self.report), *args]
        with open(self.stderr_path, "wb") as err, open(self.stdout_path, "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env=environment(**(env or {})), cwd=self.dir,
                                            preexec_fn=limits, pass_fds=handed)
        self.pid = self.process.pid
        _live.append(self)
        if ready:
            self.wait_ready(ready if isinstance(ready, str) else self.addr)

    def set_origins(self, *origins):
        for i, o in enumerate(origins, 1):
            self.names[f"O{i}"] = o if isinstance(o, str) else o.addr

    def fill(self, text):
        return re.sub(r"\$([A-Z]+[0-9]*)\b", lambda m: str(self.names.get(m.group(1), m.group(0))), text)

    def write(self, text):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(self.fill(text))
        os.rename(self.file + ".new", self.file)

    @property
    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def stdout(self):
        with open(self.stdout_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_ready(self, addr):
        family, address = address_of(addr)

        def connects():
            assert self.process.poll() is None, \
                f"weir ended with {self.process.returncode}:\n{self.stderr}"
            with socket.socket(family) as s:
                s.settimeout(5)
                return s.connect_ex(address) == 0

        eventually(connects, 20, f"weir listens on {addr}")
        # The kernel lets in before all files are open; who counts descriptors wants them all.
        eventually(lambda: "started: " in self.stderr, 20, "weir says that it has started")

    # -- looking

    def lines(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="strict") as f:
                text = f.read()
        except FileNotFoundError:
            return []
        return [line for line in text.split("\n")[:-1] if line]

    def log(self, n=1, timeout=PATIENCE):
        """The access log as dicts, once it has n lines."""
        eventually(lambda: len(self.lines()) >= n, timeout,
                   f"{n} lines in the access log (has {len(self.lines())})")
        return [json.loads(line) for line in self.lines()]

    def last(self, n=1):
        return self.log(n)[n - 1]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def ticks(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            parts = f.read().rpartition(")")[2].split()
        return int(parts[11]) + int(parts[12])

    # -- acting

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, text=None, ok=True):
        """Writes the file, sends HUP, waits for the word about it; gives the new stderr text."""
        had = len(self.stderr)
        if text is not None:
            self.write(text)
        self.signal(signal.SIGHUP)

        def said():
            assert self.process.poll() is None, f"weir ended:\n{self.stderr}"
            return re.search(r"reload: (ok|failed)[^\n]*\n", self.stderr[had:])

        m = eventually(said, what="a line about the reload")
        assert (m.group(1) == "ok") == ok, f"reload: {m.group(1)}:\n{self.stderr[had:]}"
        return self.stderr[had:]

    def wait(self, timeout=20):
        try:
            self.code = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"weir does not end:\n{self.stderr}") from None
        return self.code

    def check_stderr(self):
        err = self.stderr
        assert not SANITIZER.search(err), "in stderr of weir:\n" + err
        check_report(self.report)

    def stop(self, timeout=20):
        """TERM; the books must balance."""
        if self.stopped:
            return
        self.stopped = True
        for c in [c for c in _live if isinstance(c, Client) or getattr(c, "is_client", False)]:
            c.close()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        self.wait(timeout)
        self.check_stderr()
        assert self.code == 0, f"weir ended with {self.code}:\n{self.stderr}"
        self.check_log()

    def check_log(self):
        if not self.has_json_log():
            return
        ids = []
        for line in self.lines():
            try:
                ids.append(json.loads(line)["request_id"])
            except (ValueError, KeyError) as e:
                raise AssertionError(f"access log line {line!r}: {e}") from None
        made = [i for i in ids if re.fullmatch(r"[0-9a-f]{32}", i)]
        assert len(made) == len(set(made)), "an exchange was logged twice"

    def has_json_log(self):
        lines = self.lines()
        return bool(lines) and lines[0].startswith("{")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.stopped = True

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.stop()
        return False

    def about(self):
        return (f"--- stderr of weir {self.pid} (exit {self.process.poll()}):\n{self.stderr[-6000:]}\n"
                f"--- its access log:\n" + "\n".join(line[:400] for line in self.lines()[-5:]))


# --- running tests -----------------------------------------------------------------------------

class Skip(Exception):
    pass


def _cleanup(check):
    def rank(x):
        """Clients first, the daemon, then whom it asked."""
        return 0 if isinstance(x, Client) or getattr(x, "is_client", False) else \
            1 if isinstance(x, Weir) else 2

    error = None
    for x in sorted(_live, key=rank):
        try:
            if isinstance(x, Weir) and check and error is None:
                x.stop()
            x.close()
        except AssertionError as e:
            error = e
            x.close()
    return error


def _run(name, function):
    def late(*_):
        raise AssertionError(f"test took more than {TEST_LIMIT} s")

    _live.clear()
    signal.signal(signal.SIGALRM, late)
    signal.alarm(getattr(function, "limit", TEST_LIMIT) * SLOW)
    error = None
    try:
        function()
    except Skip as e:
        signal.alarm(0)
        _cleanup(False)
        print(f"ok {name} # SKIP {e}")
        return True
    except BaseException as e:      # noqa: B902
        error = e
    signal.alarm(0)
    weirs = [x for x in _live if isinstance(x, Weir)]
    signal.alarm(30 * SLOW)
    try:
        late_error = _cleanup(error is None)
    except BaseException as e:      # noqa: B902
        late_error = e
    signal.alarm(0)
    error = error or late_error
    if error is None:
        print(f"ok {name}", flush=True)
    else:
        first = (str(error).splitlines() or [""])[0]
        print(f"not ok {name}: {type(error).__name__}: {first[:300]}")
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        for w in weirs:
            text += w.about() + "\n"
        print("\n".join("    " + line for line in text.splitlines()), flush=True)
    for w in weirs:
        shutil.rmtree(w.dir, ignore_errors=True)
    return error is None


def not_under_memcheck(why):
    """Leaves a test out of "make valgrind": a short time is what it is about, say."""
    def mark(function):
        def skip():
            raise Skip(f"under memcheck: {why}")
        return skip if VALGRIND else function
    return mark


def main():
    module = sys.modules["__main__"]
    tests = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    tests = [t for t in tests if all(a in t[0] for a in sys.argv[1:])]
    results = [_run(n, f) for n, f in tests]
    for call in _at_end:
        call()
    sys.stdout.flush()
    # Threads may sit in a read; nothing of theirs matters any more.
    os._exit(0 if all(results) and results else 1)
