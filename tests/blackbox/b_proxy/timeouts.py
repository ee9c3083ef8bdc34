# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def test_connect():
    full = FullListener()
    with Weir(conf(up="timeouts: {connect: 300ms}, retry: {tries: 1}"), full) as w:
        r = get(w)
        assert r.status == 504, r
        assert w.last()["end"] == "connect_timeout"


def test_first_byte():
    o = Origin(lambda c, r: None)
    with Weir(conf(up="timeouts: {first_byte: 300ms}, retry: {tries: 1}"), o) as w:
        r = get(w)
        assert r.status == 504, r
        assert w.last()["end"] == "head_timeout" and eventually(lambda: o.conns[0].gone)


def test_first_byte_counts_from_the_end_of_the_body():
    o = Origin(lambda c, r: c.answer(r.body))
    with Weir(conf(up="timeouts: {first_byte: 700ms}, retry: {tries: 1}"), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n")
        for _ in range(15):
            c.send(b"x")
            time.sleep(0.1)                     # slower in all than the limit
        assert c.recv_response().status == 200


def test_idle():
    def handler(c, r):
        c.chunked_head()
        c.chunk(b"abc")
    o = Origin(handler)
    with Weir(conf(up="timeouts: {idle: 300ms}"), o) as w:
        c = Client(w)
        r = c.ask()
        assert (r.status, r.body, r.complete) == (200, b"abc", False), r
        assert w.last()["end"] == "body_stalled" and eventually(lambda: o.conns[0].gone)


def test_idle_starts_anew_with_each_byte():
    def handler(c, r):
        c.chunked_head()
        for _ in range(12):
            c.chunk(b"x")
            time.sleep(0.1)
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(up="timeouts: {idle: 600ms}"), o) as w:
        assert get(w).body == b"x" * 12


def test_total():
    def handler(c, r):
        c.chunked_head()
        while True:
            c.chunk(b"x")
            time.sleep(0.05)
    o = Origin(handler)
    with Weir(conf(up="timeouts: {total: 600ms}"), o) as w:
        r = get(w)
        assert not r.complete
        assert w.last()["end"] == "total_timeout"


def test_sending_to_a_server_that_does_not_read():
    gate = Gate()
    o = Origin(lambda c, r: gate.wait(), read_body=False, rcvbuf=16384)
    with Weir(conf(up="timeouts: {send: 500ms}, retry: {tries: 1}", route="max_body: 1GB"), o) as w:
        c = Client(w)

        def push():
            try:
                c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                pass
        Background(push)
        assert w.last()["end"] == "server_send_timeout", w.last()
        gate.open()


def test_head_of_a_client():
    with Weir(conf(extra="client: {header_timeout: 400ms}"), Origin()) as w:
        c = Client(w)
        c.send(b"GET / HTTP/1.1\r\nHo")
        r = c.recv_response()
        assert r.status == 408 and c.wait_closed() == "fin", r
        assert w.last()["end"] == "header_timeout"


def test_a_refused_client_that_stays():
    """It is given a while to read its answer, no more."""
    with Weir(conf(extra="client: {header_timeout: 300ms}"), Origin()) as w:
        get(w)                      # the log is open by now
        base = w.descriptors()
        clients = []
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHo"):
            c = Client(w)
            c.send(data)
            assert c.recv_response().status in (400, 408)
            clients.append(c)
        eventually(lambda: w.descriptors() <= base, what="the connections are closed")
        assert get(w).status == 200


def test_drops_of_a_head_do_not_prolong_it():
    with Weir(conf(extra="client: {header_timeout: 600ms}"), Origin()) as w:
        c = Client(w)
        c.send(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        while not c.is_closed() and not c.buf:
            assert time.monotonic() - began < 10
            try:
                c.send(b"X: y\r\n")
            except OSError:
                break
            time.sleep(0.05)
        assert w.last()["end"] == "header_timeout"


def test_a_client_that_says_nothing():
    with Weir(conf(extra="client: {header_timeout: 300ms}"), Origin()) as w:
        c = Client(w)
        c.wait_closed()
        assert w.lines() == []


def test_body_of_a_client():
    o = Origin()
    with Weir(conf(extra="client: {body_timeout: 400ms}"), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        r = c.recv_response()
        assert r.status == 408, r
        assert w.last()["end"] == "body_timeout"
        eventually(lambda: o.conns[0].gone)


def test_keep_alive_of_a_client():
    with Weir(conf(extra="client: {keepalive_timeout: 300ms}"), Origin()) as w:
        c = Client(w)
        assert c.ask().status == 200
        assert c.wait_closed() == "fin"
        assert len(w.log(1)) == 1


def test_a_client_that_stops_reading():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            c.send(b"x" * 65536)
    o = Origin(handler)
    with Weir(conf(extra="client: {send_timeout: 500ms}"), o) as w:
        Client(w, rcvbuf=16384).request()
        assert w.last()["end"] == "send_timeout" and w.last()["status"] == 499
        eventually(lambda: o.conns[0].gone)


def test_idle_connections_to_servers():
    o = Origin()
    with Weir(conf(up="keepalive: {idle: 2, timeout: 300ms}"), o) as w:
        get(w)
        eventually(lambda: o.conns[0].gone)
    o = Origin()
    with Weir(conf(up="keepalive: {idle: 0, timeout: 4s}"), o) as w:
        get(w)
        eventually(lambda: o.conns[0].gone)


if __name__ == "__main__":
    main()
