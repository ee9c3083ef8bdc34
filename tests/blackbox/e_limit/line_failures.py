# SPDX-License-Identifier: MIT
"""The line and servers that fail, are left out and come back."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from line_tools import *  # noqa: E402,F403


class Failing(Held):
    """A Held one that breaks off or refuses, when released, the targets told."""

    def __init__(self, name, bad=(), status=None):
        self.bad, self.status = bad, status
        super().__init__(name)

    def answer_later(self, conn, r):
        if r.target not in self.bad:
            super().answer_later(conn, r)
            return
        with self.changed:
            assert self.changed.wait_for(lambda: self.is_open or self.free.get(r.target), 60)
        if self.status:
            conn.answer("busy", self.status)
        else:
            conn.close()


NEVER_OUT = "max_fails: 0"


def test_a_retry_waits_for_another_server():
    """Before all who wait, since its turn had come; the server it failed on serves the next meanwhile."""
    for status in (None, "503 Busy"):
        a, b = Failing("a", bad=["/bad"], status=status), Held("b")
        with Weir(slots(2, up=NEVER_OUT), a, b) as w:
            bad = ask_and_wait(w, "/bad")
            a.wait()
            c = [ask_and_wait(w, f"/{i}", source=f"127.0.0.{2 + i}") for i in range(4)]
            assert b.wait().target == "/0"
            a.release("/bad")
            assert a.wait(2).target == "/1", "it blocks nobody"
            b.release("/0")
            assert b.wait(2).target == "/bad", "and is not put off"
            a.release_all(), b.release_all()
            assert bad.recv_response().body == b"b"
            assert [x.recv_response().status for x in c] == [200] * 4
            line = next(x for x in w.log(5) if x["target"] == "/bad")
            assert line["tries"] == 2 and line["queue_ms"] > 0, line


def test_a_retry_keeps_its_body_in_line():
    a, b = Failing("a", bad=["/bad"]), Held("b")
    with Weir(slots(2, up=NEVER_OUT + ", retry: {non_idempotent: true}"), a, b) as w:
        bad = ask_and_wait(w, "/bad", "POST", body=b"abc" * 100000)
        a.wait()
        other = ask_and_wait(w, "/0")
        b.wait()
        a.release("/bad")
        w_line = ask_and_wait(w, "/1")          # takes a
        a.wait(2)
        b.release_all(), a.release_all()
        assert bad.recv_response().body == b"b" and b.wait(2).body == b"abc" * 100000
        assert [x.recv_response().status for x in (other, w_line)] == [200, 200]


def test_a_retry_without_a_place_gives_what_it_has():
    """A line that is full takes nobody: the client gets the server's own answer, or the word for it."""
    for status, want in ((None, 502), ("503 Busy", 503)):
        a, b = Failing("a", bad=["/bad"], status=status), Held("b")
        with Weir(slots(2, up=NEVER_OUT + ", queue: {size: 0}"), a, b) as w:
            bad = ask_and_wait(w, "/bad")
            a.wait()
            other = ask_and_wait(w, "/0")
            b.wait()
            a.release("/bad")
            r = bad.recv_response()
            assert r.status == want and (status is None or r.body == b"busy"), r
            b.release_all()
            assert other.recv_response().status == 200


def test_a_retry_that_waits_too_long():
    a, b = Failing("a", bad=["/bad"]), Held("b")
    with Weir(slots(2, up=NEVER_OUT + ", queue: {timeout: 300ms}"), a, b) as w:
        bad = ask_and_wait(w, "/bad")
        a.wait()
        other = ask_and_wait(w, "/0")
        b.wait()
        a.release("/bad")
        assert bad.recv_response().status == 503
        line = w.last()
        assert (line["end"], line["tries"]) == ("queue_timeout", 1), line
        b.release_all()
        assert other.recv_response().status == 200


def test_the_end_of_an_ejection_wakes_the_line():
    """Nothing else happens: the one server is busy, the other's time is over."""
    a, b = Failing("a", bad=["/bad"]), Held("b")
    up = "max_fails: 1, fail_timeout: 700ms, retry: {tries: 1}"
    with Weir(slots(2, up=up), a, b) as w:
        bad = ask_and_wait(w, "/bad")
        a.wait()
        held = ask_and_wait(w, "/0")
        b.wait()
        a.release("/bad")
        assert bad.recv_response().status == 502
        waits = ask_and_wait(w, "/1")
        assert a.targets() == ["/bad"], "it is left out"
        assert a.wait(2).target == "/1"
        assert b.targets() == ["/0"]
        a.release_all(), b.release_all()
        assert [x.recv_response().status for x in (held, waits)] == [200, 200]
        queue = next(x for x in w.log(3) if x["target"] == "/1")["queue_ms"]
        assert queue > 0, queue


def test_one_at_a_time_after_an_ejection():
    """The line does not rush in; the good answer of the first lets in as many as there is room for."""
    a, b = Failing("a", bad=["/bad"]), Held("b")
    text = conf(up="servers: [{address: $O1, max_inflight: 3}, {address: $O2, max_inflight: 1}], "
                   "max_fails: 1, fail_timeout: 500ms, retry: {tries: 1}")
    with Weir(text, a, b) as w:
        bad = ask_and_wait(w, "/bad")
        a.wait()
        held = ask_and_wait(w, "/0")
        b.wait()
        a.release("/bad")
        assert bad.recv_response().status == 502
        c = [ask_and_wait(w, f"/{i}") for i in range(1, 6)]
        a.wait(2)
        steady(lambda: len(a.requests))
        assert a.targets() == ["/bad", "/1"], a.targets()
        a.release("/1")
        a.wait(5)
        steady(lambda: len(a.requests))
        assert sorted(a.targets()[2:]) == ["/2", "/3", "/4"], a.targets()
        a.release_all(), b.release_all()
        assert [x.recv_response().status for x in (held, *c)] == [200] * 6


def test_everything_ejected_while_one_waits():
    """Then there is nobody to wait for: fail open, up to max_inflight."""
    a = Failing("a", bad=["/bad"])
    with Weir(slots(1, up="max_fails: 1, fail_timeout: 60s, retry: {tries: 1}"), a) as w:
        bad = ask_and_wait(w, "/bad")
        a.wait()
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        a.release("/bad")
        assert bad.recv_response().status == 502
        assert a.wait(2).target == "/0"
        steady(lambda: len(a.requests))
        assert len(a.requests) == 2, "one at a time also now"
        a.release_all()
        assert [x.recv_response().status for x in c] == [200] * 3
        assert "left out" in w.stderr


def test_a_server_that_refuses_holds_no_slot():
    dead, good = Origin(start=False), Held("good")
    with Weir(slots(2, up="max_fails: 0"), dead, good) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(6)]
        good.release_all()
        assert [x.recv_response().body for x in c] == [b"good"] * 6


def test_who_is_served_and_left_meanwhile_passes_it_on():
    """Many leave and are served at the same time; slots are neither lost nor doubled."""
    count = Counting(0.005)
    o = Origin(count.handler)
    with Weir(slots(1, each=2, up="queue: {size: 1000}"), o) as w:
        for _ in range(5):
            c = [Client(w, timeout=30).request(target=f"/{i}") for i in range(40)]
            for i in range(0, 40, 2):
                (c[i].reset if i % 4 else c[i].close)()
            assert [c[i].recv_response().status for i in range(1, 40, 2)] == [200] * 20
            for x in c:
                x.close()
        eventually(lambda: len(w.lines()) == 200)
        assert {x["end"] for x in w.log(200)} <= {"ok", "client_abort"}
        last = [ask_and_wait(w, f"/last/{i}") for i in range(4)]
        assert [x.recv_response().status for x in last] == [200] * 4


if __name__ == "__main__":
    main()
