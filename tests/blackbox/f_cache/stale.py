# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""Expired answers: asked about, refreshed, or served all the same."""

LONG = "stale: [error, timeout, 500, 502, 503, 504]"


def weir(o, stale=LONG, up="max_fails: 0, retry: {tries: 1}", extra=""):
    cache = f"caches: {{answers: {{size: 16MB, valid: {{200: 10m}}, {stale}{extra}}}}}\n"
    return Weir(conf(up=up, route="cache: answers", extra=cache), o)


class Server:
    """Answers that live a second, with a version and an ETag; how it behaves can be set."""

    def __init__(self, headers=(), lives=1):
        self.version, self.how, self.extra, self.gate, self.lives = 1, "ok", list(headers), None, lives
        self.origin = Origin(self.answer)

    def answer(self, c, r):
        tag = f'"v{self.version}"'
        headers = [("ETag", tag), ("Cache-Control", f"max-age={self.lives}"), *self.extra]
        if self.gate:
            self.gate.wait()
        if self.how == "close":
            c.close()
        elif self.how == "stall":
            c.wait_gone()
        elif self.how == "503":
            c.answer("down", "503 Service Unavailable")
        elif r.get("If-None-Match") == tag:
            c.send(("HTTP/1.1 304 Not Modified\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) +
                    "X-New: yes\r\n\r\n").encode())
        else:
            c.answer(f"version {self.version}", headers=headers)


def expire(w, s):
    """Stores an answer and waits until it has expired."""
    assert get(w).body == b"version 1"
    eventually(lambda: get(w, headers=[("Cache-Control", "only-if-cached, max-stale=0")]).status == 504,
               what="it expires")


def test_304_refreshes():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        had = len(s.origin.requests)
        r = get(w)
        assert r.status == 200 and r.body == b"version 1" and r.get("X-New") == "yes", r
        assert r.get("Cache-Status").startswith("weir; fwd=stale; fwd-status=304"), r
        assert s.origin.requests[-1].get("If-None-Match") == '"v1"'
        assert len(s.origin.requests) == had + 1
        assert "hit" in get(w).get("Cache-Status") and get(w).get("X-New") == "yes"
        eventually(lambda: "revalidated" in [x.get("cache") for x in w.log()])
        # And the server's connection went on being used.
        assert len(s.origin.conns) == 1


def test_200_replaces():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        s.version = 2
        assert get(w).body == b"version 2" and get(w).body == b"version 2"


def test_clients_condition_and_ours():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        r = get(w, headers=[("If-None-Match", '"v1"')])
        assert r.status == 304 and s.origin.requests[-1].all("If-None-Match") == ['"v1"']
        s.version = 2
        expire_again(w)
        r = get(w, headers=[("If-None-Match", '"v1"')])
        assert r.status == 200 and r.body == b"version 2"


def expire_again(w):
    eventually(lambda: get(w, headers=[("Cache-Control", "only-if-cached, max-stale=0")]).status == 504)


def test_stale_on_failures():
    for how, up in (("close", ""), ("503", ""), ("stall", "timeouts: {first_byte: 300ms}")):
        s = Server()
        with weir(s.origin, up="max_fails: 0, retry: {tries: 1}" + (", " + up if up else "")) as w:
            expire(w, s)
            s.how = how
            r = get(w)
            assert r.status == 200 and r.body == b"version 1", (how, r)
            assert "hit" not in r.get("Cache-Status"), r
            eventually(lambda: "stale" in [x.get("cache") for x in w.log()])
            s.how = "ok"
            assert get(w).status == 200


def test_stale_when_nobody_listens():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        s.origin.stop()
        r = get(w)
        assert r.status == 200 and r.body == b"version 1" and int(r.get("Age")) >= 1


def test_no_stale_where_it_is_forbidden():
    s = Server()
    with weir(s.origin, stale="stale: []") as w:
        expire(w, s)
        s.how = "503"
        assert get(w).status == 503
    s = Server()
    s.origin.handler = lambda c, r: c.answer("version 1", headers=[
        ("Cache-Control", "max-age=1, must-revalidate"), ("ETag", '"v1"')]) \
        if not s.how == "503" else c.answer("down", "503 Service Unavailable")
    with weir(s.origin) as w:
        expire(w, s)
        s.how = "503"
        assert get(w).status == 503


def test_stale_if_error_of_the_answer():
    s = Server()
    s.origin.handler = lambda c, r: c.answer("version 1", headers=[
        ("Cache-Control", "max-age=1, stale-if-error=600")]) \
        if not s.how == "503" else c.answer("down", "503 Service Unavailable")
    with weir(s.origin, stale="stale: []") as w:
        expire(w, s)
        s.how = "503"
        assert get(w).body == b"version 1"


def test_updating_serves_everybody_at_once():
    s = Server()
    with weir(s.origin, stale="stale: [updating]") as w:
        assert get(w).body == b"version 1"
        s.gate, s.version = Gate(), 2
        # The one that finds it expired begins the refresh, and waits for it as little as the others.
        eventually(lambda: get(w).body == b"version 1" and len(s.origin.requests) == 2)
        for _ in range(4):
            r = get(w)
            assert r.body == b"version 1" and re.search(r"hit; ttl=-", r.get("Cache-Status")), r
        assert len(s.origin.requests) == 2
        s.gate.open()
        eventually(lambda: get(w).body == b"version 2")
        eventually(lambda: "refresh" in [x.get("cache") for x in w.log()])


def test_a_head_or_a_range_refreshes_nothing():
    s = Server()
    with weir(s.origin, stale="stale: [updating]") as w:
        assert get(w).body == b"version 1"
        eventually(lambda: get(w, headers=[("Cache-Control", "only-if-cached, max-age=1000")]).status == 504)
        s.version, had = 2, len(s.origin.requests)
        # Asked by itself, once; no request goes on behind it.
        assert get(w, headers=[("Range", "bytes=0-3")]).body in (b"vers", b"version 2")
        assert get(w, method="HEAD").status == 200
        assert [r.method for r in s.origin.requests[had:]] == ["GET", "HEAD"]
        s.lives = 1000
        eventually(lambda: get(w).body == b"version 2")
        assert [r.method for r in s.origin.requests[had:]] == ["GET", "HEAD", "GET"]
        eventually(lambda: [x.get("cache") for x in w.log()].count("refresh") == 1)


def test_stale_while_revalidate_of_the_answer():
    # An answer that took longer than it lives would be stale on arrival, which is another case.
    s = Server(lives="2, stale-while-revalidate=600")
    with weir(s.origin, stale="stale: []") as w:
        assert get(w).body == b"version 1"
        s.version = 2
        eventually(lambda: get(w).body == b"version 2")
        eventually(lambda: "refresh" in [x.get("cache") for x in w.log()])
        # Who found it expired was served at once.
        assert "stale" in [x.get("cache") for x in w.log()]


def test_background_refresh_that_fails():
    s = Server()
    with weir(s.origin, stale="stale: [updating, error]") as w:
        assert get(w).body == b"version 1"
        s.how = "close"

        def has_failed():
            assert get(w).body == b"version 1"
            return [x for x in w.log() if x.get("cache") == "refresh" and x["end"] == "server_closed"]
        eventually(has_failed)
        s.how, s.version = "ok", 2
        eventually(lambda: get(w).body == b"version 2")


@not_under_memcheck("an answer lives a second")
def test_waiters_of_a_refresh():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        had = len(s.origin.requests)
        s.gate = Gate()
        cs = [Client(w).request() for _ in range(5)]
        eventually(lambda: len(s.origin.requests) == had + 1)
        steady(lambda: len(s.origin.requests))
        s.gate.open()
        assert {c.recv_response().body for c in cs} == {b"version 1"}
        assert len(s.origin.requests) == had + 1


def test_max_stale():
    s = Server()
    with weir(s.origin) as w:
        expire(w, s)
        had = len(s.origin.requests)
        r = get(w, headers=[("Cache-Control", "max-stale=600")])
        assert r.body == b"version 1" and len(s.origin.requests) == had


main()
