# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model, Wrk  # noqa: E402

# limit: 90


class Load:
    """Clients that ask and ask again until told to stop; every answer is looked at."""

    def __init__(self, w, n=6, methods=("GET",)):
        self.w, self.methods = w, methods
        self.stop = threading.Event()
        self.count = [0] * n
        self.wrong = []
        self.ended = 0              # keep-alive connections the daemon closed between requests
        self.threads = [Background(self.work, i) for i in range(n)]

    def work(self, i):
        c = None
        n = 0
        while not self.stop.is_set():
            if c is None:
                c = Client(self.w)
            method = self.methods[n % len(self.methods)]
            body = b"abc" if method == "POST" else None
            try:
                r = c.ask(method, f"/{i}/{n}", body=body)
            except (Closed, OSError) as e:
                self.wrong.append((i, n, method, repr(e)))
                c = None
                continue
            if r.status != 200 or not r.complete or not r.body.startswith(b"/%d/%d " % (i, n)):
                self.wrong.append((i, n, method, r, r.body))
            if r.get("Connection") == "close":
                c.close()
                c = None
                self.ended += 1
            n += 1
            self.count[i] = n

    def total(self):
        return sum(self.count)

    def more(self, n):
        want = self.total() + n
        eventually(lambda: self.total() >= want or self.wrong, 30)

    def finish(self):
        self.stop.set()
        for t in self.threads:
            t.result()
        assert not self.wrong, self.wrong[:10]


def echo(c, r):
    c.answer(f"{r.target} {c.origin.name}")


def test_reloads():
    os_ = [Origin(echo, str(i)) for i in range(4)]
    with Weir(conf(4), *os_) as w:
        load = Load(w, methods=("GET", "POST"))
        for i in range(20):
            n = 1 + i % 4
            up = "balance: least_requests" if i % 2 else "balance: round_robin"
            w.reload(conf(n, up=up, route=f"name: r{i}"))
            load.more(20)
        load.finish()
        assert all(o.requests for o in os_)
        assert all(x["status"] == 200 for x in w.log(load.total()))
        assert len(w.lines()) == load.total()


def test_broken_reloads():
    os_ = [Origin(echo, str(i)) for i in range(2)]
    with Weir(conf(2), *os_) as w:
        load = Load(w)
        for _ in range(5):
            w.reload("nonsense: [\n", ok=False)
            load.more(20)
        load.finish()


def test_a_server_is_stopped_and_started():
    """GETs never see it."""
    os_ = [Origin(echo, str(i)) for i in range(4)]
    with Weir(conf(4, up="max_fails: 2, fail_timeout: 300ms, retry: {tries: 3}"), *os_) as w:
        load = Load(w)
        for i in range(5):
            load.more(60)
            os_[i % 4].stop(reset=bool(i % 2))
            load.more(60)
            os_[i % 4].start()
        load.more(60)
        load.finish()


def test_term_under_load():
    """Every exchange begun is finished."""
    os_ = [Origin(echo, str(i)) for i in range(2)]
    w = Weir(conf(2), *os_)
    load = Load(w)
    load.more(100)
    w.signal(signal.SIGTERM)
    load.stop.set()
    for t in load.threads:
        try:
            t.result()
        except ConnectionRefusedError:
            pass                    # nothing was begun
    # A keep-alive connection may close at the moment a request is sent: that request was not begun.
    cut = [x for x in load.wrong if "after b''" not in str(x[3]) and "Broken pipe" not in str(x[3])
           and "reset by peer" not in str(x[3])]
    assert not cut, cut[:10]
    assert w.wait() == 0
    w.stop()
    assert all(x["end"] == "ok" for x in w.log(1)), [x for x in w.log(1) if x["end"] != "ok"][:3]


def test_term_under_wrk():
    """wrk at full speed, streams, uploads half way, answers not begun: each is finished."""
    gate = Gate()

    def slow(c, r):
        if r.target == "/stream":
            c.chunked_head("text/event-stream")
            c.chunk(b"data: 1\n\n")
            gate.wait()
            c.chunk(b"data: 2\n\n")
            c.last_chunk()
            return
        if r.target == "/hold":
            gate.wait()
        c.answer(r.body or "held")

    m, o = Model(), Origin(slow)
    w = Weir("listen: [\"127.0.0.1:$PORT\"]\n"
             "upstreams: {fast: {servers: [$O1], keepalive: {timeout: 200ms}}, slow: {servers: [$O2]}}\n"
             "routes: [{path: /bytes, upstream: fast}, {path: /, upstream: slow}]\n" + LOG +
             "drain_timeout: 30s\n", m, o)
    streams = [Client(w).request(target="/stream") for _ in range(40)]
    held = [Client(w).request(target="/hold") for _ in range(20)]
    uploads = [Client(w) for _ in range(20)]
    for c in uploads:
        c.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
    for c in streams:
        c.recv_until(b"data: 1\n\n")
    eventually(lambda: len(o.heads) == 80)
    wrk = Wrk(w, "/bytes?n=200", connections=64)
    eventually(lambda: m.stats()["paths"]["/bytes"] > 200)
    w.signal(signal.SIGTERM)
    eventually(lambda: m.stats()["connections_open"] == 1, what="wrk is turned away")
    got = wrk.stop()
    assert w.process.poll() is None
    for c in uploads:
        c.send(b"x" * 50000)
    gate.open()
    for c in uploads:
        r = c.recv_response()
        assert r.status == 200 and r.complete and r.body == b"x" * 100000
    for c in held:
        assert c.recv_response().body == b"held"
    for c in streams:
        c.recv_until(b"data: 2\n\n")
        c.recv_until(b"0\r\n\r\n")
    assert w.wait() == 0
    w.stop()
    # Turned away at the door is no answer cut; wrk counts that with "connect" or "write".
    assert [got[k] for k in ("read", "timeout", "status")] == [0] * 3, got["text"]
    lines = [json.loads(x) for x in w.lines()]
    assert {x["end"] for x in lines} == {"ok"}, [x for x in lines if x["end"] != "ok"][:3]
    assert len(lines) == got["requests"] + 80 == m.stats()["paths"]["/bytes"] + len(o.requests), \
        (len(lines), got["requests"], m.stats()["paths"]["/bytes"], len(o.requests))


if __name__ == "__main__":
    main()
