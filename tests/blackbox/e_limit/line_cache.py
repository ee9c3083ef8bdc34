# SPDX-License-Identifier: MIT
"""The line and the answer cache: who fetches waits like anybody, who is served from memory does not."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from line_tools import *  # noqa: E402,F403


class Dated(Held):
    """/stale has an answer that expires soon, and is Held from the second one on."""

    def answer_later(self, conn, r):
        if not r.target.startswith("/stale"):
            super().answer_later(conn, r)
            return
        if self.seen(r.target) > 1:
            with self.changed:
                assert self.changed.wait_for(lambda: self.is_open, 60)
        conn.answer("%d" % self.seen(r.target), headers=[("Cache-Control", self.control)])

    def seen(self, target):
        return self.targets().count(target)


def expire(w):
    assert get(w, "/stale").body == b"1"
    ask = [("Cache-Control", "only-if-cached, max-stale=0")]
    eventually(lambda: get(w, "/stale", headers=ask).status == 504, what="it expires")


def cached(up="", control="max-age=0, stale-while-revalidate=60", **cache):
    o = Dated()
    o.control = control
    keys = ", ".join(["valid: {200: 10m}", "methods: [GET, POST]", "share_across_clients: true",
                      *(f"{k}: {v}" for k, v in cache.items())])
    return o, slots(1, up=up, route="cache: answers", extra=f"caches: {{answers: {{{keys}}}}}")


def test_a_hit_does_not_wait():
    o, text = cached()
    with Weir(text, o) as w:
        o.release("/a")
        assert get(w, "/a").status == 200
        held = ask_and_wait(w, "/b")
        waits = ask_and_wait(w, "/c")
        assert get(w, "/a").status == 200
        o.release_all()
        assert [held.recv_response().status, waits.recv_response().status] == [200, 200]
        assert o.targets() == ["/a", "/b", "/c"]


def test_equal_questions_take_one_place():
    o, text = cached(up="queue: {size: 1}")
    with Weir(text, o) as w:
        held = ask_and_wait(w, "/b")
        c = [ask_and_wait(w, "/c", "POST", body=b"same") for _ in range(10)]
        o.release_all()
        assert [x.recv_response().status for x in (held, *c)] == [200] * 11
        assert o.targets() == ["/b", "/c"]


def test_the_first_of_equals_leaves_the_line():
    """The fetch keeps its place while others follow it."""
    o, text = cached()
    with Weir(text, o) as w:
        held = ask_and_wait(w, "/b")
        c = [ask_and_wait(w, "/c") for _ in range(3)]
        before = w.descriptors()
        c[0].close()
        eventually(lambda: w.descriptors() < before, what="it is gone")
        o.release_all()
        assert [x.recv_response().status for x in (held, *c[1:])] == [200] * 3
        assert o.targets().count("/c") == 1
        assert sorted(x["end"] for x in w.log(4)) == ["client_abort", "ok", "ok", "ok"]


def test_equals_wait_no_longer_than_one():
    """The first is refused after queue.timeout; those who followed it do not begin anew, one by one."""
    o, text = cached(up="queue: {timeout: 1s}")
    with Weir(text, o) as w:
        held = ask_and_wait(w, "/b")
        c = [ask_and_wait(w, "/c") for _ in range(7)]
        assert [x.recv_response().status for x in c] == [503] * 7
        lines = w.log(7)
        assert {x["end"] for x in lines} == {"queue_timeout"}, lines
        assert max(x["total_ms"] for x in lines) < 5000, "seven times one second"
        o.release_all()
        assert held.recv_response().status == 200 and o.targets() == ["/b"]


def test_all_of_the_equals_leave_the_line():
    o, text = cached()
    with Weir(text, o) as w:
        held = ask_and_wait(w, "/b")
        c = [ask_and_wait(w, "/c") for _ in range(3)]
        for x in c:
            x.close()
        w.log(3)
        o.release_all()
        assert held.recv_response().status == 200
        assert get(w, "/d").status == 200
        assert o.targets() == ["/b", "/d"]


def test_a_refresh_waits_its_turn():
    """In the background, for nobody in particular; the expired answer is served meanwhile."""
    o, text = cached()
    with Weir(text, o) as w:
        assert get(w, "/stale").body == b"1"
        held = ask_and_wait(w, "/b")
        assert get(w, "/stale").body == b"1"
        assert get(w, "/stale").body == b"1"
        o.release_all()
        assert held.recv_response().status == 200
        eventually(lambda: o.seen("/stale") == 2, what="it was refreshed")
        eventually(lambda: get(w, "/stale").body == b"2" or o.seen("/stale") > 2)


def test_stale_rather_than_refused():
    """No place, or none in time: an expired answer is better, where the cache says so."""
    for up, how in (("queue: {size: 0}", "full"), ("queue: {timeout: 200ms}", "timeout")):
        o, text = cached(up=up, control="max-age=1", stale="[error, timeout]")
        with Weir(text, o) as w:
            expire(w)
            held = ask_and_wait(w, "/b")
            r = get(w, "/stale")
            assert (r.status, r.body) == (200, b"1"), (how, r)
            assert get(w, "/other").status == 503
            o.release_all()
            assert held.recv_response().status == 200


if __name__ == "__main__":
    main()
