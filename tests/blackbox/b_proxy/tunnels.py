# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

ASK = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n" \
      b"Sec-WebSocket-Version: 13\r\n\r\n"
YES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n"


def echo(c, r):
    c.send(YES)
    while True:
        c.send(c.recv_some())


def test_both_ways():
    o = Origin(echo)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        r = c.recv_response()
        assert (r.status, r.get("Upgrade"), r.get("Sec-WebSocket-Accept")) == (101, "websocket", "a"), r
        assert "upgrade" in r.get("Connection", "").lower() and not r.has("Transfer-Encoding"), r
        q = o.requests[0]
        assert q.get("Upgrade") == "websocket" and "upgrade" in q.get("Connection").lower()
        assert q.get("Sec-WebSocket-Key") == "k"
        for data in (b"\x81\x00", b"hello", bytes(range(256)) * 1000):
            c.send(data)
            assert c.recv_exactly(len(data)) == data
        c.close()
        eventually(lambda: o.conns[0].gone)
        line = w.last()
        assert line["status"] == 101, line
        assert line["bytes_in"] == line["bytes_out"] == 2 + 5 + 256000, line


def test_server_speaks_first():
    def handler(c, r):
        c.send(YES + b"welcome")
        c.wait_gone()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        assert c.recv_exactly(7) == b"welcome"


def test_early_bytes_wait_for_the_101():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        assert c.buf == b"" and not select.select([c.sock], [], [], 0)[0], "bytes before the 101"
        c.send(YES)
        while True:
            c.send(c.recv_some())
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK + b"early")
        o.wait()
        c.send(b" bird")
        gate.open()
        assert c.recv_response().status == 101
        assert c.recv_exactly(10) == b"early bird"
        assert o.errors == []


def test_refused_upgrade_is_an_ordinary_answer():
    def handler(c, r):
        c.answer("no", "400 Bad Request") if r.target == "/ws" else c.answer("yes")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        r = c.recv_response()
        assert (r.status, r.body) == (400, b"no")
        assert c.ask().body == b"yes"


def test_early_bytes_after_a_refused_upgrade_are_a_request():
    def handler(c, r):
        c.answer(r.target)
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert c.recv_response().body == b"/ws"
        assert c.recv_response().body == b"/next"


def test_half_close_by_the_client():
    got = []

    def handler(c, r):
        c.send(YES)
        got.append(c.recv_all())
        c.send(b"goodbye")
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        c.send(b"last words")
        c.shutdown()
        assert c.recv_all() == b"goodbye" and c.eof == "fin"
        assert got == [b"last words"]
        assert w.last()["status"] == 101 and w.last()["end"] == "ok", w.last()


def test_half_close_by_the_server():
    got = []

    def handler(c, r):
        c.send(YES + b"bye")
        c.sock.shutdown(socket.SHUT_WR)
        got.append(c.recv_all())
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        assert c.recv_all() == b"bye" and c.eof == "fin"
        c.send(b"and still ")
        c.send(b"here")
        c.shutdown()
        eventually(lambda: got)
        assert got == [b"and still here"]
        assert w.last()["end"] == "ok", w.last()


def test_client_vanishes():
    o = Origin(echo)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        c.reset()
        eventually(lambda: o.conns[0].gone)
        w.log(1)


def test_server_vanishes():
    gate = Gate()

    def handler(c, r):
        c.send(YES)
        gate.wait()
        c.reset()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        gate.open()
        c.wait_closed()
        w.log(1)


def test_idle_counts_only_when_neither_side_sends():
    o = Origin(echo)
    with Weir(conf(up="timeouts: {idle: 700ms}"), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            c.send(b"x")
            c.recv_exactly(1)
            time.sleep(0.1)                     # the traffic that keeps it alive
        assert not c.is_closed()
        c.wait_closed()
        assert w.last()["end"] == "tunnel_idle", w.last()


def test_a_slow_reader_of_a_tunnel():
    sent = [0]
    total = 200 << 20

    def handler(c, r):
        c.send(YES)
        while sent[0] < total:
            c.send(b"x" * 65536)
            sent[0] += 65536
        c.close()
    o = Origin(handler, sndbuf=65536)
    with Weir(conf(), o) as w:
        c = Client(w, rcvbuf=32768)
        c.send(ASK)
        stopped = steady(lambda: sent[0])
        assert stopped < 72 << 20, stopped
        c.recv_response()
        n = 0
        try:
            while True:
                n += len(c.recv_some())
        except Closed as e:
            assert not e.reset
        assert n == total, n


def test_server_ends_and_then_vanishes():
    """A reset ends both directions, also behind the end of one: a client that goes on sending is told."""
    gate = Gate()

    def handler(c, r):
        c.send(YES + b"bye")
        c.sock.shutdown(socket.SHUT_WR)
        gate.wait()
        c.reset()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK)
        c.recv_response()
        assert c.recv_all() == b"bye"
        gate.open()

        def ends():
            try:
                c.send(b"x")
            except OSError:
                return True
            return bool(w.lines())
        eventually(ends, what="the tunnel ends")
        assert w.last()["status"] == 101, w.last()


def test_last_words_before_the_101():
    """What a client sends and its FIN, both before there is a tunnel, reach the server behind the 101."""
    gate = Gate()
    got = []

    def handler(c, r):
        gate.wait()
        c.send(YES)
        got.append(c.recv_all())
        c.send(b"goodbye")
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(ASK + b"last words")
        c.shutdown()
        o.wait()
        gate.open()
        assert c.recv_response().status == 101
        assert c.recv_all() == b"goodbye"
        assert got == [b"last words"]


def test_101_to_what_was_not_offered():
    """RFC 9110 7.8: to nothing, to another protocol, to h2c; case does not matter."""
    for upgrade, good in (("", False), ("Upgrade: other\r\n", False), ("Upgrade: h2c\r\n", False),
                          ("Upgrade: websocket, other\r\n", False), ("Upgrade: WebSocket\r\n", True)):
        def handler(c, r, upgrade=upgrade):
            c.send(f"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n{upgrade}\r\nhello".encode())
            c.wait_gone()
        o = Origin(handler)
        with Weir(conf(up="retry: {tries: 1}"), o) as w:
            c = Client(w)
            c.send(ASK)
            r = c.recv_response()
            assert r.status == (101 if good else 502), (upgrade, r)
            if not good:
                assert w.last()["end"] == "bad_response", w.last()
                eventually(lambda o=o: o.conns[0].gone)


def test_101_in_the_middle_of_a_request():
    o = Origin(lambda c, r: c.send(YES + b"hello"), read_body=False)
    with Weir(conf(up="retry: {tries: 1}"), o) as w:
        c = Client(w)
        c.send(b"POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert c.recv_response().status == 502
        assert w.last()["end"] == "bad_response", w.last()


def test_101_nobody_asked_for():
    o = Origin(lambda c, r: c.send(YES + b"x"))
    with Weir(conf(up="retry: {tries: 1}"), o) as w:
        assert get(w).status == 502
        assert w.last()["end"] == "bad_response"
        eventually(lambda: o.conns[0].gone)


if __name__ == "__main__":
    main()
