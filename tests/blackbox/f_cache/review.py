# SPDX-License-Identifier: MIT
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""Who needs no more of a fetch, who never had its turn, and what is still being fetched."""

PART = b"x" * 50000


def weir(o, object="64KB", more="", up="max_fails: 0, retry: {tries: 1}"):
    cache = f"caches: {{answers: {{size: 16MB, max_object: {object}, valid: {{200: 10m}}{more}}}}}\n"
    return Weir(conf(up=up, route="cache: answers", extra=cache), o)


def endless(c, r):
    """Until nobody takes it any more; a server whose answer has no end."""
    try:
        while True:
            c.chunk(PART)
    except OSError:
        c.close()


def test_who_was_told_304_does_not_hold_up_its_own_fetch():
    gate = Gate()

    def handler(c, r):
        c.chunked_head(headers=[("ETag", '"e"')])
        c.chunk(b"first.")
        gate.wait()
        for _ in range(100):
            c.chunk(PART)
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        knows = Client(w).request(headers=[("If-None-Match", '"e"')])
        assert knows.recv_head().status == 304
        follows = Client(w).request()
        assert follows.recv_head().status == 200
        gate.open()
        m = Message(b"")
        follows.read_chunks(m)
        assert len(m.body) == 6 + 100 * len(PART) and len(o.requests) == 1
        assert get(w, headers=[("If-None-Match", '"e"')]).status == 304


def test_the_log_tells_who_it_was_after_the_client_has_gone():
    gate = Gate()

    def handler(c, r):
        c.chunked_head(headers=[("ETag", '"e"')])
        gate.wait()
        c.last_chunk()
    o = Origin(handler)
    cache = "caches: {answers: {size: 16MB, valid: {200: 10m}}}\n"
    with Weir(conf(route="cache: answers", extra=cache, listen='"unix:$DIR/w.sock"'), o, ready=False) as w:
        path = "unix:" + os.path.join(w.dir, "w.sock")
        w.wait_ready(path)
        c = Client(path).request(headers=[("If-None-Match", '"e"')])
        assert c.recv_head().status == 304
        c.close()
        steady(lambda: len(o.open_conns))
        gate.open()
        assert w.last()["client"] == "unix"


def test_too_large_and_nobody_wants_it():
    def handler(c, r):
        c.chunked_head(headers=[("ETag", '"e"')])
        endless(c, r)
    o = Origin(handler)
    with weir(o) as w:
        assert get(w, headers=[("If-None-Match", '"e"')]).status == 304
        eventually(lambda: not o.open_conns, what="the fetch is given up")


def test_refresh_without_end():
    def handler(c, r):
        if len(o.requests) == 1:
            c.answer("old", headers=[("Cache-Control", "max-age=1, stale-while-revalidate=600")])
        else:
            c.chunked_head()
            endless(c, r)
    o = Origin(handler)
    with weir(o) as w:
        def refreshes():
            assert get(w).body == b"old"
            return len(o.requests) > 1
        eventually(refreshes)
        eventually(lambda: len(o.open_conns) < 2 and w.log(1) and
                   any(x["cache"] == "refresh" for x in w.log(1)), what="the refresh is given up")
        assert get(w).body == b"old"


def test_refreshes_have_a_number():
    """One client cannot make as many requests of nobody's as there are expired answers."""
    gate = Gate()
    old = [f"/{i}" for i in range(80)]

    def handler(c, r):
        if len(o.requests) > len(old):
            gate.wait()
        c.answer(r.target, headers=[("Cache-Control", "max-age=1, stale-while-revalidate=600")])
    o = Origin(handler)
    with weir(o) as w:
        c = Client(w)
        for target in old:
            c.ask(target=target)
        eventually(lambda: "ttl=-" in c.ask("HEAD", old[-1]).get("Cache-Status"), what="all have expired")
        for target in old:
            assert c.ask(target=target).body == target.encode()
        steady(lambda: len(o.requests))
        assert len(o.requests) == len(old) + 64, len(o.requests)
        gate.open()
        eventually(lambda: [c.ask(target=target) for target in old] and len(o.requests) >= 2 * len(old))


def test_finish_also_what_is_stored():
    gate = Gate()

    def handler(c, r):
        c.chunked_head()
        c.chunk(b"first.")
        gate.wait()
        c.chunk(b"second.")
        c.last_chunk()
    o = Origin(handler)
    with weir(o, up="on_client_abort: finish") as w:
        c = Client(w).request()
        c.recv_until(b"first.")
        c.reset()
        steady(lambda: len(o.open_conns))
        gate.open()
        assert w.last()["end"] == "client_abort"
        assert get(w).body == b"first.second." and len(o.requests) == 1


def test_nobody_is_cut_before_its_turn():
    """More than max_object comes at once: who is last to be given it is not for that slow."""
    gate = Gate()

    def handler(c, r):
        c.chunked_head()
        c.chunk(b"first.")
        gate.wait()
        c.chunk(b"x" * 100000)
        c.last_chunk()
    o = Origin(handler)
    with weir(o, "1KB") as w:
        cs = [Client(w).request() for _ in range(4)]
        for c in cs:
            assert c.recv_head().status == 200
            c.recv_until(b"first.")
        assert len(o.requests) == 1
        gate.open()
        for c in cs:
            assert c.recv_until(b"0\r\n\r\n").count(b"x") == 100000


def test_what_is_being_fetched_is_not_refreshed():
    gate = Gate()

    def handler(c, r):
        headers = [("ETag", '"e"'), ("Cache-Control", "max-age=1, stale-while-revalidate=600")]
        if r.get("If-None-Match"):
            c.send(("HTTP/1.1 304 Not Modified\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) +
                    "\r\n").encode())
            return
        c.chunked_head(headers=headers)
        c.chunk(b"first.")
        gate.wait()
        c.chunk(b"second.")
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        cs = [Client(w).request()]
        cs[0].recv_until(b"first.")

        def expired():
            return int(get(w, method="HEAD").get("Age")) >= 1
        eventually(expired)
        for _ in range(3):
            c = Client(w).request()
            r = c.recv_head()
            assert r.status == 200 and r.is_chunked, r
            c.recv_until(b"first.")
            cs.append(c)
            steady(lambda: len(o.requests), quiet=0.3)
        gate.open()
        for c in cs:
            c.recv_until(b"second.")
        assert not any(r.get("If-None-Match") for r in o.requests)
        assert get(w).body == b"first.second."


def test_waiting_for_one_after_the_other_has_an_end():
    """Each who fetches fails: who waits does not wait for all of them in turn."""
    at_once = [0, 0]
    lock = threading.Lock()

    def handler(c, r):
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        time.sleep(0.5)
        with lock:
            at_once[0] -= 1
        c.close()
    o = Origin(handler)
    with weir(o, up="max_fails: 0, retry: {tries: 1}, timeouts: {first_byte: 1s}") as w:
        cs = [Client(w).request() for _ in range(8)]
        assert {c.recv_response().status for c in cs} == {502}
        assert at_once[1] > 1, "they went one by one"


main()
