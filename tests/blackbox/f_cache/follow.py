# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""Equal requests while one is being fetched: one reaches the server, all have it from its first byte."""

CACHE = ("caches: {answers: {size: 16MB, max_object: 4MB, valid: {200: 10m}, methods: [GET, HEAD, POST], "
         "share_across_clients: true}}\n")


def weir(o, cache=CACHE, up="", n=1, **more):
    return Weir(conf(n=n, up=up, route="cache: answers", extra=cache, **more), *(o if n > 1 else [o]))


def gated(gate, before=b"first.", after=b"second.", type="text/event-stream", headers=()):
    def handler(c, r):
        c.chunked_head(type, headers)
        c.chunk(before)
        gate.wait()
        if isinstance(after, bytes):
            c.chunk(after)
            c.last_chunk()
        else:
            after(c)
    return handler


def followers(w, n, expect=b"first.", **more):
    cs = [Client(w) for _ in range(n)]
    for c in cs:
        c.request(**more)
        r = c.recv_head()
        c.status = r
        c.recv_until(expect)
    return cs


def test_from_the_first_byte():
    gate = Gate()
    o = Origin(gated(gate))
    with weir(o) as w:
        cs = followers(w, 10)           # each has its first bytes before the server goes on
        assert len(o.requests) == 1
        gate.open()
        for c in cs:
            assert c.recv_until(b"0\r\n\r\n").count(b"second.") == 1
        assert len(o.requests) == 1
        assert get(w).body == b"first.second." and len(o.requests) == 1
        assert sorted(x["cache"] for x in w.log(11)) == ["collapsed"] * 9 + ["hit", "miss"]
        assert cs[3].status.get("Cache-Status") == "weir; fwd=uri-miss; collapsed", cs[3].status


def test_waiting_for_the_head():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer("it")
    o = Origin(handler)
    with weir(o) as w:
        cs = [Client(w).request() for _ in range(10)]
        o.wait(1)
        steady(lambda: len(o.requests))
        assert len(o.requests) == 1
        gate.open()
        assert {c.recv_response().body for c in cs} == {b"it"} and len(o.requests) == 1


def test_posts():
    gate = Gate()
    o = Origin(gated(gate))
    asked = [b'{"model":"q","messages":[{"role":"user","content":"hi"}],"stream":true}',
             b'{"stream":true, "messages":[{"content":"h\\u0069","role":"user"}], "model":"q"}']
    with weir(o) as w:
        cs = []
        for body in asked:
            c = Client(w).request("POST", "/v1/chat/completions", [("Content-Type", "application/json")],
                                  body)
            assert c.recv_head().status == 200
            c.recv_until(b"first.")
            cs.append(c)
        gate.open()
        for c in cs:
            c.recv_until(b"second.")
        assert len(o.requests) == 1 and o.requests[0].body == asked[0]
        r = get(w, "/v1/chat/completions", [("Content-Type", "application/json")], "POST",
                b'{"model":"q","messages":[{"role":"user","content":"other"}],"stream":true}')
        assert len(o.requests) == 2 and r.body == b"first.second."


def test_not_storable_frees_the_others_at_once():
    gate = Gate()

    def handler(c, r):
        n = len(o.requests)
        if n == 1:
            gate.wait()
            c.chunked_head(headers=[("Cache-Control", "no-store")])
            c.chunk(b"mine")
            c.wait_gone()
        else:
            c.answer(f"own {n}", headers=[("Cache-Control", "no-store")])
    o = Origin(handler)
    with weir(o) as w:
        first = Client(w).request()
        o.wait(1)
        cs = [Client(w).request() for _ in range(5)]
        steady(lambda: len(o.requests))
        gate.open()
        # The first answer is still under way; the others do not wait for its end.
        assert len({c.recv_response().body for c in cs}) == 5
        assert first.recv_head().status == 200
        # For a while nobody lines up at all.
        cs = [Client(w).request() for _ in range(3)]
        assert len({c.recv_response().body for c in cs}) == 3 and len(o.requests) == 9
        first.close()


def who_come(w, o, gate, n, headers=()):
    """So many ask while the server holds its answers: how many of them it sees, and what they get."""
    before = len(o.requests)
    cs = [Client(w).request(headers=h) for h in headers or [()] * n]
    o.wait(before + 1)
    steady(lambda: len(o.requests))
    came = len(o.requests) - before
    gate.open()
    return came, {c.recv_response().body for c in cs}


def test_a_failure_is_no_reason_to_go_alone():
    gate = Gate()

    def handler(c, r):
        if len(o.requests) == 1:
            c.answer("busy", "503 Service Unavailable")
            return
        gate.wait()
        c.answer("it")
    o = Origin(handler)
    with weir(o, up="max_fails: 0, retry: {tries: 1}") as w:
        assert get(w).status == 503
        assert who_come(w, o, gate, 4) == (1, {b"it"})


def test_what_is_for_one_alone_is_no_reason_for_others():
    gate, named = Gate(), Gate()

    def handler(c, r):
        (named if r.get("Authorization") else gate).wait()
        c.answer("for you" if r.get("Authorization") else "it")
    o = Origin(handler)
    with weir(o) as w:
        named.open()
        assert get(w, headers=[("Authorization", "Bearer 1")]).body == b"for you"
        named.event.clear()
        names = [[("Authorization", f"Bearer {i}")] for i in range(3)]
        assert who_come(w, o, named, 3, names) == (3, {b"for you"})
        assert who_come(w, o, gate, 4) == (1, {b"it"})


def test_first_client_leaves():
    for leave in (Client.close, Client.reset):
        gate = Gate()
        o = Origin(gated(gate))
        with weir(o) as w:
            first, *others = followers(w, 4)
            leave(first)
            assert w.log(1)[0]["end"] in ("client_abort",) if w.lines() else True
            gate.open()
            for c in others:
                c.recv_until(b"second.")
            assert len(o.requests) == 1 and get(w).body == b"first.second." and len(o.requests) == 1


def test_first_client_leaves_before_the_head():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer("it")
    o = Origin(handler)
    with weir(o) as w:
        first = Client(w).request()
        o.wait(1)
        second = Client(w).request()
        steady(lambda: len(o.requests))
        first.reset()
        steady(lambda: len(o.open_conns))
        gate.open()
        assert second.recv_response().body == b"it" and len(o.requests) == 1


def until_left(c, r):
    c.chunked_head("text/event-stream")
    c.chunk(b"first.")
    c.wait_gone()


def test_all_leave():
    o = Origin(until_left)
    with weir(o) as w:
        cs = followers(w, 4)
        for c in cs:
            c.reset()
        eventually(lambda: not o.open_conns, what="the server's connection is closed")
        eventually(lambda: len(w.lines()) == 4)
        assert {x["end"] for x in w.log(4)} == {"client_abort"}


def test_alone_and_gone():
    o = Origin(until_left)
    with weir(o) as w:
        followers(w, 1)[0].close()
        eventually(lambda: not o.open_conns, what="the server's connection is closed")
        assert w.last()["end"] == "client_abort"


def test_server_dies_while_ten_follow():
    gate = Gate()
    o = Origin(gated(gate, after=lambda c: c.close()))
    with weir(o) as w:
        cs = followers(w, 10)
        gate.open()
        for c in cs:
            rest = c.recv_all()
            assert b"event: error" in rest and not rest.endswith(b"0\r\n\r\n"), rest
        assert {x["end"] for x in w.log(10)} == {"body_cut"}
        assert len(o.requests) == 1
        o.handler = lambda c, r: c.answer("new")
        assert get(w).body == b"new"


def test_fetch_fails_while_one_reads_slowly():
    """Who had not read all of it by then is cut too, behind the last byte that came."""
    gate, body = Gate(), os.urandom(4096) * 3500

    def handler(c, r):
        c.chunked_head("text/plain")
        c.chunk(body)
        gate.wait()
        c.close()
    with weir(Origin(handler), cache=CACHE.replace("16MB", "64MB").replace("4MB", "32MB")) as w:
        first = Client(w).request()
        assert first.recv_head().status == 200
        slow = Client(w, rcvbuf=4096).request()
        assert slow.recv_head().get("Cache-Status").endswith("collapsed")
        while first.received < len(body):
            first.recv_some()
        gate.open()
        first.recv_all()
        got = slow.recv_all()
        assert slow.eof and len(body) < slow.received and not got.endswith(b"0\r\n\r\n")
        assert {x["end"] for x in w.log(2)} == {"body_cut"}


def test_server_fails_before_the_head():
    gate = Gate()

    def handler(c, r):
        if len(o.requests) == 1:
            gate.wait()
            c.close()
        else:
            c.answer("again")
    o = Origin(handler)
    with weir(o, up="retry: {tries: 1}, max_fails: 0") as w:
        first = Client(w).request()
        o.wait(1)
        cs = [Client(w).request() for _ in range(5)]
        steady(lambda: len(o.requests))
        gate.open()
        assert first.recv_response().status == 502
        assert {c.recv_response().body for c in cs} == {b"again"} and len(o.requests) == 2


def test_slow_follower_holds_nobody_up():
    part = b"x" * 100000
    gate = Gate()

    def handler(c, r):
        c.chunked_head()
        c.chunk(part)
        gate.wait()
        for _ in range(30):
            c.chunk(part)
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        slow = Client(w, rcvbuf=4096).request()         # also the first
        slow.recv_head()
        o.wait(1)
        slow2 = Client(w, rcvbuf=4096).request()
        slow2.recv_head()
        fast = Client(w).request()
        gate.open()
        r = fast.recv_response()
        assert r.complete and len(r.body) == 31 * len(part)
        for c in (slow, slow2):
            m = Message(b"")
            c.read_chunks(m)
            assert len(m.body) == 31 * len(part)
        assert len(o.requests) == 1


def test_larger_than_max_object():
    part = b"x" * 100000
    gate = Gate()

    def handler(c, r):
        c.chunked_head()
        c.chunk(part)
        gate.wait()
        for _ in range(80):
            c.chunk(part)
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        cs = [Client(w).request() for _ in range(3)]
        rs = [c.recv_head() for c in cs]
        assert len(o.requests) == 1 and all(r.status == 200 for r in rs)
        gate.open()
        readers = [Background(read_all, c) for c in cs]
        for b in readers:
            assert b.result() == 81 * len(part)
        assert len(o.requests) == 1
        gate.open()
        assert len(get(w).body) == 81 * len(part) and len(o.requests) == 2


def read_all(c):
    m = Message(b"")
    c.read_chunks(m)
    return len(m.body)


def test_larger_than_max_object_and_one_does_not_read():
    part = b"x" * 100000

    def handler(c, r):
        c.chunked_head()
        for _ in range(200):
            c.chunk(part)
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        stuck = Client(w, rcvbuf=4096).request()
        stuck.recv_head()
        o.wait(1)
        fast = Client(w).request()
        r = fast.recv_response()
        assert r.complete and len(r.body) == 200 * len(part), (r.complete, len(r.body))
        stuck.close()


def test_announced_larger_than_max_object():
    o = Origin(lambda c, r: c.answer(b"x" * 5000000))
    with weir(o) as w:
        for _ in range(2):
            r = get(w)
            assert len(r.body) == 5000000 and "detail=too-large" in r.get("Cache-Status"), r
        assert len(o.requests) == 2


def test_event_stream_is_replayed_whole():
    events = b"".join(b"data: %d\n\n" % i for i in range(50))

    def handler(c, r):
        c.chunked_head("text/event-stream")
        for i in range(50):
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        a, b = get(w), get(w)
        assert a.body == b.body == events and len(o.requests) == 1
        assert b.get("Content-Type") == "text/event-stream" and b.get("X-Accel-Buffering") == "no"


def test_another_variant_goes_its_own_way():
    gate = Gate()

    def handler(c, r):
        if r.get("X-A") == "1":
            gate.wait()
        c.answer(r.get("X-A"), headers=[("Vary", "X-A")])
    o = Origin(handler)
    with weir(o) as w:
        a = Client(w).request(headers=[("X-A", "1")])
        o.wait(1)
        b = Client(w).request(headers=[("X-A", "2")])
        steady(lambda: len(o.requests))
        gate.open()
        assert a.recv_response().body == b"1" and b.recv_response().body == b"2"


def test_reload_and_stop_while_following():
    gate = Gate()
    o = Origin(gated(gate))
    text = conf(route="cache: answers", extra=CACHE)
    with Weir(text, o) as w:
        cs = followers(w, 3)
        w.reload(text.replace("cache: answers", "").replace(CACHE, ""))
        gate.open()
        for c in cs:
            c.recv_until(b"second.")
        assert len(o.requests) == 1


def test_single_flight_off():
    gate = Gate()
    o = Origin(gated(gate))
    with weir(o, CACHE.replace("size:", "single_flight: false, size:")) as w:
        cs = followers(w, 3)
        assert len(o.requests) == 3
        gate.open()
        for c in cs:
            c.recv_until(b"second.")


main()
