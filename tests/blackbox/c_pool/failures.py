# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

EJECT1 = "max_fails: 1, fail_timeout: 60s"


def test_ten_posts_and_two_see_it():
    bad, good = Origin(lambda c, r: c.answer("sorry", "503 Busy"), "bad"), Origin(name="good")
    for retry, most in (("retry: {tries: 1}", 2), ("retry: {tries: 2}", 2),
                        ("retry: {tries: 2, non_idempotent: true}", 0)):
        bad.requests.clear()
        with Weir(conf(2, up=f"max_fails: 2, fail_timeout: 60s, {retry}"), bad, good) as w:
            got = [get(w, method="POST", body=b"x").status for _ in range(10)]
            assert got.count(503) == most and got.count(200) == 10 - most, (retry, got)
            assert len(bad.requests) == 2, len(bad.requests)
            assert "left out" in w.stderr and bad.addr in w.stderr, w.stderr


# What a server may do -> whether it counts.
def cut(c, r):
    c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    c.close()


def cut_chunked(c, r):
    c.chunked_head()
    c.chunk(b"abc")
    c.close()


def garbage(c, r):
    c.send(b"what?\r\n\r\n")


KINDS = [
    ("503", lambda c, r: c.answer("x", "503 Busy"), True),
    ("502", lambda c, r: c.answer("x", "502 Bad"), True),
    ("504", lambda c, r: c.answer("x", "504 Late"), True),
    ("500", lambda c, r: c.answer("x", "500 Oops"), False),
    ("404", lambda c, r: c.answer("x", "404 No"), False),
    ("429", lambda c, r: c.answer("x", "429 Slow"), False),
    ("close", lambda c, r: c.close(), True),
    ("reset", lambda c, r: c.reset(), True),
    ("half a head", lambda c, r: (c.send(b"HTTP/1.1 200 OK\r\nX: "), c.close()) and None, True),
    ("garbage", garbage, True),
    ("silence", lambda c, r: None, True),
    ("cut", cut, True),
    ("cut chunked", cut_chunked, True),
    ("stall", lambda c, r: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), True),
]


def test_what_counts():
    wrong = []
    for name, handler, counts in KINDS:
        o, other = Origin(handler), Origin(name="other")
        up = EJECT1 + ", retry: {tries: 1}, timeouts: {first_byte: 1s, idle: 1s}"
        with Weir(conf(2, up=up), o, other) as w:
            get(w, method="POST", body=b"x")
            w.log(1)
            for _ in range(4):
                get(w, method="HEAD" if not counts else "GET")
            n = len(o.heads)
            if (n == 1) != counts:
                wrong.append((name, n, w.stderr))
    assert not wrong, wrong


def test_a_server_that_does_not_connect():
    """Refused, or no answer to the connect: both count."""
    closed, full, other = Origin(start=False), FullListener(), Origin(name="other")
    for bad, end in ((closed, "connect_failed"), (full, "connect_timeout")):
        with Weir(conf(2, up=EJECT1 + ", retry: {tries: 1}, timeouts: {connect: 1s}"), bad, other) as w:
            got = [get(w, method="POST", body=b"x").status for _ in range(6)]
            assert got.count(200) == 5 and sum(x["end"] == end for x in w.log(6)) == 1, (end, got)


def test_what_clients_do_is_not_the_servers_fault():
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    cases = [
        ("a bad chunk", chunked + b"3\r\nabcXX", "bad_request"),
        ("a body over max_body", chunked + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n", "body_too_large"),
        ("a body that stops", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", "body_timeout"),
        ("an answer that is not read", b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", "send_timeout"),
    ]

    def handler(c, r):
        if r.target == "/large":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                c.send(b"x" * 65536)
        c.answer("x")
    o = Origin(handler)
    text = conf(1, up=EJECT1 + ", retry: {tries: 1}", route="max_body: 1KB",
                extra="client: {body_timeout: 500ms, send_timeout: 500ms}")
    with Weir(text, o) as w:
        for i, (name, data, end) in enumerate(cases):
            c = Client(w, rcvbuf=8192)
            c.send(data)
            assert w.last(2 * i + 1)["end"] == end, (name, w.last(2 * i + 1))
            assert get(w, "/y").status == 200
        assert "left out" not in w.stderr, w.stderr


def test_max_fails_zero_never_ejects():
    o = Origin(lambda c, r: c.answer("x", "503 Busy"))
    other = Origin(name="other")
    with Weir(conf(2, up="max_fails: 0, retry: {tries: 1}"), o, other) as w:
        got = [get(w).status for _ in range(10)]
        assert got.count(503) == 5, got


def test_max_fails_of_one_server():
    o, other = Origin(lambda c, r: c.answer("x", "503 Busy")), Origin(name="other")
    up = "servers: [{address: $O1, max_fails: 3}, $O2], max_fails: 1, fail_timeout: 60s, retry: {tries: 1}"
    with Weir(conf(up=up), o, other) as w:
        got = [get(w).status for _ in range(12)]
        assert got.count(503) == 3, got


def test_fail_on():
    o, other = Origin(lambda c, r: c.answer("x", "500 Oops")), Origin(name="other")
    with Weir(conf(2, up=EJECT1 + ", fail_on: [500], retry: {tries: 1}"), o, other) as w:
        assert [get(w).status for _ in range(4)].count(500) == 1


def test_failures_slide_out_of_the_window():
    bad = [True]
    o = Origin(lambda c, r: c.answer("x", "503 Busy"))
    with Weir(conf(1, up="max_fails: 2, fail_timeout: 400ms, retry: {tries: 1}"), o) as w:
        assert bad
        for _ in range(3):
            get(w)
            began = time.monotonic()
            eventually(lambda: time.monotonic() - began > 0.6)      # the window passes
        assert "left out" not in w.stderr, w.stderr


def test_success_in_between_does_not_forgive():
    n = [0]

    def handler(c, r):
        n[0] += 1
        c.answer("x", "503 Busy" if n[0] % 2 else "200 OK")
    o, other = Origin(handler), Origin(name="other")
    with Weir(conf(2, up="max_fails: 2, fail_timeout: 60s, retry: {tries: 1}"), o, other) as w:
        for _ in range(10):
            get(w)
        assert n[0] == 3, n


def test_half_open_one_at_a_time_and_recovery():
    broken = [True]
    gate = Gate()

    def handler(c, r):
        if broken[0]:
            c.answer("x", "503 Busy")
        elif not gate.event.is_set():
            trial.append(r)
            gate.wait()
            c.answer("back")
        else:
            c.answer("back")
    trial = []
    o, other = Origin(handler), Origin(name="other")
    with Weir(conf(2, up="max_fails: 1, fail_timeout: 700ms, retry: {tries: 1}"), o, other) as w:
        eventually(lambda: get(w).status == 503)
        broken[0] = False
        held = []

        def tries():
            held.append(Client(w).request())
            eventually(lambda: trial or select.select([held[-1].sock], [], [], 0)[0])
            return trial
        eventually(tries)
        # While it is tried, nobody else is sent there.
        assert {get(w).body for _ in range(8)} == {b"other"}
        assert len(trial) == 1
        gate.open()
        assert held[-1].recv_response().body == b"back"
        eventually(lambda: "answers again" in w.stderr)
        assert {get(w).body for _ in range(4)} == {b"other", b"back"}


def test_half_open_and_failure():
    o, other = Origin(lambda c, r: c.answer("x", "503 Busy")), Origin(name="other")
    with Weir(conf(2, up="max_fails: 2, fail_timeout: 400ms, retry: {tries: 1}"), o, other) as w:
        eventually(lambda: (get(w), "left out for" in w.stderr)[1])
        n = len(o.requests)
        assert n == 2
        # One failure of the trial is enough to be left out again.
        eventually(lambda: (get(w), "still failing" in w.stderr)[1])
        assert len(o.requests) == n + 1


def test_a_long_stream_does_not_hold_recovery_back():
    state = ["bad"]
    gate = Gate()

    def handler(c, r):
        if state[0] == "bad":
            c.answer("x", "503 Busy")
        elif r.target == "/long":
            c.chunked_head()
            gate.wait()
            c.last_chunk()
        else:
            c.answer("back")
    o = Origin(handler)
    other = Origin(name="other")
    with Weir(conf(2, up="max_fails: 1, fail_timeout: 300ms, retry: {tries: 1}"), o, other) as w:
        eventually(lambda: "left out" in (get(w), w.stderr)[1])
        state[0] = "good"
        eventually(lambda: Client(w).request(target="/long").recv_head().is_chunked)
        assert b"back" in {get(w).body for _ in range(4)}
        gate.open()


def test_fail_open_and_one_comes_back():
    a, b = Origin(name="a"), Origin(name="b")
    for o in (a, b):
        o.stop()
    with Weir(conf(2, up=EJECT1), a, b) as w:
        assert [get(w).status for _ in range(3)] == [502] * 3
        b.start()
        assert [get(w, method="POST", body=b"x").body for _ in range(5)] == [b"b"] * 5
        eventually(lambda: "answers again" in w.stderr)
        # a's ejection lasts: nobody asks it.
        a.start()
        assert {get(w).body for _ in range(5)} == {b"b"}


def test_an_old_answer_does_not_restore():
    """What was asked before the server was left out says nothing about it now."""
    gate = Gate()

    def handler(c, r):
        if r.target == "/old":
            gate.wait()
            c.answer("old")
        else:
            c.answer("x", "503 Busy")
    o, other = Origin(handler), Origin(name="other")
    up = f"servers: [$O1, {{address: $O2, backup: true}}], {EJECT1}, retry: {{tries: 1}}"
    with Weir(conf(up=up), o, other) as w:
        old = Client(w).request(target="/old")
        o.wait()
        assert get(w).status == 503 and "left out" in w.stderr
        gate.open()
        assert old.recv_response().body == b"old"
        assert [get(w).body for _ in range(4)] == [b"other"] * 4
        assert "answers again" not in w.stderr, w.stderr


def test_fail_open_to_the_one_that_is_back_first():
    a = Origin(lambda c, r: c.answer("a", "503 Busy"))
    b = Origin(lambda c, r: c.answer("b", "503 Busy"))
    up = ("servers: [{address: $O1, fail_timeout: 60s}, {address: $O2, fail_timeout: 20s}], max_fails: 1, "
          "retry: {tries: 1}")
    with Weir(conf(up=up), a, b) as w:
        assert sorted(get(w).body for _ in range(2)) == [b"a", b"b"]
        assert [get(w).body for _ in range(4)] == [b"b"] * 4


def test_all_left_out_by_status_and_one_comes_back():
    """The one whose turn it is still says no: the other is asked before the client hears of it."""
    for method, retry in (("GET", "retry: {tries: 2}"), ("POST", "retry: {tries: 2, non_idempotent: true}")):
        busy = {"a", "b"}

        def handler(c, r, busy=busy):
            c.answer(c.origin.name, "503 Busy" if c.origin.name in busy else "200 OK")
        a, b = Origin(handler, "a"), Origin(handler, "b")
        with Weir(conf(2, up=f"{EJECT1}, {retry}"), a, b) as w:
            eventually(lambda w=w: (get(w), w.stderr.count("left out"))[1] == 2)
            for back in ("b", "a"):
                busy.clear()
                busy.add("a" if back == "b" else "b")
                r = get(w, method=method, body=b"x" if method == "POST" else None)
                assert (r.status, r.body) == (200, back.encode()), (method, back, r, r.body)
                # The one that is back is up again: leave it out anew for the next round.
                busy.update({"a", "b"})
                eventually(lambda w=w: "left out" in w.stderr.split("answers again")[-1] or get(w).status == 0)


def test_all_answer_503():
    a = Origin(lambda c, r: c.answer("from a", "503 Busy"))
    b = Origin(lambda c, r: c.answer("from b", "503 Busy"))
    with Weir(conf(2, up=EJECT1), a, b) as w:
        for i in range(6):
            r = get(w, method="POST", body=b"x")
            assert r.status == 503 and r.body in (b"from a", b"from b"), r
        assert len(a.requests) + len(b.requests) == 6, "each was really tried"


if __name__ == "__main__":
    main()
