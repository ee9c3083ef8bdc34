# SPDX-License-Identifier: MIT
"""A hundred reloads under wrk and 200 open streams: nothing fails, nothing is cut, nothing grows."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model, Wrk  # noqa: E402

# limit: 180
# valgrind: no (it measures)
RELOADS, STREAMS = 100, 200
# A configuration that is kept where it should not be shows: each takes about 300 KB.
ROUTES = 400


class Ticker:
    """A server whose streams all get the same events, numbered, until the end is told."""

    def __init__(self, pause=0.25):
        self.pause = pause
        self.streams = []
        self.over = Gate()
        self.origin = Origin(self.handler)
        self.thread = Background(self.work)

    def handler(self, c, r):
        c.chunked_head("text/event-stream")
        c.count = 0
        self.streams.append(c)
        self.over.wait(150)
        self.thread.result()
        c.last_chunk()

    def work(self):
        while not self.over.event.wait(self.pause):
            for c in list(self.streams):
                c.chunk(b"data: %d\n\n" % c.count)
                c.count += 1


class Streams:
    """Clients of such streams, all in one thread; each event is looked at."""

    def __init__(self, w, n):
        self.clients = [Client(w).request(target="/stream") for _ in range(n)]
        for c in self.clients:
            c.events, c.whole = 0, False
            assert c.recv_head().status == 200
        self.wrong = []
        self.thread = Background(self.work)

    def work(self):
        poll = select.poll()
        at = {c.sock.fileno(): c for c in self.clients}
        for fd in at:
            poll.register(fd, select.POLLIN)
        while at:
            for fd, _ in poll.poll(1000):
                c = at[fd]
                try:
                    c.fill()
                    self.look(c)
                except (Closed, AssertionError) as e:
                    self.wrong.append((c.events, repr(e)))
                    c.whole = True
                if c.whole:
                    poll.unregister(fd)
                    del at[fd]

    @staticmethod
    def look(c):
        while True:
            size, _, rest = c.buf.partition(b"\r\n")
            need = len(size) + 2 + int(size or b"0", 16) + 2
            if not size or len(c.buf) < need:
                return
            data = c.take(need)[len(size) + 2:-2]
            if not data:
                c.whole = True
                return
            # One chunk may hold several events: a chunk of ours is what one read brought.
            for event in data.split(b"\n\n")[:-1]:
                assert event == b"data: %d" % c.events, (event, c.events)
                c.events += 1

    def at_least(self, n):
        return min(c.events for c in self.clients) >= n


def text(i):
    """No two are equal in what matters: the balancer, the servers, the names."""
    pad = "x" * 200
    routes = "".join(f'  - {{path: "/r{i}/{k}", host: "{k}.example.org", upstream: up, '
                     f'request_headers: {{set: {{X-Pad: "{pad}"}}}}}}\n' for k in range(ROUTES))
    balance = ("round_robin", "least_requests", "ip_hash")[i % 3]
    servers = "$O1, $O2" if i % 2 else "$O2, {address: $O1, weight: 2}"
    return ('listen: ["127.0.0.1:$PORT"]\n'
            "upstreams:\n"
            f"  up: {{balance: {balance}, servers: [{servers}], keepalive: {{timeout: 500ms}}}}\n"
            "  slow: {servers: [$O3]}\n"
            "routes:\n"
            "  - {path: /stream, upstream: slow}\n" + routes +
            f"  - {{path: /, upstream: up, name: n{i}}}\n" + DEFAULTS)


def memory(w):
    with open(f"/proc/{w.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def test_hundred_reloads():
    models = [Model("a"), Model("b")]
    ticker = Ticker()
    # What ASan keeps back of freed memory would look like growth.
    w = Weir(text(0), *models, ticker.origin,
             env={"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1:malloc_context_size=2"})
    get(w, "/bytes?n=1")
    base = eventually(lambda: w.descriptors() if not any(m.stats()["connections_open"] > 1 for m in models)
                      else 0, what="idle connections are let go")
    streams = Streams(w, STREAMS)
    wrk = Wrk(w, "/bytes?n=200", connections=16)
    rss = {}
    for i in range(1, RELOADS + 1):
        w.reload(text(i))
        assert not streams.wrong, streams.wrong[:5]
        if i % 4 == 0:
            seen = max(c.events for c in streams.clients)
            eventually(lambda: streams.at_least(seen + 1) or streams.wrong, 20)
        if i % 20 == 0:
            rss[i] = memory(w)
    got = wrk.stop()
    print(f"# {got['requests']} requests, {seen} events a stream, RSS {rss} kB", flush=True)
    assert rss[100] < rss[20] + 3000, f"memory grows: {rss} kB"
    seen = max(c.events for c in streams.clients)
    eventually(lambda: streams.at_least(seen + 1) or streams.wrong, 20)
    ticker.over.open()
    streams.thread.result()
    assert not streams.wrong, streams.wrong[:5]
    assert all(c.events == s.count for c, s in zip(sorted(streams.clients, key=lambda c: c.events),
                                                  sorted(ticker.streams, key=lambda s: s.count)))
    assert [got[k] for k in ("connect", "read", "write", "timeout", "status")] == [0] * 5, got["text"]
    assert got["requests"] > RELOADS, got["text"]
    # The clients have gone: what is open is what was open before them.
    for c in streams.clients:
        c.close()
    eventually(lambda: w.descriptors() <= base, 20, f"descriptors go back to {base}")
    w.stop()
    lines = [json.loads(x) for x in w.lines()]
    ends = [x["end"] for x in lines]
    # wrk hangs up on what it has under way when its time is over.
    assert ends.count("ok") >= got["requests"] + STREAMS + 1
    assert ends.count("ok") + ends.count("client_abort") == len(ends), set(ends)
    assert ends.count("client_abort") <= 16, ends.count("client_abort")
    assert len({x["route"] for x in lines}) > 20, "the load has not gone on through the reloads"


test_hundred_reloads.limit = 170

if __name__ == "__main__":
    main()
