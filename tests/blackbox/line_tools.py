# SPDX-License-Identifier: MIT
"""For tests of the line: servers that hold their answers, clients whose request has been read."""
import socket
import struct
import threading
import time

from harness import Client, Origin, conf, eventually, steady


class Held(Origin):
    """Answers a target's request, with its own name, once that target is released."""

    def __init__(self, name="origin", **more):
        self.free = {}
        self.is_open = False
        self.changed = threading.Condition()
        super().__init__(self.answer_later, name, **more)

    def answer_later(self, conn, r):
        with self.changed:
            assert self.changed.wait_for(lambda: self.is_open or self.free.get(r.target), 60), "never released"
            if not self.is_open:
                self.free[r.target] -= 1
        conn.answer(self.name)

    def release(self, target):
        """One request of that target."""
        with self.changed:
            self.free[target] = self.free.get(target, 0) + 1
            self.changed.notify_all()

    def release_all(self):
        """Every request, from now on."""
        with self.changed:
            self.is_open = True
            self.changed.notify_all()


class Counting:
    """A handler that takes a while and remembers how many were in it at a time."""

    def __init__(self, takes=0.02):
        self.lock = threading.Lock()
        self.takes, self.now, self.most = takes, 0, 0

    def handler(self, conn, r):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.takes)
        with self.lock:
            self.now -= 1
        conn.answer("x")


def slots(n, each=1, up="", **more):
    """The usual file, n servers of that many slots."""
    servers = ", ".join(f"{{address: $O{i + 1}, max_inflight: {each}}}" for i in range(n))
    return conf(up=f"servers: [{servers}]" + (f", {up}" if up else ""), **more)


def unread(c):
    """Bytes of the client's that the daemon has not read; more than none before it accepts."""
    local, peer = (struct.unpack("=I", socket.inet_aton(a))[0] for a in (c.sock.getpeername()[0],
                                                                           c.sock.getsockname()[0]))
    want = (f"{local:08X}:{c.sock.getpeername()[1]:04X}", f"{peer:08X}:{c.sock.getsockname()[1]:04X}")
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f:
            p = line.split()
            if (p[1], p[2]) == want:
                return int(p[4].split(":")[1], 16) + (p[9] == "0")
    return 0


def wait_read(c):
    """What the client sent was read: it has taken its place, or its server."""
    eventually(lambda: unread(c) == 0, what="the request is read")
    return c


def ask_and_wait(w, target="/", method="GET", source=None, **more):
    """A client whose request has been read and is not answered yet."""
    return wait_read(Client(w, source=source, timeout=30).request(method, target, **more))


def fill_up(c):
    """Sends until the daemon reads no more; how much."""
    sent = [0]

    def push():
        c.sock.setblocking(False)
        try:
            while True:
                sent[0] += c.sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        finally:
            c.sock.settimeout(30)
        return sent[0]
    return steady(push)


def memory(w):
    """Resident kilobytes."""
    with open(f"/proc/{w.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4
