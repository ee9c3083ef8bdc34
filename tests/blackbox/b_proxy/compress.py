# SPDX-License-Identifier: MIT
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from codings import DECODERS, decode  # noqa: E402

"""Answers encoded on their way: which, for whom, to the byte, and not a byte held back."""

ROUTE = "compress: [zstd, gzip]"
GZIP, ZSTD = {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "zstd"}


def text(n):
    """Like prose: it shrinks, and no part of it is like another."""
    lines = (hashlib.md5(b"%d" % i).hexdigest().encode() + b" " for i in range(n // 33 + 1))
    return b"".join(lines)[:n]


BODY = text(5000)


def server(body=BODY, status="200 OK", headers=(), type="text/plain"):
    return Origin(lambda c, r: c.answer(b"" if r.method == "HEAD" else body, status,
                                        [("Content-Type", type), *headers]))


def weir(o, route=ROUTE, up="", extra="", **names):
    return Weir(conf(route=route, up=up, extra=extra), o, **names)


def is_plain(r, body=BODY):
    return r.complete and not r.has("Content-Encoding") and r.body == body


def test_round():
    sizes = [1024, 1025, 4096, 65535, 65536, 65537, 131072, 200000, 3 << 20]
    bodies = {n: text(n) for n in sizes}
    noise = os.urandom(300000)
    whole = os.urandom(32768) * 20

    def handler(c, r):
        kind, _, n = r.target[1:].partition("/")
        body = {"noise": noise, "far": whole}.get(kind) or bodies[int(n)]
        if kind == "chunked":
            c.chunked_head("application/json")
            for i in range(0, len(body), 7000):
                c.chunk(body[i:i + 7000])
            c.last_chunk()
        elif kind == "close":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body)
            c.close()
        else:
            c.answer(body, headers=[("Content-Type", "text/css; charset=utf-8")])

    with weir(Origin(handler)) as w:
        c = Client(w)
        for name, accept in (("gzip", GZIP), ("zstd", ZSTD)):
            for kind in ("counted", "chunked", "close"):
                for n in part(sizes):
                    r = c.ask(target=f"/{kind}/{n}", headers=accept)
                    assert (r.status, r.complete, r.get("Content-Encoding")) == (200, True, name), r
                    assert r.is_chunked and not r.has("Content-Length") and decode(r) == bodies[n], (kind, n)
                    assert len(r.body) < n and r.all("Vary") == ["Accept-Encoding"], r
            for kind, body in (("noise", noise), ("far", whole)):
                assert decode(c.ask(target=f"/{kind}/", headers=accept)) == body
        n = 3 * len(part(sizes))
        log = w.log(2 * (n + 2))
        assert {(x["status"], x["end"], x["encoding"]) for x in log} == {(200, "ok", "gzip"), (200, "ok", "zstd")}
        assert all(x["bytes_out"] < int(x["target"].split("/")[2]) for x in log[:n])


def test_empty_and_short():
    def handler(c, r):
        n = int(r.target[2:])
        if r.target[1] == "c":
            c.chunked_head()
            if n:
                c.chunk(b"x" * n)
            c.last_chunk()
        else:
            c.answer(b"x" * n, headers=[("Content-Type", "text/plain")])
    with weir(Origin(handler)) as w:
        c = Client(w)
        for n in (0, 1, 1023):
            r = c.ask(target=f"/l{n}", headers=GZIP)
            assert is_plain(r, b"x" * n) and not r.has("Vary"), r
            for accept in (GZIP, ZSTD):
                r = c.ask(target=f"/c{n}", headers=accept)
                assert r.has("Content-Encoding") and decode(r) == b"x" * n, (n, r)
        assert c.ask(target="/l1024", headers=GZIP).has("Content-Encoding")


def test_what_a_client_wants():
    rows = [
        (None, None), ("", None), ("identity", None), ("br", None), ("gzip", "gzip"), ("x-gzip", "gzip"),
        ("GZIP", "gzip"), ("zstd", "zstd"), ("gzip, zstd", "zstd"), ("gzip;q=1.0, zstd;q=0.9", "gzip"),
        ("*", "zstd"), ("*;q=0", None), ("gzip;q=0", None), ("zstd;q=0, *", "gzip"),
        ("identity, gzip;q=0.5", None), ("identity;q=0, gzip;q=0.001", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate", "gzip"),
    ]
    with weir(server()) as w:
        c = Client(w)
        for accept, want in rows:
            r = c.ask(headers={} if accept is None else {"Accept-Encoding": accept})
            assert r.get("Content-Encoding") == want and decode(r) == BODY, (accept, r)
            assert r.all("Vary") == ["Accept-Encoding"], (accept, r)
        r = c.ask(headers=[("Accept-Encoding", "br"), ("accept-encoding", "gzip")])
        assert r.get("Content-Encoding") == "gzip"
        # RFC 9111 5.2.1.6
        assert is_plain(c.ask(headers={**GZIP, "Cache-Control": "no-transform"}))
        # Who cannot tell where a chunked body ends.
        r = get(w, headers=GZIP, version="1.0")
        assert is_plain(r) and r.get("Vary") == "Accept-Encoding"


def test_what_goes_as_it_is():
    rows = [
        {"type": "image/png"}, {"type": "application/octet-stream"}, {"type": "text/event-stream"},
        {"type": "text/event-stream; charset=utf-8"},
        {"headers": [("Content-Encoding", "gzip")]}, {"headers": [("Content-Encoding", "br")]},
        {"headers": [("Cache-Control", "public, no-transform")]},
        {"headers": [("Content-Digest", "sha-256=:AAAA:")]}, {"headers": [("Repr-Digest", "sha-256=:AAAA:")]},
        {"headers": [("Digest", "md5=AAAA")]}, {"headers": [("Content-MD5", "AAAA")]},
    ]
    for row in rows:
        with weir(server(**row)) as w:
            r = get(w, headers=GZIP)
            assert r.complete and r.body == BODY and not r.has("Vary"), (row, r)
            assert r.all("Content-Encoding") == [v for n, v in row.get("headers", ())
                                                 if n == "Content-Encoding"], (row, r)
            assert "encoding" not in w.last()
    with weir(server(headers=[("Content-Encoding", "identity")])) as w:
        r = get(w, headers=GZIP)
        assert r.all("Content-Encoding") == ["gzip"] and decode(r) == BODY, r
    with weir(server(status="404 Not Found")) as w:
        r = get(w, headers=GZIP)
        assert r.status == 404 and decode(r) == BODY and r.has("Content-Encoding"), r
    with weir(server(), route="max_body: 1MB") as w:
        r = get(w, headers=GZIP)
        assert is_plain(r) and not r.has("Vary"), r


def test_rules_of_a_route():
    with weir(server(type="Application/Problem+JSON"), route='compress: {types: ["*"], encodings: gzip}') as w:
        assert get(w, headers={"Accept-Encoding": "gzip, zstd"}).get("Content-Encoding") == "gzip"
        assert is_plain(get(w, headers=ZSTD))
    with weir(server(type="application/problem+json"),
              route="compress: {min_size: 6000, encodings: [gzip, zstd]}") as w:
        assert is_plain(get(w, headers=GZIP))
    sizes = []
    for level in (1, 9):
        with weir(server(body=text(1 << 18)), route=f"compress: {{level: {level}}}") as w:
            sizes.append([len(get(w, headers=h).body) for h in (GZIP, ZSTD)])
    assert sizes[0][0] > sizes[1][0] and sizes[0][1] != sizes[1][1], sizes
    # Rules for fields come first: they can forbid it, and add to Vary.
    with weir(server(), route=ROUTE + ", response_headers: {set: {Cache-Control: no-transform}}") as w:
        assert is_plain(get(w, headers=GZIP))
    # Our own answers too.
    with Weir(conf(routes="[{path: /t, respond: {body: \"" + "all work " * 500 + "\"}, compress: gzip}, "
                          "{path: /s, respond: {body: short}, compress: gzip}, "
                          "{path: /l, respond: {body: " + "x" * 70000 + "}, compress: gzip}, {path: /, upstream: up}]"),
              server()) as w:
        r = get(w, "/t", headers=GZIP)
        assert r.get("Content-Encoding") == "gzip" and decode(r) == b"all work " * 500, r
        assert is_plain(get(w, "/s", headers=GZIP), b"short")
        r = get(w, "/l", headers=GZIP)          # longer than one share of a turn
        assert is_plain(r, b"x" * 70000) and not r.has("Vary"), r


def test_fields():
    fields = [("ETag", '"v1"'), ("Accept-Ranges", "bytes"), ("Vary", "Origin"), ("Last-Modified", "x")]
    with weir(server(headers=fields)) as w:
        r = get(w, headers=GZIP)
        assert r.get("ETag") == 'W/"v1"' and not r.has("Accept-Ranges") and r.get("Last-Modified") == "x", r
        assert r.all("Vary") == ["Origin, Accept-Encoding"], r
        plain = get(w)
        assert plain.get("ETag") == '"v1"' and plain.get("Accept-Ranges") == "bytes", plain
        assert plain.all("Vary") == ["Origin, Accept-Encoding"] and plain.get("Content-Length") == "5000", plain
    for vary in ("*", "accept-encoding", "X, ACCEPT-ENCODING"):
        with weir(server(headers=[("Vary", vary), ("ETag", 'W/"w"')])) as w:
            r = get(w, headers=GZIP)
            assert r.all("Vary") == [vary] and r.get("ETag") == 'W/"w"' and r.has("Content-Encoding"), r
    with weir(server(headers=[("ETag", "bare")])) as w:
        assert not get(w, headers=GZIP).has("ETag") and get(w).get("ETag") == "bare"


def test_head():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nContent-Length: 5000\r\n\r\n")
        if r.method != "HEAD":
            c.send(BODY)
    with weir(Origin(handler)) as w:
        c = Client(w)
        r = c.ask("HEAD", headers=GZIP)
        assert (r.get("Content-Encoding"), r.get("ETag"), r.get("Vary")) == ("gzip", 'W/"a"', "Accept-Encoding"), r
        assert not r.has("Content-Length") and not r.is_chunked, r
        r = c.ask("HEAD")
        assert r.get("Content-Length") == "5000" and r.get("Vary") == "Accept-Encoding", r
        assert decode(c.ask(headers=GZIP)) == BODY         # the connection is where it should be


def test_not_modified():
    def handler(c, r):
        tags = r.get("If-None-Match", "")
        if '"v1"' in tags:
            return c.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n")
        c.answer(BODY, headers=[("Content-Type", "text/plain"), ("ETag", '"v1"')])
    o = Origin(handler)
    with weir(o) as w:
        c = Client(w)
        tag = c.ask(headers=GZIP).get("ETag")
        r = c.ask(headers={**GZIP, "If-None-Match": tag})
        assert (r.status, r.get("ETag"), r.get("Vary")) == (304, 'W/"v1"', "Accept-Encoding"), r
        assert o.requests[-1].get("If-None-Match") == 'W/"v1"'
        assert o.requests[-1].get("Accept-Encoding") == "gzip"
        r = c.ask(headers={**GZIP, "If-None-Match": '"v1"'})
        assert (r.status, r.get("ETag")) == (304, '"v1"'), r
        assert not r.has("Content-Encoding") and not r.has("Content-Length")


def test_ranges():
    def handler(c, r):
        if r.has("Range"):
            return c.answer(BODY[1000:3000], "206 Partial Content",
                            [("Content-Type", "text/plain"), ("Content-Range", "bytes 1000-2999/5000"),
                             ("ETag", '"v"')])
        c.answer(BODY, headers=[("Content-Type", "text/plain")])
    with weir(Origin(handler)) as w:
        r = get(w, headers={**GZIP, "Range": "bytes=1000-2999"})
        assert r.status == 206 and is_plain(r, BODY[1000:3000]) and r.get("ETag") == '"v"', r
        assert r.get("Vary") == "Accept-Encoding", r
    with weir(server(status="204 No Content", body=b"")) as w:
        r = get(w, headers=GZIP)
        assert r.status == 204 and not r.has("Content-Encoding") and not r.has("Vary"), r


def test_trailers():
    def handler(c, r):
        c.chunked_head(headers=[("Trailer", "X-Sum")])
        c.chunk(BODY)
        c.send(b"0\r\nX-Sum: 7\r\nContent-Digest: sha-256=:x:\r\n\r\n")
    with weir(Origin(handler)) as w:
        r = get(w, headers=GZIP)
        assert r.trailers == [("X-Sum", "7")] and decode(r) == BODY, r.trailers
        assert get(w).trailers == [("X-Sum", "7"), ("Content-Digest", "sha-256=:x:")]


def stream_of(c, decoder):
    """Reads chunks of an answer whose head was read, decoded as they come."""
    def until(want, had=b""):
        while want not in had:
            size = int(c.recv_until(b"\r\n"), 16)
            assert size > 0, (want, had)
            had += decoder.feed(c.recv_exactly(size))
            c.recv_exactly(2)
        return had
    return until


def test_token_by_token():
    """Each line of an NDJSON stream is there to be read before the server writes the next."""
    steps = [Gate() for _ in range(20)]

    def handler(c, r):
        c.chunked_head("application/x-ndjson")
        for i, gate in enumerate(steps):
            c.chunk(b'{"response": "token %d", "done": false}\n' % i)
            gate.wait()
        c.last_chunk()
    for name in DECODERS:
        for gate in steps:
            gate.event.clear()
        with weir(Origin(handler)) as w:
            c = Client(w).request(headers={"Accept-Encoding": name})
            r = c.recv_head()
            assert r.get("Content-Encoding") == name
            d = DECODERS[name]()
            until = stream_of(c, d)
            for i, gate in enumerate(steps):
                got = until(b"token %d\"" % i)
                assert got.endswith(b"false}\n") and got.count(b"token") == 1, got
                gate.open()
            size = int(c.recv_until(b"\r\n"), 16)
            assert d.feed(c.recv_exactly(size)) == b"" and d.is_whole
            assert c.recv_until(b"\r\n0\r\n\r\n")


def test_server_dies():
    def handler(c, r):
        c.chunked_head("application/json")
        c.chunk(BODY)
        if r.target == "/later":
            gate.wait()
        c.reset() if r.target == "/reset" else c.close()
    gate = Gate()
    with weir(Origin(handler), up="max_fails: 0") as w:
        for name in DECODERS:
            c = Client(w).request(target="/later", headers={"Accept-Encoding": name})
            c.recv_head()
            d = DECODERS[name]()
            assert stream_of(c, d)(BODY) == BODY
            gate.open()
            assert c.recv_all() == b"" and not d.is_whole       # no tail, no last chunk
            # What came in the turn in which the server died is passed on all the same.
            r = get(w, target="/now", headers={"Accept-Encoding": name})
            d = DECODERS[name]()
            assert not r.complete and d.feed(b"".join(r.chunks)) == BODY and not d.is_whole, r
        assert {x["end"] for x in w.log(4)} == {"body_cut"}


def test_client_leaves():
    o = Origin(lambda c, r: (c.chunked_head(), c.chunk(BODY), c.wait_gone()))
    with weir(o) as w:
        for i in range(20):
            c = Client(w).request(headers=GZIP if i % 2 else ZSTD)
            c.recv_head()
            c.reset() if i % 3 else c.close()
        eventually(lambda: not o.open_conns, what="the server's connections are closed")
        assert {x["end"] for x in w.log(20)} == {"client_abort"}


def rss(w):
    with open(f"/proc/{w.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def endless(c, r):
    c.chunked_head()
    block = os.urandom(1 << 16)
    while True:
        c.chunk(block)


def test_slow_readers():
    """Who does not read stops its server: memory is bounded, and all comes in the end."""
    body = os.urandom(24 << 20)
    o = Origin(lambda c, r: c.answer(body, headers=[("Content-Type", "text/plain")]))
    with weir(o) as w:
        # What a first one takes: tables, libraries.
        assert decode(get(w, headers=GZIP)) == body and decode(get(w, headers=ZSTD)) == body
        before = rss(w)
        cs = [Client(w, rcvbuf=4096, timeout=40).request(headers=GZIP if i % 2 else ZSTD) for i in range(6)]
        for c in cs:
            c.recv_head()
        steady(lambda: sum(x.sent for x in o.conns), quiet=1)
        assert max(x.sent for x in o.conns[2:]) < len(body), "nobody was stopped"
        grown = rss(w) - before
        assert VALGRIND or grown < 6 * (3 << 20), f"{grown} bytes for six"
        for c, name in zip(cs[:2], ("zstd", "gzip")):
            m = Response(b"HTTP/1.1 200 OK\r\nContent-Encoding: " + name.encode() + b"\r\n\r\n")
            c.read_chunks(m)
            assert decode(m) == body


def test_others_have_their_turn():
    """Long answers under way at once do not keep a short one waiting for their end."""
    o = Origin(lambda c, r: endless(c, r) if r.target == "/long" else c.answer(BODY, headers=[
        ("Content-Type", "text/plain")]))
    with weir(o) as w:
        cs = [Client(w).request(target="/long", headers=GZIP) for _ in range(8)]
        drains = [Background(c.recv_all) for c in cs]
        eventually(lambda: len(o.requests) == 8)
        for _ in range(20):
            assert decode(get(w, headers=GZIP)) == BODY
        for c in cs:
            c.sock.shutdown(socket.SHUT_RDWR)
        for d in drains:
            d.result()


def test_no_coder_left():
    """Beyond 256 at a time answers go as they are, and the log says so; then it is as before."""
    gate = Gate()
    o = Origin(lambda c, r: (c.chunked_head(), c.chunk(BODY), gate.wait(60), c.last_chunk()))
    with weir(o, extra='admin: {listen: "$ADMIN"}', ADMIN=f"127.0.0.1:{free_port()}") as w:
        cs = [Client(w, timeout=30).request(headers=ZSTD if i % 2 else GZIP) for i in range(258)]
        heads = [c.recv_head() for c in cs]
        assert sum(h.has("Content-Encoding") for h in heads) == 256
        assert all(h.get("Vary") == "Accept-Encoding" for h in heads)
        assert "256 answers are being compressed" in w.stderr
        gate.open()
        for c, h in zip(cs, heads):
            c.read_chunks(h)
            assert decode(h) == BODY
        assert get(w, headers=GZIP).has("Content-Encoding")
        page = get(w.names["ADMIN"], "/metrics").body.decode()
        n = {k: int(v) for k, v in re.findall(r"^weir_compress(\S+) (\d+)$", page, re.M)}
        both = ('="gzip"', '="zstd"')
        assert n['ed_answers_total{encoding="none"}'] == 2 and n["ing"] == 0, n
        assert sum(n["ed_answers_total{encoding%s}" % e] for e in both) == 257, n
        assert sum(n['ed_bytes_total{encoding%s,side="in"}' % e] for e in both) == 257 * len(BODY), n
        sent = sum(x["bytes_out"] for x in w.log(259) if "encoding" in x)
        assert sum(n['ed_bytes_total{encoding%s,side="out"}' % e] for e in both) == sent, n


def test_curl():
    """A real client, and zstd's own program."""
    o = server(body=text(1 << 20), type="text/html")
    with weir(o) as w, folder() as d:
        path = os.path.join(d, "got")
        url = f"http://{w.addr}/"
        subprocess.run(["curl", "-sS", "--compressed", "-o", path, url], check=True, timeout=20 * SLOW)
        with open(path, "rb") as f:
            assert f.read() == text(1 << 20)
        subprocess.run(["curl", "-sS", "-H", "Accept-Encoding: zstd", "-o", path, url], check=True,
                       timeout=20 * SLOW)
        got = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True, timeout=20 * SLOW).stdout
        assert got == text(1 << 20)
        assert [x["encoding"] for x in w.log(2)][1] == "zstd" and "encoding" in w.log(2)[0]


def test_tunnel():
    def handler(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n"
               b"Content-Type: text/plain\r\n\r\n" + BODY)
        c.wait_gone()
    with weir(Origin(handler)) as w:
        c = Client(w).request(headers={**GZIP, "Connection": "upgrade", "Upgrade": "echo"})
        r = c.recv_head()
        assert r.status == 101 and not r.has("Content-Encoding") and not r.has("Vary"), r
        assert c.recv_exactly(len(BODY)) == BODY


if __name__ == "__main__":
    main()
