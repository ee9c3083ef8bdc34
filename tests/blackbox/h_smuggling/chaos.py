# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 120
# Clients and servers that do as they like, at random, all at once.  Nobody gets what was meant for
# somebody else, nothing is left hanging, the books balance, and who behaves is served all the while.
# WEIR_CHAOS=SECONDS:SEED for more of it, or for the same again.
import random

import harness  # noqa: E402

SECONDS, SEED = (float(x) for x in os.environ.get("WEIR_CHAOS", "4:1").split(":"))
BIG = 300000


def mark(target):
    """The body that belongs to a target; nothing else has it."""
    return b"<" + target.encode() + b">"


class Servers:
    def __init__(self, dice):
        self.dice = dice

    def good(self, c, r, size):
        body = mark(r.target) * (1 + size // 30)
        if self.dice.random() < 0.5:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            c.send(body)
            return
        c.chunked_head("text/event-stream" if self.dice.random() < 0.5 else "text/plain")
        while body:
            n = self.dice.choice((1, 7, 4096, 65536))
            c.send(b"%x%s\r\n%s\r\n" % (len(body[:n]), b";x=y" if n == 7 else b"", body[:n]))
            body = body[n:] if n > 7 or len(body) < 200 else b""
        c.send(b"0\r\nX-T: 1\r\n\r\n" if self.dice.random() < 0.3 else b"0\r\n\r\n")

    def handler(self, c, r):
        d = self.dice
        if r.target.startswith("/good/"):
            if "Upgrade" in r.get("Connection", ""):
                self.tunnel(c, r)
            elif r.has("Expect") and d.random() < 0.5:
                c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            c.read_body(r)
            self.good(c, r, d.choice((1, 1, 1, 5000, BIG)))
            return
        early = d.random() < 0.5
        if not early:
            c.read_body(r)
        self.bad(c, r)
        # What it did not read it would take for a request, and say something to that.
        if early and not c.ours:
            c.close()

    def bad(self, c, r):
        d = self.dice
        body = mark(r.target)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        what = d.randrange(16)
        if what == 0:
            c.close()
        elif what == 1:
            c.reset()
        elif what == 2:
            c.send(head + body[:2])
            c.reset() if d.random() < 0.5 else c.close()
        elif what == 3:
            c.send(head + body + head + b"WRONG")
        elif what == 4:
            c.send(b"HTTP/1.1 103 Early\r\n\r\n" * d.choice((1, 3, 40)) + head + body)
        elif what == 5:
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n")
        elif what == 6:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc")
        elif what == 7:
            c.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            c.close()
        elif what == 8:
            c.wait_gone(d.random())  # silence, a while
            c.close()
        elif what == 9:
            c.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nWRONG")
        elif what == 10:
            c.send(b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        elif what == 11:
            c.send(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nWRONG")
        elif what == 12:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30) + body * 20000)
            c.close()
        elif what == 13:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nda")
            c.reset()
        elif what == 14:
            for b in head + body:
                c.send(bytes([b]))
        else:
            c.send(b"\x00\xff" * 100)

    def tunnel(self, c, r):
        c.read_body(r)
        c.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        for _ in range(self.dice.randrange(1, 5)):
            c.send(c.recv_some())
        c.close() if self.dice.random() < 0.5 else c.reset()
        raise Closed()


class Clients:
    def __init__(self, w, dice, number, shared):
        self.w, self.dice, self.number, self.wrong, self.shared = w, dice, number, [], shared
        self.n = self.answered = 0

    def target(self, kind):
        self.n += 1
        if self.shared and self.dice.random() < 0.5:
            return f"/{kind}/shared-{self.dice.randrange(self.shared)}"
        return f"/{kind}/{self.number}-{self.n}"

    def request(self, kind):
        d, target = self.dice, self.target(kind)
        what = d.randrange(5)
        head = b"Host: a\r\n" + (b"Expect: 100-continue\r\n" if d.random() < 0.1 else b"")
        body = b"y" * d.choice((0, 5, 3000, BIG))
        if what < 2:
            return target, b"GET %s HTTP/1.1\r\n%s\r\n" % (target.encode(), head)
        if what < 4:
            return target, b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (target.encode(), head, len(body), body)
        data = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 9999]), body[i:i + 9999]) for i in range(0, len(body), 9999))
        return target, b"POST %s HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (target.encode(), head, data)

    def look(self, target, r):
        """What came is what belongs to the target, whole or cut."""
        self.answered += 1
        if r.status == 200:
            body = r.body.split(b"\n\nevent: error")[0].split(b"\nevent: error")[0].split(b"event: error")[0]
            want = mark(target)
            if not (want * (2 + len(body) // len(want))).startswith(body) and b"abc" != body and b"da" != body:
                self.wrong.append((target, r, body[:100]))
        elif b"WRONG" in r.body:
            self.wrong.append((target, r, r.body[:100]))

    def read(self, c, target):
        r = c.recv_response()
        self.look(target, r)
        return r.complete and r.get("Connection") != "close" and "Content-Length" in str(r.headers) or r.is_chunked and r.complete

    def behave(self, c):
        for _ in range(self.dice.randrange(1, 6)):
            target, data = self.request("good" if self.dice.random() < 0.7 else "bad")
            c.send(data)
            if not self.read(c, target):
                return

    def pipeline(self, c):
        asked = [self.request("good") for _ in range(self.dice.randrange(2, 8))]
        c.send(b"".join(x[1] for x in asked))
        if self.dice.random() < 0.3:
            c.shutdown()
        for target, _ in asked:
            if not self.read(c, target):
                return

    def leave(self, c):
        """In the middle of it, one way or the other."""
        target, data = self.request(self.dice.choice(("good", "bad")))
        c.send(data[:self.dice.randrange(1, len(data) + 1)])
        if self.dice.random() < 0.5:
            select.select([c.sock], [], [], self.dice.random() * 0.05)
        if self.dice.random() < 0.3:
            c.fill()
        c.reset() if self.dice.random() < 0.5 else c.close()

    def lie(self, c):
        target, data = self.request("bad")
        at = self.dice.randrange(len(data))
        c.send(data[:at] + bytes([self.dice.randrange(256)]) + data[at + 1:])
        c.sock.settimeout(1)
        with contextlib.suppress(TimeoutError, ValueError, AssertionError):
            c.recv_response()

    def dribble(self, c):
        target, data = self.request("good")
        for i in range(0, min(len(data), 400)):
            c.send(data[i:i + 1])
        c.send(data[400:])
        self.read(c, target)

    def upgrade(self, c):
        c.send(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly" % self.target("good").encode())
        if c.recv_head().status == 101:
            c.recv_exactly(5)
            for _ in range(3):
                c.send(b"ping")
                c.recv_some()

    def slow(self, c):
        target, data = self.request("good")
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(data)
        select.select([c.sock], [], [], 2)
        time.sleep(self.dice.random() * 0.1)    # a client that is busy elsewhere
        self.read(c, target)

    def run(self, end):
        while time.monotonic() < end:
            c = Client(self.w)
            try:
                self.dice.choice((self.behave, self.behave, self.behave, self.pipeline, self.leave, self.leave,
                                  self.lie, self.dribble, self.upgrade, self.slow))(c)
            except (Closed, OSError):
                pass
            c.close()
            harness._live.remove(c)
        return self


def chaos(extra_up="", extra_route="", extra="", shared=0, slots=""):
    dice = random.Random(SEED)
    origins = [Origin(Servers(random.Random(dice.random())).handler, str(i), read_body=False) for i in range(3)]
    well = Origin(name="well")
    routes = f"[{{path: /well, upstream: well}}, {{path: /, upstream: up{extra_route}}}]"
    servers = ", ".join(f"{{address: $O{i}{slots}}}" for i in (1, 2, 3))
    up = (f"servers: [{servers}], " "retry: {tries: 2, non_idempotent: true}, max_fails: 0, timeouts: {connect: 2s, first_byte: 2s, idle: 2s, send: 2s},"
          " keepalive: {idle: 8, timeout: 500ms}" + extra_up)
    limits = "client: {header_timeout: 3s, body_timeout: 3s, send_timeout: 3s}\n"
    text = conf(3, up=up, routes=routes, extra=limits + extra).replace(
        "routes:", "  well: {servers: [$O4]}\nroutes:", 1)
    with Weir(text, *origins, well) as w:
        base = w.descriptors()
        end = time.monotonic() + SECONDS
        crowd = [Clients(w, random.Random(dice.random()), n, shared) for n in range(12)]
        running = [Background(x.run, end) for x in crowd]
        served = 0
        while time.monotonic() < end:
            assert get(w, "/well").body == b"well"
            served += 1
            time.sleep(0.02)            # its own pace
        for t in running:
            t.result(60)
        wrong = [x for c in crowd for x in c.wrong]
        assert not wrong, wrong[:3]
        answered = sum(c.answered for c in crowd)
        print(f"# {answered} answers, {sum(c.n for c in crowd)} requests, {served} well behaved, seed {SEED}")
        assert answered > 50 and served > 10
        # Nothing is left hanging: no exchange outlives its limits.
        eventually(lambda: w.descriptors() <= base, 15, "every descriptor is given back")
        assert get(w, "/well").body == b"well"
    for o in (*origins, well):
        assert not [e for e in o.errors if not isinstance(e, OSError)], o.errors


def test_chaos():
    chaos()


def test_chaos_in_line_and_cached():
    """Few slots, a short line, a cache that many ask for the same."""
    chaos(", queue: {size: 6, timeout: 1s}", ", cache: c",
          "caches: {c: {size: 10MB, valid: {200: 1s}, stale: [error, updating]}}\n", shared=20,
          slots=", max_inflight: 2")


def test_chaos_with_answers_that_are_finished():
    chaos(", on_client_abort: finish")


for f in (test_chaos, test_chaos_in_line_and_cached, test_chaos_with_answers_that_are_finished):
    f.limit = int(90 + SECONDS * 2)


if __name__ == "__main__":
    main()
