# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def pair(bad, **more):
    return Origin(bad, "bad", **more), Origin(name="good")


def busy(c, r):
    c.answer("busy", "503 Busy")


def test_refused_connect_any_method():
    bad, good = pair(None, start=False)
    with Weir(conf(2, up="max_fails: 0"), bad, good) as w:
        for m in ("GET", "POST", "PATCH", "DELETE"):
            for _ in range(2):
                r = get(w, method=m, body=b"abc")
                assert (r.status, r.body) == (200, b"good"), (m, r)
        assert all(q.body == b"abc" for q in good.requests)
        lines = w.log(8)
        assert sorted(x["tries"] for x in lines) == [1] * 4 + [2] * 4, lines
        assert all(x["server"] == good.addr and x["status"] == 200 for x in lines)


def test_status_for_idempotent_methods():
    bad, good = pair(busy)
    with Weir(conf(2, up="max_fails: 0"), bad, good) as w:
        for m in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            for _ in range(2):
                assert get(w, method=m, body=None if m in ("GET", "HEAD") else b"abc").status == 200, m
        for m in ("POST", "PATCH"):
            assert sorted(get(w, method=m, body=b"abc").status for _ in range(2)) == [200, 503], m


def test_non_idempotent():
    bad, good = pair(busy)
    with Weir(conf(2, up="max_fails: 0, retry: {tries: 2, non_idempotent: true}"), bad, good) as w:
        for chunked in (False, True):
            for _ in range(2):
                r = get(w, method="POST", body=b"abc" * 100000, chunked=chunked)
                assert r.status == 200, r
        assert all(q.body == b"abc" * 100000 for q in good.requests)


def test_errors():
    for bad in (lambda c, r: c.close(), lambda c, r: c.reset(), lambda c, r: c.send(b"nonsense\r\n\r\n")):
        b, good = pair(bad)
        with Weir(conf(2, up="max_fails: 0"), b, good) as w:
            assert [get(w).status for _ in range(4)] == [200] * 4
            assert sorted(get(w, method="POST", body=b"x").status for _ in range(2)) == [200, 502]


def test_retry_on():
    bad, good = pair(lambda c, r: c.answer("x", "500 Oops"))
    with Weir(conf(2, up="max_fails: 0, retry: {tries: 2, on: [500]}"), bad, good) as w:
        assert [get(w).status for _ in range(4)] == [200] * 4
    bad, good = pair(busy)
    with Weir(conf(2, up="max_fails: 0, retry: {tries: 2, on: [error]}"), bad, good) as w:
        assert sorted(get(w).status for _ in range(2)) == [200, 503]


def test_timeout():
    bad, good = pair(lambda c, r: None)
    up = "max_fails: 0, timeouts: {first_byte: 300ms}, retry: {tries: 2, on: [error, timeout]}"
    with Weir(conf(2, up=up), bad, good) as w:
        assert [get(w).status for _ in range(2)] == [200] * 2
    bad, good = pair(lambda c, r: None)
    with Weir(conf(2, up="max_fails: 0, timeouts: {first_byte: 300ms}, retry: {tries: 2, on: [error]}"), bad, good) as w:
        assert sorted(get(w).status for _ in range(2)) == [200, 504]


def test_last_answer_is_passed():
    a = Origin(lambda c, r: c.answer("from a", "503 A", [("X-A", "1")]))
    b = Origin(lambda c, r: c.answer("from b", "502 B", [("X-B", "1")]))
    with Weir(conf(2, up="max_fails: 0, retry: {tries: 2}"), a, b) as w:
        r = get(w)
        assert (r.status, r.reason, r.body, r.get("X-B")) == (502, "B", b"from b", "1"), r
        r = get(w)
        assert len(a.requests) == 2 and len(b.requests) == 2
        assert r.body in (b"from a", b"from b")


def test_single_server_answers_itself():
    a = Origin(busy)
    with Weir(conf(1, up="max_fails: 0, retry: {tries: 3}"), a) as w:
        assert get(w).body == b"busy" and len(a.requests) == 1


def test_tries_are_counted():
    os_ = [Origin(busy, str(i)) for i in range(4)]
    for tries in (1, 2, 3, 4):
        with Weir(conf(4, up=f"max_fails: 0, retry: {{tries: {tries}}}"), *os_) as w:
            before = sum(len(o.requests) for o in os_)
            assert get(w).status == 503
            assert sum(len(o.requests) for o in os_) - before == tries
            assert w.last()["tries"] == tries


def test_all_refuse():
    os_ = [Origin(start=False) for _ in range(3)]
    with Weir(conf(3, up="max_fails: 0, retry: {tries: 5}"), *os_) as w:
        assert get(w).status == 502
        assert w.last()["tries"] == 3


def test_no_retry_after_the_head():
    def half(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        c.close()
    a, b = Origin(half), Origin(half)
    with Weir(conf(2, up="max_fails: 0"), a, b) as w:
        assert not get(w).complete
        assert len(a.requests) + len(b.requests) == 1


def test_no_retry_of_a_body_that_is_gone():
    a = Origin(lambda c, r: c.close())
    b = Origin(lambda c, r: c.close())
    up = "max_fails: 0, retry: {tries: 2, non_idempotent: true, keep_body: 10KB}"
    with Weir(conf(2, up=up), a, b) as w:
        assert get(w, method="PUT", body=b"x" * 9000).status == 502
        assert len(a.requests) + len(b.requests) == 2
        assert get(w, method="PUT", body=b"x" * 100000).status == 502
        assert len(a.heads) + len(b.heads) == 3


def test_body_that_is_still_coming_when_the_server_dies():
    """What came so far is kept; the rest follows to the other server."""
    def handler(c, r):
        c.close()
    bad = Origin(handler, "bad", read_body=False)
    good = Origin(lambda c, r: c.answer(r.body), "good")
    up = "servers: [$O1, {address: $O2, backup: true}], max_fails: 0, retry: {tries: 2, non_idempotent: true}"
    with Weir(conf(up=up), bad, good) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabcde")
        eventually(lambda: good.heads)
        c.send(b"fghij")
        assert c.recv_response().body == b"abcdefghij"


# --- stale idle connections ---------------------------------------------------------------------------

def once(c, r):
    """Answers one request a connection; closes when the second comes, without a byte."""
    if len(c.requests) > 1:
        c.close()
    else:
        c.answer(r.body or "x")


def once_reset(c, r):
    if len(c.requests) > 1:
        c.reset()
    else:
        c.answer(r.body or "x")


def test_stale_connection_never_shows():
    for handler in (once, once_reset):
        o = Origin(handler)
        with Weir(conf(1, up="max_fails: 1, fail_timeout: 60s, retry: {tries: 1}"), o) as w:
            c = Client(w)
            for i in range(10):
                m, body = (("GET", None), ("POST", b"abc"))[i % 2]
                r = c.ask(m, body=body)
                assert r.status == 200 and r.body == (body or b"x"), (i, r)
            assert "left out" not in w.stderr, w.stderr
            assert all(x["end"] == "ok" for x in w.log(10))


def test_not_stale_after_the_first_byte():
    """A used connection that ends within an answer, be it an interim one, is a failure like any other."""
    for beginning in (b"H", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 103 Early Hints\r\n\r\n"):
        for way in (lambda c: c.close(), lambda c: c.reset()):
            def handler(c, r, way=way, beginning=beginning):
                if len(c.requests) == 1:
                    c.answer("x")
                    return
                c.send(beginning)
                if b"103" in beginning:
                    eventually(lambda: seen)    # it has been read before the end comes
                way(c)
            o = Origin(handler)
            seen = []
            with Weir(conf(1, up="max_fails: 1, fail_timeout: 60s, retry: {tries: 1}"), o) as w:
                c = Client(w)
                assert c.ask().status == 200
                c.request("POST", body=b"abc")
                if b"103" in beginning:
                    assert c.recv_head().status == 103
                seen.append(1)
                r = c.recv_response()
                assert r.status == 502 and w.last(2)["end"] == "server_closed", (beginning, r, w.last(2))
                assert len(o.requests) == 2 and "left out" in w.stderr, o.requests


def test_server_closes_while_idle():
    gate = Gate()

    def handler(c, r):
        c.answer("x")
        gate.wait()
        c.close()
    o = Origin(handler)
    with Weir(conf(1, up="max_fails: 1, fail_timeout: 60s, retry: {tries: 1}"), o) as w:
        base = w.descriptors()
        assert get(w).status == 200
        gate.open()
        eventually(lambda: w.descriptors() <= base, what="the idle connection is given up")
        assert [get(w, method="POST", body=b"x").status for _ in range(5)] == [200] * 5
        assert "left out" not in w.stderr


def test_bytes_on_an_idle_connection_close_it():
    gates = [Gate() for _ in range(5)]

    def handler(c, r):
        c.answer("right " + r.target)
        gates[int(r.target[1:])].wait()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
    o = Origin(handler)
    with Weir(conf(1, up="max_fails: 0"), o) as w:
        c = Client(w)
        for i in range(5):
            assert c.ask(target=f"/{i}").body == b"right /%d" % i
            gates[i].open()
            eventually(lambda: o.conns[-1].gone, what="the connection is closed")
        assert [len(k.requests) for k in o.conns] == [1] * 5


def test_stale_once_and_fresh_fails():
    n = [0]

    def handler(c, r):
        n[0] += 1
        if n[0] > 1:
            c.close()
        else:
            c.answer("x")
    o = Origin(handler)
    with Weir(conf(1, up="max_fails: 0, retry: {tries: 1}"), o) as w:
        assert get(w).status == 200
        assert get(w).status == 502
        assert n[0] == 3, n             # first; stale; once more on a fresh one


if __name__ == "__main__":
    main()
