# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 120
import hashlib

MB = 1 << 20


def test_max_body_known():
    o = Origin()
    with Weir(conf(route="max_body: 10KB"), o) as w:
        assert get(w, method="POST", body=b"x" * 10240).status == 200
        n = len(o.heads)
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10241\r\n\r\n")
        r = c.recv_response()           # before any of it was sent
        assert r.status == 413 and len(o.heads) == n, r
        assert w.last(2)["end"] == "body_too_large", w.last(2)


def test_max_body_chunked():
    o = Origin()
    with Weir(conf(route="max_body: 10KB"), o) as w:
        assert get(w, method="POST", body=[b"x" * 5000, b"y" * 5240], chunked=True).status == 200
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\n")
        eventually(lambda: len(o.heads) == 2)
        c.send(b"1771\r\n" + b"y" * 6001 + b"\r\n")
        r = c.recv_response()
        assert r.status == 413 and r.get("Connection") == "close", r
        eventually(lambda: o.conns[-1].gone, what="the server's connection is closed")
        assert len(o.requests) == 1
        assert w.last(2)["end"] == "body_too_large"


def test_413_reaches_a_client_that_goes_on_sending():
    o = Origin()
    with Weir(conf(route="max_body: 1KB"), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150000)
        assert c.recv_response().status == 413


def big(total, piece=b"0123456789abcdef" * 4096):
    """Pieces of a body, each different."""
    sent = 0
    while sent < total:
        p = (b"%16d" % sent + piece)[:min(len(piece), total - sent)]
        sent += len(p)
        yield p


def digest(pieces):
    h = hashlib.sha256()
    for p in pieces:
        h.update(p)
    return h.hexdigest()


def both_ways(chunked):
    total = 50 * MB
    up = {}

    def handler(c, r):
        if r.target == "/after":
            c.answer("after")
            return
        h, n = hashlib.sha256(), 0
        if r.is_chunked:
            while True:
                size = int(c.recv_until(b"\r\n").split(b";")[0], 16)
                if size == 0:
                    c.recv_until(b"\r\n")
                    break
                left = size
                while left:
                    if not c.buf:
                        c.fill(1 << 20)
                    d = c.take(left)
                    left -= len(d)
                    h.update(d)
                    n += len(d)
                assert c.recv_exactly(2) == b"\r\n"
        else:
            left = int(r.get("Content-Length"))
            while left:
                if not c.buf:
                    c.fill(1 << 20)
                d = c.take(left)
                left -= len(d)
                h.update(d)
                n += len(d)
        up["got"] = (n, h.hexdigest())
        if chunked:
            c.chunked_head()
            for p in big(total):
                c.chunk(p)
            c.last_chunk()
        else:
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            for p in big(total):
                c.send(p)
    o = Origin(handler, read_body=False)
    with Weir(conf(route="max_body: 1GB"), o) as w:
        want = digest(big(total))
        c = Client(w)
        if chunked:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for p in big(total):
                c.send(b"%x\r\n%s\r\n" % (len(p), p))
            c.send(b"0\r\n\r\n")
        else:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
            for p in big(total):
                c.send(p)
        h, n = hashlib.sha256(), 0
        r = c.recv_head()
        assert r.status == 200
        if chunked:
            while True:
                size = int(c.recv_until(b"\r\n"), 16)
                d = c.recv_exactly(size)
                c.recv_exactly(2)
                h.update(d)
                n += size
                if size == 0:
                    break
        else:
            while n < total:
                d = c.recv_some()
                h.update(d)
                n += len(d)
        assert up["got"] == (total, want), up
        assert (n, h.hexdigest()) == (total, want)
        line = w.last()
        assert (line["bytes_in"], line["bytes_out"], line["end"]) == (total, total, "ok"), line
        assert c.ask(target="/after").body == b"after"


def test_50_mb_counted():
    both_ways(False)


def test_50_mb_chunked():
    both_ways(True)


def test_slow_reader_stops_the_server():
    total = 200 * MB
    progress = [0]

    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for p in big(total):
            c.send(p)
            progress[0] += len(p)
    o = Origin(handler, sndbuf=65536)
    with Weir(conf(), o) as w:
        c = Client(w, rcvbuf=32768)
        c.request()
        stopped = steady(lambda: progress[0])
        assert stopped < 72 * MB, f"{stopped} bytes taken from the server while the client reads nothing"
        # Others are served meanwhile.
        assert get(w, "/other", method="HEAD").status == 200
        # A little read lets a little through; nothing is lost.
        r = c.recv_head()
        h, n = hashlib.sha256(), 0
        while n < 80 * MB:
            d = c.recv_some()
            h.update(d)
            n += len(d)
        eventually(lambda: progress[0] > stopped)
        want = hashlib.sha256()
        left = n
        for p in big(total):
            want.update(p[:left])
            left -= len(p[:left])
            if left == 0:
                break
        assert h.hexdigest() == want.hexdigest()
        assert r.status == 200
        c.reset()
        eventually(lambda: o.conns[0].gone)


def test_slow_server_stops_the_client():
    gate = Gate()
    total = 200 * MB
    sent = [0]
    got = []

    def handler(c, r):
        gate.wait()
        h, left = hashlib.sha256(), total
        while left:
            if not c.buf:
                c.fill(1 << 20)
            d = c.take(left)
            left -= len(d)
            h.update(d)
        got.append(h.hexdigest())
        c.answer("done")
    o = Origin(handler, read_body=False)
    with Weir(conf(route="max_body: 1GB"), o) as w:
        c = Client(w, timeout=60)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

        def push():
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
            for p in big(total):
                c.send(p)
                sent[0] += len(p)
        t = Background(push)
        stopped = steady(lambda: sent[0])
        assert stopped < 72 * MB, f"{stopped} bytes taken from the client while the server reads nothing"
        gate.open()
        t.result()
        assert c.recv_response().body == b"done"
        assert got == [digest(big(total))]


def test_slow_writer():
    o = Origin(lambda c, r: c.answer(r.body))
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
        eventually(lambda: o.heads)             # streamed: the head is there before the body
        for i in range(20):
            c.send(b"%d" % (i % 10))
            eventually(lambda: o.conns[0].raw.endswith(b"0123456789"[:i % 10 + 1]))
        assert c.recv_response().body == b"01234567890123456789"


def test_server_answers_before_the_body_is_read():
    def handler(c, r):
        c.answer("early", "403 Forbidden")
        c.wait_gone()
    o = Origin(handler, read_body=False)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        r = c.recv_response()
        assert (r.status, r.body) == (403, b"early")
        # The unfinished request never shares its connection with another.
        r2 = get(w, "/2", method="HEAD")
        assert r2.status == 403 and len(o.conns) == 2
        assert eventually(lambda: o.conns[0].gone)


def test_server_answers_early_and_closes():
    def handler(c, r):
        c.answer("too large", "413 Too Large", [("Connection", "close")])
        c.close()
    o = Origin(handler, read_body=False)
    with Weir(conf(up="retry: {tries: 1}"), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 1000)
        r = c.recv_response()
        assert (r.status, r.body) == (413, b"too large"), r


if __name__ == "__main__":
    main()
