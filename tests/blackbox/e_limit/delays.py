# SPDX-License-Identifier: MIT
"""delay: who has to wait his turn, how long, and what ends the waiting."""
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

HOUR = "l: {rate: 6/h, burst: 2, delay: true}"      # ten minutes between two


FREE = "{path: /free, upstream: up}"


def limited(limits, routes=FREE + ", {path: /, upstream: up, limit: l}", **more):
    return conf(routes=f"[{routes}]", extra=f"limits: {{{limits}}}\n", **more)


def waiting(w, **more):
    """A client whose request waits.  When a later one has been to a server it has been charged."""
    c = Client(w).request(**more)
    assert get(w, "/free").status == 200
    return c


def lines(w, n):
    """The n lines of limited requests."""
    return eventually(lambda: (lambda x: len(x) >= n and x)(
        [x for x in w.log(1) if x["route"] != "/free"]), what=f"{n} lines of limited requests")


def asked(o):
    return [r.target for r in o.requests if r.target != "/free"]


def test_the_burst_waits_its_turn():
    o = Origin()
    with Weir(limited("l: {rate: 1/s, burst: 2, delay: true}"), o) as w:
        clients = [Client(w).request(target=f"/{i}") for i in range(3)]
        assert [c.recv_response().status for c in clients] == [200] * 3
        log = lines(w, 3)
        assert all(x["limit"] in ("passed", "delayed") for x in log), log
        # However slow the machine: the third came two seconds after the first.
        begun = [datetime.datetime.fromisoformat(x["time"][:-1]).timestamp() for x in log]
        ended = [t + x["total_ms"] / 1000 for t, x in zip(begun, log)]
        assert max(ended) - min(begun) > 1.99, log


def test_more_than_the_burst_is_refused_at_once():
    o = Origin()
    with Weir(limited(HOUR), o) as w:
        assert get(w).status == 200
        a = waiting(w)
        b = waiting(w)
        r = get(w)
        assert r.status == 429, r
        assert 500 < int(r.get("Retry-After")) <= 600, r
        for c in (a, b):
            c.sock.settimeout(0.2)
            try:
                raise AssertionError(f"{c.recv_head()} came too early")
            except TimeoutError:
                pass
        assert asked(o) == ["/"]
        # Who leaves is out at once; what was charged stays charged.
        a.reset()
        b.close()
        gone = [x for x in lines(w, 4) if x["status"] == 499]
        assert len(gone) == 2 and all(x["end"] == "client_abort" and x["limit"] == "delayed"
                                      and x["server"] is None for x in gone), gone
        assert get(w).status == 429
        assert asked(o) == ["/"]


def test_so_many_of_the_burst_do_not_wait():
    o = Origin()
    with Weir(limited("l: {rate: 6/h, burst: 3, delay: 2}"), o) as w:
        assert [get(w).status for _ in range(3)] == [200] * 3
        c = waiting(w)
        assert get(w).status == 429
        assert asked(o) == ["/"] * 3
        c.close()
        assert [x["limit"] for x in lines(w, 5) if x["status"] == 499] == ["delayed"]


def test_a_body_waits_too():
    body = os.urandom(500000)
    o = Origin()
    with Weir(limited("l: {rate: 2/s, burst: 3, delay: true}"), o) as w:
        clients = [Client(w, timeout=30) for _ in range(3)]
        tasks = [Background(c.ask, "POST", body=body) for c in clients]
        assert [t.result().status for t in tasks] == [200] * 3
        assert all(r.body == body for r in o.requests)


@not_under_memcheck("a client has 200 ms")
def test_expect_waits_longer_than_a_body_may():
    def handler(c, r):
        if r.has("Expect"):
            c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.answer(c.read_body(r))
    o = Origin(handler, read_body=False)
    text = limited("l: {rate: 1/s, burst: 2, delay: true}") + "client: {body_timeout: 200ms}\n"
    with Weir(text, o) as w:
        clients = [Client(w) for _ in range(3)]
        for c in clients:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        for c in clients:
            Background(lambda c=c: c.recv_head().status == 100 and c.send(b"abc"))
        w.log(3)
        assert [x["status"] for x in w.log(3)] == [200] * 3
        assert "delayed" in [x["limit"] for x in w.log(3)]


def test_reply_and_redirect_wait():
    routes = ("{path: /a, respond: {body: a}, limit: l}, {path: /b, limit: l, redirect: "
              "{to: \"https://x.example\"}}, {path: /, upstream: up}")
    with Weir(limited("l: {rate: 3/s, burst: 5, delay: true}", routes=routes), Origin()) as w:
        clients = [Client(w).request(target=t) for t in ("/a", "/b", "/a", "/b")]
        assert [c.recv_response().status for c in clients] == [200, 308, 200, 308]
        # Its body is dropped meanwhile, and the connection goes on.
        c = Client(w)
        r = c.ask("POST", "/a", body=b"x" * 70000)
        assert (r.status, r.body) == (200, b"a"), r
        assert c.ask("GET", "/a").status == 200


def test_the_time_of_the_whole_ends_it():
    with Weir(limited(HOUR, up="timeouts: {total: 300ms}"), Origin()) as w:
        assert get(w).status == 200
        r = get(w)
        assert r.status == 504, r
        x = w.log(2)[1]
        assert (x["end"], x["limit"]) == ("total_timeout", "delayed"), x


def test_stopping_ends_it():
    with Weir(limited(HOUR).replace("drain_timeout: 5s", "drain_timeout: 100ms"), Origin()) as w:
        assert get(w).status == 200
        a, b = waiting(w), waiting(w)
        assert get(w).status == 429
        w.signal(signal.SIGTERM)
        for c in (a, b):
            r = c.recv_response()
            assert r.status == 503 and r.get("Connection") == "close", r
        assert w.wait() == 0
        assert [x["end"] for x in lines(w, 4)[-2:]] == ["drained"] * 2


def test_a_reload_does_not_disturb_it():
    o = Origin()
    with Weir(limited("l: {rate: 1/s, burst: 1, delay: true}"), o) as w:
        clients = [Client(w).request() for _ in range(2)]
        eventually(lambda: len(o.requests) >= 1)
        w.reload(conf())
        assert [c.recv_response().status for c in clients] == [200] * 2
        assert not get(w).has("RateLimit")


def test_in_flight_counts_who_waits():
    with Weir(limited("l: {rate: 6/h, burst: 5, delay: true, concurrent: 2}"), Origin()) as w:
        assert get(w).status == 200
        a, b = waiting(w), waiting(w)
        r = get(w, headers={"Accept": "application/json"})
        assert r.status == 429, r
        assert json.loads(r.body)["error"]["code"] == "concurrency_limit_exceeded", r.body
        a.close()
        b.close()
        lines(w, 4)


if __name__ == "__main__":
    main()
