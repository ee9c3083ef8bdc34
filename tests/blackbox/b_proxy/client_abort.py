# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

FIN, RST = (lambda c: c.close()), (lambda c: c.reset())
WAYS = [FIN, RST]


def aborted(w, n=1, status=499):
    line = w.last(n)
    assert (line["status"], line["end"]) == (status, "client_abort"), line
    return line


def test_while_connecting():
    for way in WAYS:
        full = FullListener()
        with Weir(conf(), full) as w:
            before = pending_connects(full.port)
            c = Client(w).request()
            eventually(lambda: pending_connects(full.port) > before)
            way(c)
            line = aborted(w)
            assert line["tries"] == 1 and line.get("connect_ms") in (None, -1), line
            eventually(lambda: pending_connects(full.port) <= before, what="the attempt is given up")


def test_before_the_first_byte():
    for way in WAYS:
        for method, body in (("GET", None), ("POST", b"abc")):
            o = Origin(lambda c, r: None)
            with Weir(conf(), o) as w:
                c = Client(w).request(method, body=body)
                o.wait()
                way(c)
                eventually(lambda: o.conns[0].gone, what="the server sees its client leave")
                aborted(w)


def test_while_the_body_is_sent():
    for way in WAYS:
        o = Origin()
        with Weir(conf(), o) as w:
            c = Client(w)
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            eventually(lambda: o.heads and o.conns[0].raw.endswith(b"abc"))
            way(c)
            eventually(lambda: o.conns[0].gone)
            assert o.requests == []
            aborted(w)


def test_mid_stream():
    for way in WAYS:
        for kind in ("text/event-stream", "text/plain"):
            def handler(c, r):
                c.chunked_head(kind)
                c.chunk(b"data: x\n\n")
            o = Origin(handler)
            with Weir(conf(), o) as w:
                c = Client(w).request()
                c.recv_until(b"data: x\n\n")
                way(c)
                eventually(lambda: o.conns[0].gone)
                assert aborted(w)["bytes_out"] == 9


def test_mid_body_counted():
    for way in WAYS:
        o = Origin(lambda c, r: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"))
        with Weir(conf(), o) as w:
            c = Client(w).request()
            c.recv_until(b"abc")
            way(c)
            eventually(lambda: o.conns[0].gone)
            aborted(w)


def test_while_it_reads_nothing():
    """The daemon holds the server; the client's leaving must be seen all the same."""
    for way in WAYS:
        sent = [0]

        def handler(c, r):
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                c.send(b"x" * 65536)
                sent[0] += 65536
        o = Origin(handler, sndbuf=65536)
        with Weir(conf(), o) as w:
            c = Client(w, rcvbuf=16384).request()
            steady(lambda: sent[0])
            way(c)
            eventually(lambda: o.conns[0].gone)
            aborted(w)


def test_an_abort_is_nobodys_fault():
    o = Origin(lambda c, r: None if r.target == "/hang" else c.answer("x"))
    with Weir(conf(up="max_fails: 1, fail_timeout: 60s"), o) as w:
        for i in range(5):
            c = Client(w).request(target="/hang")
            o.wait(i + 1)
            c.close()
            aborted(w, i + 1)
        assert get(w).status == 200
        assert "left out" not in w.stderr, w.stderr


def test_a_slot_and_descriptors_are_free_again():
    o = Origin(lambda c, r: None)
    with Weir(conf(), o) as w:
        base = w.descriptors()
        for _ in range(3):
            clients = [Client(w).request() for _ in range(30)]
            n = len(o.requests)
            eventually(lambda: len(o.requests) - len([c for c in o.conns if c.gone]) >= 30)
            for c in clients:
                c.reset()
            eventually(lambda: all(c.gone for c in o.conns))
            assert n >= 0
        eventually(lambda: w.descriptors() <= base, what="descriptors are given back")
        assert all(x["end"] == "client_abort" for x in w.log(90))


def test_pipelined_requests_of_a_client_that_left():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer("x")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        o.wait()
        c.reset()
        eventually(lambda: o.conns[0].gone or w.lines())
        gate.open()
        assert w.last()["end"] == "client_abort"


def test_pipelined_half_a_request_of_a_client_that_left():
    """Its FIN was read long before: what is not whole by then never will be."""
    for half, bodies in ((b"GET /2 HTTP/1.1\r\nHo", 0), (b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 1)):
        gate = Gate()

        def handler(c, r, gate=gate):
            gate.wait()
            c.answer("x")
        o = Origin(handler)
        with Weir(conf(), o) as w:
            c = Client(w)
            c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" + half)
            c.shutdown()
            o.wait()
            gate.open()
            assert c.recv_response().body == b"x"
            assert c.wait_closed(5) == "fin"
            ends = [x["end"] for x in w.log(1 + bodies)]
            assert ends == ["ok", "client_abort"][:1 + bodies], ends
            eventually(lambda o=o: not o.open_conns or len(o.open_conns) <= 1)


def test_pipelined_and_left_at_once():
    """Answers of weir's own to several requests in one go, with the FIN behind them: all are given."""
    with Weir(conf(routes="[{path: /up, upstream: up}, {path: /, respond: {status: 200, body: OK}}]"), Origin()) as w:
        c = Client(w)
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
        c.shutdown()
        for _ in range(5):
            assert c.recv_response().body == b"OK"
        assert c.wait_closed() == "fin"
        assert [x["end"] for x in w.log(5)] == ["ok"] * 5


def test_left_while_its_body_waits():
    """The server answers without reading; the client resets; what it sent is still held back."""
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        while not c.origin.stopped:
            c.chunk(b"data: x\n\n")
            gate.wait(0.02) if gate.event.is_set() else time.sleep(0.01)    # the pace of a stream
    o = Origin(handler, read_body=False, rcvbuf=16384)
    o.stopped = False
    with Weir(conf(route="max_body: 1GB"), o) as w:
        c = Client(w)

        def push():
            try:
                c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                pass
        pushing = Background(push)
        steady(lambda: c.sent, quiet=0.5)
        set_reset(c.sock)
        c.sock.shutdown(socket.SHUT_RDWR)
        pushing.result()
        c.sock.close()
        aborted(w)
        eventually(lambda: o.conns[0].gone, what="the server sees its client leave")
        o.stopped = True


def test_leaving_between_requests_is_no_abort():
    o = Origin()
    with Weir(conf(), o) as w:
        for way in WAYS:
            c = Client(w)
            c.ask()
            way(c)
        get(w)
        assert [x["end"] for x in w.log(3)] == ["ok"] * 3
        assert len(w.lines()) == 3


def test_finish():
    gate = Gate()
    done = []

    def handler(c, r):
        if r.target == "/quick":
            c.answer("q")
            return
        c.chunked_head()
        c.chunk(b"one")
        gate.wait()
        for _ in range(100):
            c.chunk(b"x" * 10000)
        c.last_chunk()
        done.append(1)
    for way in WAYS:
        gate = Gate()
        done.clear()
        o = Origin(handler)
        with Weir(conf(up="on_client_abort: finish"), o) as w:
            c = Client(w).request("POST", body=b"abc")
            c.recv_until(b"one")
            way(c)
            # It has been noticed, and yet the server goes on to its end.
            assert get(w, "/quick").body == b"q"
            gate.open()
            eventually(lambda: done)
            line = next(x for x in w.log(2) if x["target"] == "/")
            assert (line["status"], line["end"]) == (499, "client_abort"), line
            assert not o.conns[0].gone, "it was read to its end and may serve again"


def test_finish_of_a_pipelined_request():
    """Its body is handed on in the turn in which its client is found to have left."""
    gate = Gate()

    def handler(c, r):
        if r.target == "/1":
            gate.wait()
        c.answer("x")
    o = Origin(handler)
    body = bytes(range(256)) * 12
    with Weir(conf(up="on_client_abort: finish"), o) as w:
        c = Client(w)
        c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3072\r\n\r\n" + body)
        c.shutdown()
        o.wait()
        gate.open()
        assert c.recv_response().body == b"x"
        assert o.wait(2).body == body
        aborted(w, 2)


def test_finish_before_the_first_byte():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer("x")
    o = Origin(handler)
    with Weir(conf(up="on_client_abort: finish"), o) as w:
        c = Client(w).request("POST", body=b"abc")
        o.wait()
        c.close()
        eventually(lambda: w.descriptors() and True)
        gate.open()
        aborted(w)
        assert not o.conns[0].gone


if __name__ == "__main__":
    main()
