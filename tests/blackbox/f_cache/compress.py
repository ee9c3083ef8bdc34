# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from codings import DECODERS, decode  # noqa: E402

"""The cache keeps answers as they came; each client gets them in its own encoding."""

CACHE = ("caches: {answers: {size: 64MB, max_object: 32MB, valid: {200: 10m}, methods: [GET, HEAD, POST], "
         "share_across_clients: true}}\n")
GZIP, ZSTD = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "zstd, gzip;q=0.5"}
BODY = b"".join(b"%d of many lines that are much alike\n" % i for i in range(1000))


def weir(o, route="cache: answers, compress: [zstd, gzip]", extra=""):
    return Weir(conf(route=route, extra=CACHE + extra), o)


def server(body=BODY, headers=(), type="text/plain"):
    return Origin(lambda c, r: c.answer(body, headers=[("Content-Type", type), *headers]))


def ask(w, accept=None, **more):
    headers = {**(accept or {}), **more.pop("headers", {})}
    return get(w, headers=headers, **more)


def test_one_is_stored():
    """Hits and misses alike, in every encoding, from one fetch; the stored one says no Vary of ours."""
    o = server(headers=[("ETag", '"v1"')])
    with weir(o) as w:
        for accept, name in ((GZIP, "gzip"), (None, None), (ZSTD, "zstd"), (GZIP, "gzip"), (None, None)):
            r = ask(w, accept)
            assert r.get("Content-Encoding") == name and decode(r) == BODY and r.complete, (accept, r)
            assert r.all("Vary") == ["Accept-Encoding"], r
            assert r.get("ETag") == ('W/"v1"' if name else '"v1"'), r
        assert len(o.requests) == 1
        assert [x["cache"] for x in w.log(5)] == ["miss"] + ["hit"] * 4
        assert r.get("Content-Length") == str(len(BODY)), r


def test_conditions_and_ranges():
    o = server(headers=[("ETag", '"v1"')])
    with weir(o) as w:
        ask(w, GZIP)
        r = ask(w, GZIP, headers={"If-None-Match": 'W/"v1"'})
        assert (r.status, r.get("ETag"), r.get("Vary")) == (304, 'W/"v1"', "Accept-Encoding"), r
        r = ask(w, headers={"If-None-Match": '"v1"'})
        assert (r.status, r.get("ETag"), r.get("Vary")) == (304, '"v1"', "Accept-Encoding"), r
        r = ask(w, GZIP, headers={"Range": "bytes=10-19"})
        assert (r.status, r.body, r.get("ETag")) == (206, BODY[10:20], '"v1"') and not r.has("Content-Encoding"), r
        assert r.get("Vary") == "Accept-Encoding", r
        # A weak tag names no bytes: all of it.
        r = ask(w, GZIP, headers={"Range": "bytes=10-19", "If-Range": 'W/"v1"'})
        assert r.status == 200 and decode(r) == BODY, r
        r = ask(w, GZIP, method="HEAD")
        assert (r.status, r.get("Content-Encoding"), r.get("ETag")) == (200, "gzip", 'W/"v1"'), r
        assert not r.has("Content-Length"), r
        r = ask(w, GZIP, headers={"Range": "bytes=999999-"})
        assert r.status == 416, r
        assert len(o.requests) == 1


def test_revalidated():
    """A 304 of the server's for our question: the client gets the stored body, in its encoding."""
    def handler(c, r):
        if r.get("If-None-Match") == '"v1"':
            return c.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
        c.answer(BODY, headers=[("Content-Type", "text/plain"), ("ETag", '"v1"'), ("Cache-Control", "max-age=0, must-revalidate")])
    o = Origin(handler)
    with weir(o) as w:
        assert decode(ask(w, GZIP)) == BODY
        r = ask(w, ZSTD)
        assert r.get("Content-Encoding") == "zstd" and decode(r) == BODY, r
        assert o.requests[1].get("If-None-Match") == '"v1"'
        # The client's own tag is weak, and still known.
        assert ask(w, GZIP, headers={"If-None-Match": 'W/"v1"'}).status == 304
        assert {x["cache"] for x in w.log(3)[1:]} == {"revalidated"}


def test_variants_of_the_server():
    """A server that encodes for itself has its variants as before, and its bytes as they are."""
    gz = __import__("gzip").compress(BODY)

    def handler(c, r):
        headers = [("Content-Type", "text/plain"), ("Vary", "Accept-Encoding")]
        if "gzip" in r.get("Accept-Encoding", ""):
            c.answer(gz, headers=[*headers, ("Content-Encoding", "gzip")])
        else:
            c.answer(BODY, headers=headers)
    o = Origin(handler)
    with weir(o) as w:
        for _ in range(2):
            r = ask(w, GZIP)
            assert r.body == gz and r.all("Vary") == ["Accept-Encoding"] and r.has("Content-Length"), r
            r = ask(w, {"Accept-Encoding": "zstd"})
            assert r.get("Content-Encoding") == "zstd" and decode(r) == BODY, r
            assert ask(w).body == BODY
        assert len(o.requests) == 3


def until(c, d, want):
    """Reads chunks, decoded by d, until they are what is wanted, and no more."""
    had = b""
    while had != want:
        data = c.recv_exactly(int(c.recv_until(b"\r\n"), 16))
        had += d.feed(data) if d else data
        assert data and want.startswith(had), had[-100:]
        c.recv_exactly(2)


def test_followers():
    """Of one fetch, each in its encoding, from its first byte on and at its own pace."""
    gate = Gate()

    def handler(c, r):
        c.chunked_head("application/json")
        c.chunk(b"first.")
        gate.wait()
        for i in range(0, len(BODY), 1000):
            c.chunk(BODY[i:i + 1000])
        c.last_chunk()
    o = Origin(handler)
    admin = f"127.0.0.1:{free_port()}"
    with weir(o, extra=f'admin: {{listen: "{admin}"}}\n') as w:
        rows = [("gzip", GZIP), ("zstd", ZSTD), (None, {}), ("gzip", GZIP), ("zstd", ZSTD)]
        clients = []
        for name, accept in rows:
            c = Client(w).request(headers=accept)
            r = c.recv_head()
            assert r.get("Content-Encoding") == name
            d = DECODERS[name]() if name else None
            until(c, d, b"first.")
            clients.append((c, r, d))
        assert len(o.requests) == 1
        clients.pop(0)[0].reset()               # the first one, for whom it is fetched
        eventually(lambda: b"\nweir_compressing 3\n" in get(admin, "/metrics").body, what="its coder is free")
        gate.open()
        for c, r, d in clients:
            c.read_chunks(r)
            assert (d.feed(r.body) if d else r.body) == BODY and (not d or d.is_whole)
        assert len(o.requests) == 1
        assert decode(ask(w, GZIP)) == b"first." + BODY and len(o.requests) == 1


def test_fetch_fails():
    """Followers of a fetch that is cut are cut, whatever their encoding."""
    gate = Gate()

    def handler(c, r):
        c.chunked_head("application/json")
        c.chunk(BODY)
        gate.wait()
        c.close()
    with weir(Origin(handler)) as w:
        clients = []
        for headers in (GZIP, ZSTD, {}):
            c = Client(w).request(headers=headers)
            name = c.recv_head().get("Content-Encoding")
            clients.append((c, DECODERS[name]() if name else None))
            until(*clients[-1], BODY)
        gate.open()
        for c, d in clients:
            assert c.recv_all() == b"" and not (d and d.is_whole)       # no tail, no last chunk
        w.log(3)


def test_fetch_fails_under_load():
    """So are those who wait for their turn when it fails."""
    lines = BODY * 40

    def handler(c, r):
        c.chunked_head("text/plain")
        c.chunk(lines)
        c.close()
    with weir(Origin(handler)) as w:
        clients = [Client(w).request(headers=GZIP) for _ in range(12)]
        for c in clients:
            assert c.recv_head().get("Content-Encoding") == "gzip"
            assert not c.recv_all().endswith(b"0\r\n\r\n")
        assert {x["end"] for x in w.log(12)} == {"body_cut"}


def test_too_long_to_be_stored():
    """What passes by waits for who is compressed: that one is not slow, we are.  Slow clients are still cut."""
    gate, part = Gate(), os.urandom(500000).hex().encode()

    def handler(c, r):
        c.chunked_head("text/plain")
        c.chunk(b"first\n")
        gate.wait()
        for _ in range(30):
            c.chunk(part)
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(route="cache: answers, compress: [zstd, gzip]",
                   extra=CACHE.replace("max_object: 32MB", "max_object: 1MB")), o) as w:
        clients = [Client(w, timeout=30).request(headers=h) for h in ({}, GZIP, ZSTD, {}, GZIP)]
        heads = [c.recv_head() for c in clients]
        slow = [Client(w, rcvbuf=4096).request(headers=h) for h in ({}, GZIP)]
        for c in slow:
            c.recv_head()
        gate.open()
        readers = [Background(c.read_chunks, r) for c, r in zip(clients, heads)]
        for b in readers:
            b.result(40)
        for r in heads:
            assert decode(r) == b"first\n" + part * 30 and r.complete
        assert len(o.requests) == 1
        for c in slow:
            assert not c.recv_all().endswith(b"0\r\n\r\n")
        assert sorted(x["end"] for x in w.log(7)) == ["ok"] * 5 + ["send_timeout"] * 2


def test_long_hits():
    """Many long ones from the cache at once, some to clients that read slowly."""
    body = os.urandom(1 << 20) + BODY * 40 + os.urandom(1 << 20)
    o = server(body)
    with weir(o) as w:
        ask(w)
        cs = [Client(w, timeout=40, rcvbuf=8192 if i % 3 == 0 else None).request(
            headers=(GZIP, ZSTD)[i % 2]) for i in range(9)]
        readers = [Background(c.recv_response) for c in cs]
        assert decode(ask(w, GZIP, method="GET")) == body
        for b in readers:
            assert decode(b.result(60)) == body
        assert len(o.requests) == 1 and [x["cache"] for x in w.log(11)].count("hit") == 10


def rss(w):
    with open(f"/proc/{w.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_slow_hits():
    """Of a stored answer no more is encoded than a client takes."""
    body = os.urandom(12 << 20)
    o = server(body)
    with weir(o) as w:
        for accept in (GZIP, ZSTD):
            assert decode(ask(w, accept)) == body
        before = rss(w)
        cs = [Client(w, rcvbuf=4096, timeout=40).request(headers=GZIP if i % 2 else ZSTD) for i in range(6)]
        for c in cs:
            c.recv_head()
        steady(lambda: rss(w) >> 20, quiet=1)
        grown = rss(w) - before
        assert VALGRIND or grown < 6 * (3 << 20), f"{grown} bytes for six"
        for c, name in zip(cs[:2], ("zstd", "gzip")):
            m = Response(b"HTTP/1.1 200 OK\r\nContent-Encoding: " + name.encode() + b"\r\n\r\n")
            c.read_chunks(m)
            assert decode(m) == body


def test_reload():
    """Compression comes and goes with a reload; what is stored stays, for it is no matter of the key."""
    o = server()
    plain = conf(route="cache: answers", extra=CACHE)
    coded = conf(route="cache: answers, compress: gzip", extra=CACHE)
    with Weir(plain, o) as w:
        assert not ask(w, GZIP).has("Vary")
        w.reload(coded)
        r = ask(w, GZIP)
        assert r.get("Content-Encoding") == "gzip" and decode(r) == BODY
        w.reload(plain)
        assert ask(w, GZIP).body == BODY
        assert len(o.requests) == 1


def test_stored_by_post():
    o = server(type="application/json")
    with weir(o, route="cache: answers, compress: [zstd, gzip]") as w:
        more = {"method": "POST", "body": b'{"a": 1}'}
        for accept in (GZIP, ZSTD, None):
            h = {"Content-Type": "application/json"}
            assert decode(ask(w, accept, headers=h, **more)) == BODY
        assert len(o.requests) == 1, w.lines()


if __name__ == "__main__":
    main()
