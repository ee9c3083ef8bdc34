# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def holding(gate):
    def handler(c, r):
        if r.target == "/hold":
            gate.wait()
        elif r.target == "/stream":
            c.chunked_head("text/event-stream")
            c.chunk(b"data: 1\n\n")
            gate.wait()
            c.chunk(b"data: 2\n\n")
            c.last_chunk()
            return
        elif r.target == "/never":
            return
        c.answer("done")
    return handler


def refused(w):
    with socket.socket() as s:
        s.settimeout(5)
        return s.connect_ex(("127.0.0.1", w.port)) != 0


def ended(w, code=0):
    """The daemon has ended by itself; what stop() checks is checked."""
    assert w.wait() == code, w.stderr
    w.stop()


def test_what_is_in_flight_finishes():
    gate = Gate()
    o = Origin(holding(gate))
    w = Weir(conf(), o)
    held, stream = Client(w).request(target="/hold"), Client(w).request(target="/stream")
    stream.recv_until(b"data: 1\n\n")
    o.wait(2)
    w.signal(signal.SIGTERM)
    eventually(lambda: refused(w), what="new connections are refused")
    assert w.process.poll() is None
    gate.open()
    r = held.recv_response()
    assert (r.status, r.body, r.get("Connection")) == (200, b"done", "close"), r
    stream.recv_until(b"data: 2\n\n")
    stream.recv_until(b"0\r\n\r\n")
    assert held.wait_closed() == "fin"
    ended(w)
    assert {x["end"] for x in w.log(2)} == {"ok"}


def test_idle_clients_are_let_go():
    w = Weir(conf(), Origin())
    idle = [Client(w) for _ in range(5)]
    for c in idle:
        c.ask()
    silent = Client(w)
    get(w)
    w.signal(signal.SIGTERM)
    for c in [*idle, silent]:
        assert c.wait_closed() == "fin"
    ended(w)


def test_a_request_that_is_being_read_is_served():
    o = Origin()
    w = Weir(conf(), o)
    c, late = Client(w), Client(w)
    late.ask()
    c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    eventually(lambda: o.conns and o.conns[-1].raw.endswith(b"abc") or any(k.raw.endswith(b"abc") for k in o.conns))
    w.signal(signal.SIGINT)
    eventually(lambda: refused(w))
    c.send(b"def")
    r = c.recv_response()
    assert r.status == 200 and r.get("Connection") == "close", r
    ended(w)


def test_drain_timeout():
    o = Origin(holding(Gate()))
    w = Weir(conf().replace("drain_timeout: 5s", "drain_timeout: 500ms"), o)
    c, s = Client(w).request(target="/never"), Client(w).request(target="/stream")
    s.recv_until(b"data: 1\n\n")
    o.wait(2)
    w.signal(signal.SIGTERM)
    r = c.recv_response()
    assert r.status == 503, r
    rest = s.recv_all()
    assert not rest.endswith(b"0\r\n\r\n"), rest
    ended(w)
    assert [x["end"] for x in w.log(2)] == ["drained"] * 2, w.log(2)


def test_second_signal():
    o = Origin(holding(Gate()))
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
        w = Weir(conf().replace("drain_timeout: 5s", "drain_timeout: 60s"), o)
        n = len(o.requests)
        c = Client(w).request(target="/never")
        o.wait(n + 1)
        w.signal(first)
        eventually(lambda: refused(w))
        assert w.process.poll() is None
        w.signal(second)
        w.wait(10)
        w.check_stderr()
        w.stopped = True
        c.wait_closed()


def test_signals_up_to_the_very_end():
    o = Origin()
    with Weir(conf(), o) as w:
        assert get(w).status == 200
        kinds = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT]

        def storm():
            w.signal(kinds[0])
            kinds.append(kinds.pop(0))
            return w.process.poll() is not None

        eventually(storm, 30, "weir ends")
        ended(w)


def test_reload_while_draining():
    gate = Gate()
    o = Origin(holding(gate))
    w = Weir(conf(), o)
    c = Client(w).request(target="/hold")
    o.wait()
    w.signal(signal.SIGTERM)
    eventually(lambda: refused(w))
    w.signal(signal.SIGHUP)
    gate.open()
    assert c.recv_response().status == 200
    ended(w)


def test_tunnel_ends_with_the_drain():
    def echo(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        while True:
            c.send(c.recv_some())
    w = Weir(conf().replace("drain_timeout: 5s", "drain_timeout: 500ms"), Origin(echo))
    c = Client(w)
    c.request(headers={"Connection": "upgrade", "Upgrade": "x"})
    assert c.recv_response().status == 101
    w.signal(signal.SIGTERM)
    c.send(b"x")
    assert c.recv_exactly(1) == b"x"
    c.wait_closed()
    ended(w)
    assert w.last()["end"] == "drained"


def test_nothing_to_wait_for():
    w = Weir(conf(), Origin())
    began = time.monotonic()
    w.signal(signal.SIGTERM)
    ended(w)
    assert time.monotonic() - began < 4, "waited for drain_timeout"


def test_client_gone_while_draining():
    o = Origin(holding(Gate()))
    w = Weir(conf().replace("drain_timeout: 5s", "drain_timeout: 60s"), o)
    c = Client(w).request(target="/never")
    o.wait()
    w.signal(signal.SIGTERM)
    eventually(lambda: refused(w))
    c.close()
    ended(w)
    assert w.last()["end"] == "client_abort"


if __name__ == "__main__":
    main()
