# SPDX-License-Identifier: MIT
"""What clients and servers say to each other through TLS: long, slow, cut and never ending."""
import hashlib
# limit: 120
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403
from codings import decode  # noqa: E402

ca = Authority()
pair = ca.issue("a.example")


def weir(*origins, **more):
    return Weir(conf(listen=listen(pair), **more), *origins)


def random_bytes(n):
    return os.urandom(1 << 16) * (n >> 16)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_big_answers():
    data = random_bytes(24 << 20)

    def handler(c, r):
        if r.target == "/counted":
            c.answer(data)
        else:
            c.chunked_head()
            for i in range(0, len(data), 300001):
                c.chunk(data[i:i + 300001])
            c.last_chunk()
    with weir(Origin(handler)) as w:
        for version in ("1.2", "1.3"):
            c = TlsClient(w, context=client_context(ca, version=version))
            for target in ("/counted", "/chunked"):
                r = c.ask(target=target)
                assert r.complete and digest(r.body) == digest(data), (target, len(r.body))


def test_encoded_answers():
    data = random_bytes(2 << 20) + b"the same again and again " * 200000

    def handler(c, r):
        c.chunked_head()
        for i in range(0, len(data), 300001):
            c.chunk(data[i:i + 300001])
        c.last_chunk()
    with weir(Origin(handler), route="compress: [zstd, gzip]") as w:
        for version in ("1.2", "1.3"):
            c = TlsClient(w, context=client_context(ca, version=version))
            for name in ("gzip", "zstd"):
                r = c.ask(headers={"Accept-Encoding": name})
                assert r.complete and r.get("Content-Encoding") == name and decode(r) == data, r


def test_big_requests():
    data = random_bytes(24 << 20)
    o = Origin(lambda c, r: c.answer(digest(r.body)))
    with weir(o) as w:
        for version in ("1.2", "1.3"):
            c = TlsClient(w, context=client_context(ca, version=version))
            assert c.ask("POST", body=data).body.decode() == digest(data)
            assert c.ask("POST", body=[data[:1], data[1:70000], data[70000:]], chunked=True).body.decode() == digest(data)


def test_both_ways_at_once():
    def echo(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        while True:
            c.send(c.recv_some())
    data = random_bytes(8 << 20)
    with weir(Origin(echo)) as w:
        c = TlsClient(w, ca=ca)
        c.request(headers={"Connection": "upgrade", "Upgrade": "x"})
        assert c.recv_response().status == 101
        # One thread for both ways: an SSL object is no thing for two.
        got, sent = bytearray(), 0
        c.sock.setblocking(False)
        while len(got) < len(data):
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if sent < len(data):
                    sent += c.sock.send(data[sent:sent + 16384])
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                got += c.sock.recv(65536)
            select.select([c.sock], [c.sock] if sent < len(data) else [], [], 0.1)
        assert digest(bytes(got)) == digest(data)


def test_many_small_pieces():
    n = 3000

    def handler(c, r):
        c.chunked_head("text/event-stream")
        for i in range(n):
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    with weir(Origin(handler)) as w:
        r = TlsClient(w, ca=ca).ask()
        assert r.complete and r.body == b"".join(b"data: %d\n\n" % i for i in range(n))


def test_each_token_comes_at_once():
    gates = [Gate() for _ in range(5)]

    def handler(c, r):
        c.chunked_head("text/event-stream")
        for i, g in enumerate(gates):
            g.wait()
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    with weir(Origin(handler)) as w:
        for version in ("1.2", "1.3"):
            for g in gates:
                g.event.clear()
            c = TlsClient(w, context=client_context(ca, version=version)).request()
            for i, g in enumerate(gates):
                g.open()
                c.recv_until(b"data: %d\n\n" % i)
            c.recv_until(b"0\r\n\r\n")


def test_a_token_is_one_record():
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.chunk(b"data: 2\n\n")
        c.last_chunk()
    with weir(Origin(handler)) as w:
        m = Memory(w, ca=ca).handshake()
        m.carry(m.seal(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        m.read_until(b"data: 1\n\n")
        had = m.raw.received
        gate.open()
        m.read_until(b"0\r\n\r\n")
        # Chunk line, data, CRLF and the last chunk: one or two records of 22 bytes overhead each.
        assert m.raw.received - had < 120, m.raw.received - had


def test_a_slow_client_holds_its_server():
    data = b"x" * (64 << 20)
    o = Origin(lambda c, r: c.answer(data), sndbuf=65536)
    with weir(o) as w:
        c = TlsClient(w, ca=ca, rcvbuf=65536)
        fast = TlsClient(w, ca=ca)
        c.request()
        eventually(lambda: o.conns and o.conns[0].sent > 0)
        sent = steady(lambda: o.conns[0].sent)
        # What the kernel takes on the way is its own affair, and may be ten megabytes.
        assert sent < len(data) // 2, sent
        assert fast.request("HEAD").recv_response("HEAD").status == 200
        r = c.recv_response()
        assert r.complete and len(r.body) == len(data)


def test_a_slow_server_holds_its_client():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer(str(len(c.read_body(r))))
    o = Origin(handler, read_body=False, rcvbuf=65536)
    with weir(o, route="max_body: 0") as w:
        c = TlsClient(w, ca=ca)
        c.sock.settimeout(None)
        total = 48 << 20
        push = Background(c.request, "POST", body=b"y" * total)
        eventually(lambda: o.heads)
        steady(lambda: o.conns[0].received)
        assert push.is_alive()
        gate.open()
        push.result()
        c.sock.settimeout(20)
        assert c.recv_response().body == b"%d" % total


def test_the_client_leaves():
    """In each of the ways a client may, the server is told in mid-stream."""
    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        assert c.wait_gone()
    for how in ("close_notify", "fin", "rst"):
        o = Origin(handler)
        with weir(o) as w:
            c = TlsClient(w, ca=ca).request()
            c.recv_until(b"data: 1\n\n")
            if how == "close_notify":
                c.unwrap()
            else:
                if how == "rst":
                    set_reset(c.sock)
                os.close(c.sock.detach())
            eventually(lambda: o.conns[0].gone, what=f"the server is told ({how})")
            assert w.last()["end"] == "client_abort", (how, w.last())


def test_the_client_leaves_before_the_first_byte():
    o = Origin(lambda c, r: c.wait_gone())
    with weir(o) as w:
        c = TlsClient(w, ca=ca).request()
        o.wait()
        os.close(c.sock.detach())
        eventually(lambda: o.conns[0].gone)
        assert w.last()["end"] == "client_abort"


def test_the_server_dies():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        c.reset()
    with weir(Origin(handler), up="retry: {tries: 1}") as w:
        c = TlsClient(w, ca=ca).request()
        r = c.recv_response()
        assert not r.complete and r.body == b"half"


def test_ends_are_said():
    """close_notify stands behind a whole answer, and never behind one that was cut."""
    def handler(c, r):
        if r.target == "/whole":
            c.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            c.close()
        else:
            c.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
            c.recv_until(b"never")
    gone = conf(listen=listen(pair), up="retry: {tries: 1}, timeouts: {idle: 300ms}")
    with Weir(gone, Origin(handler)) as w:
        c = TlsClient(w, ca=ca).request(target="/whole", version="1.0")
        assert c.recv_response().body == b"all of it" and c.eof == "fin"
        c = TlsClient(w, ca=ca).request(target="/cut", version="1.0")
        c.recv_until(b"half of")
        assert c.wait_closed() != "fin", c.eof
        c = TlsClient(w, ca=ca).request(target="/whole", headers={"Connection": "close"})
        assert c.recv_response().body == b"all of it" and c.wait_closed() == "fin"


def test_idle_clients_are_told():
    with Weir(conf(listen=listen(pair), extra="client: {keepalive_timeout: 300ms}"), Origin()) as w:
        c = TlsClient(w, ca=ca)
        assert c.ask().status == 200
        assert c.wait_closed() == "fin"


def test_half_a_record():
    """It waits, and nothing else does."""
    o = Origin()
    with weir(o) as w:
        m = Memory(w, ca=ca).handshake()
        record = m.seal(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        m.raw.send(record[:9])
        assert TlsClient(w, ca=ca).ask(target="/now").status == 200
        m.raw.send(record[9:-1])
        assert TlsClient(w, ca=ca).ask(target="/now").status == 200
        assert o.targets() == ["/now"] * 2
        m.raw.send(record[-1:])
        assert b"200 OK" in m.read_until(b"origin")
        # The rest of a record never comes.
        m.raw.send(m.seal(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[:20])
        m.raw.shutdown()
        m.raw.wait_closed()
        assert len(o.requests) == 3


def test_requests_in_pieces():
    """Cut anywhere, many in a record or many records in a request: the same."""
    o = Origin()
    with weir(o) as w:
        m = Memory(w, ca=ca).handshake()
        m.carry(b"".join(m.seal(bytes([b])) for b in b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"))
        m.read_until(b"origin")
        m.carry(m.seal(b"".join(b"GET /p%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(5))))
        got = b""
        while got.count(b"origin") < 5:
            got += m.read()
        assert o.targets() == ["/1", "/p0", "/p1", "/p2", "/p3", "/p4"] and o.requests[0].body == b"hello"


def test_expect_continue():
    def handler(c, r):
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.answer(c.read_body(r))
    with weir(Origin(handler, read_body=False)) as w:
        c = TlsClient(w, ca=ca)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert c.recv_head().status == 100
        c.send(b"hello")
        assert c.recv_response().body == b"hello"


def test_what_servers_are_told():
    o = Origin()
    with Weir(conf(listen=listen(pair) + ', "127.0.0.1:$PORT2"', route="request_headers: {set: {X-S: $scheme}}"), o) as w:
        TlsClient(w, ca=ca).ask(headers={"X-Forwarded-Proto": "http"})
        get(f"127.0.0.1:{w.names['PORT2']}", headers={"X-Forwarded-Proto": "https"})
        assert [(r.get("X-Forwarded-Proto"), r.get("X-S"), r.get("X-Forwarded-Port")) for r in o.requests] == [
            ("https", "https", str(w.port)), ("http", "http", str(w.names["PORT2"]))]


def test_curl():
    data = random_bytes(3 << 20)
    o = Origin(lambda c, r: c.answer(r.body or b"hello"))
    with weir(o) as w, folder() as d:
        path = os.path.join(d, "body")
        with open(path, "wb") as f:
            f.write(data)
        url = f"https://a.example:{w.port}/"
        curl = ["curl", "-sS", "--cacert", ca.cert, "--resolve", f"a.example:{w.port}:127.0.0.1"]
        out = subprocess.run([*curl, url, url, "-w", "%{num_connects} %{http_version}\n"], capture_output=True,
                             timeout=20, check=True).stdout.decode()
        assert out == "hello1 1.1\nhello0 1.1\n", out
        out = subprocess.run([*curl, "--data-binary", "@" + path, url], capture_output=True, timeout=20, check=True).stdout
        assert digest(out) == digest(data)
        for version in ("--tlsv1.2 --tls-max 1.2", "--tlsv1.3"):
            assert subprocess.run([*curl, *version.split(), url], capture_output=True, timeout=20, check=True).stdout == b"hello"
        p = subprocess.run([*curl, "--tls-max", "1.1", url], capture_output=True, timeout=20, check=False)
        assert p.returncode != 0


if __name__ == "__main__":
    main()
