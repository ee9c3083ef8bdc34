# SPDX-License-Identifier: MIT
"""concurrent: requests of a key in flight, from when they are let in to their very end."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403


def limited(limits="l: {concurrent: 2}", route="limit: l", **more):
    return conf(route=route, extra=f"limits: {{{limits}}}\n", **more)


def gated():
    """A server that answers once the gate is open, and one that does at once."""
    gate = Gate()

    def handler(c, r):
        if r.target.startswith("/slow"):
            gate.wait()
        c.answer("x")
    return Origin(handler), gate


def test_so_many_at_a_time():
    o, gate = gated()
    with Weir(limited(), o) as w:
        held = [Client(w).request(target="/slow") for _ in range(2)]
        o.wait(2)
        r = get(w)
        assert r.status == 429 and r.get("Retry-After") == "1", r
        assert r.all("RateLimit-Policy") == ['"l/concurrent";q=2;qu="concurrent-requests"'], r
        assert r.all("RateLimit") == ['"l/concurrent";r=0'], r
        assert b"at a time" in r.body, r.body
        x = w.last()
        assert (x["end"], x["rule"], x["limit"]) == ("rate_limited", "concurrency_limit_exceeded",
                                                     "refused"), x
        r = get(w, source="127.0.0.2")
        assert r.status == 200 and r.all("RateLimit") == ['"l/concurrent";r=1'], r
        gate.open()
        assert [c.recv_response().status for c in held] == [200, 200]
        w.log(4)
        assert [get(w).status for _ in range(5)] == [200] * 5, "one after the other is one at a time"


def test_who_leaves_is_in_flight_no_more():
    o, gate = gated()
    with Weir(limited(), o) as w:
        held = [Client(w).request(target="/slow") for _ in range(2)]
        o.wait(2)
        assert get(w).status == 429
        held[0].reset()
        eventually(lambda: any(x["status"] == 499 for x in w.log(1)))
        assert get(w).status == 200
        gate.open()


def test_until_the_end_of_the_answer():
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.last_chunk()
    with Weir(limited("l: {concurrent: 1}"), Origin(handler)) as w:
        c = Client(w).request()
        assert c.recv_head().status == 200
        assert get(w).status == 429
        gate.open()
        c.recv_until(b"\r\n0\r\n\r\n")
        w.log(2)
        c = Client(w)
        assert c.ask().status == 200


def test_a_failed_server_is_not_in_flight():
    o = Origin()
    o.stop()
    with Weir(limited("l: {concurrent: 1}"), o) as w:
        assert [get(w).status for _ in range(5)] == [502] * 5


def test_with_a_rate_all_or_none():
    o, gate = gated()
    with Weir(limited("l: {rate: 1/h, burst: 4, concurrent: 1}"), o) as w:
        c = Client(w).request(target="/slow")
        o.wait(1)
        r = get(w)
        assert r.status == 429 and r.all("RateLimit") == ['"l/concurrent";r=0'], r
        assert [get(w).status for _ in range(9)] == [429] * 9
        gate.open()
        assert c.recv_response().status == 200
        w.log(11)
        # Ten that were refused for the first have cost nothing.
        assert [get(w).status for _ in range(6)] == [200] * 4 + [429] * 2


def test_a_reload_keeps_the_count():
    o, gate = gated()
    with Weir(limited(), o) as w:
        held = [Client(w).request(target="/slow") for _ in range(2)]
        o.wait(2)
        w.reload(limited("l: {concurrent: 2, rate: 1000/s, burst: 1000}"))
        assert get(w).status == 429
        w.reload(limited("l: {concurrent: 3}"))
        assert get(w).status == 200
        # A limit that is gone while its requests are in flight.
        w.reload(conf())
        assert [get(w).status for _ in range(5)] == [200] * 5
        w.reload(limited("l: {concurrent: 2}"))
        assert get(w).status == 429, "the requests of the first file are in flight still"
        gate.open()
        assert [c.recv_response().status for c in held] == [200, 200]
        eventually(lambda: get(w).status == 200)


def test_tunnels():
    def handler(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        c.wait_gone()
    with Weir(limited("l: {concurrent: 1}"), Origin(handler)) as w:
        c = Client(w).request(headers={"Upgrade": "echo", "Connection": "upgrade"})
        assert c.recv_head().status == 101
        assert get(w).status == 429
        c.close()
        eventually(lambda: len(w.lines()) >= 2)
        d = Client(w).request(headers={"Upgrade": "echo", "Connection": "upgrade"})
        assert d.recv_head().status == 101


if __name__ == "__main__":
    main()
