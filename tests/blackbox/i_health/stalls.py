# SPDX-License-Identifier: MIT
"""stall_timeout: a server that owes answers and sends nobody a byte."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

STALL = "stall_timeout: 700ms, fail_timeout: 60s, max_fails: 5, retry: {tries: 2, non_idempotent: true}"


def silent(c, r):
    return None


def test_who_had_no_byte_goes_elsewhere():
    a, b = Origin(silent, "a"), Origin(name="b")
    up = STALL + ", servers: [$O1, {address: $O2, backup: true}]"
    with Weir(conf(2, up), a, b) as w:
        all_of = [Background(get, w, method="POST", body=b"x") for _ in range(3)]
        assert [x.result().body for x in all_of] == [b"b"] * 3
        assert "left out" in w.stderr and "not a byte" in w.stderr, w.stderr
        assert w.stderr.count("left out") == 1, w.stderr
        assert [r["tries"] for r in w.log(3)] == [2] * 3
        assert get(w).body == b"b" and len(a.requests) == 3


def test_who_came_later_goes_with_the_first():
    """Its own time is not up when the server is found to be silent."""
    a, b = Origin(silent, "a"), Origin(name="b")
    up = STALL.replace("700ms", "3s") + ", servers: [$O1, {address: $O2, backup: true}]"
    with Weir(conf(2, up), a, b) as w:
        first = Background(get, w, "/first")
        eventually(lambda: len(a.heads) == 1)
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 1.5)
        second = Background(get, w, "/second")
        assert first.result().body == second.result().body == b"b"
        took = {r["target"]: r["total_ms"] for r in w.log(2)}
        assert took["/second"] < 3000 <= took["/first"], took


def test_who_had_bytes_ends():
    def begin(c, r):
        c.chunked_head("text/event-stream" if r.target == "/events" else "text/plain")
        c.chunk(b"data: x\n\n")

    a = Origin(begin)
    with Weir(conf(1, STALL), a) as w:
        one, two = Client(w).request(target="/events"), Client(w).request(target="/plain")
        events, plain = one.recv_response(), two.recv_response()
        assert not plain.complete and plain.body == b"data: x\n\n"
        assert b"event: error" in events.body and b"stalled" in events.body, events.body
        assert [r["end"] for r in w.log(2)] == ["stalled", "stalled"]


def test_without_another_server():
    a = Origin(silent)
    with Weir(conf(1, STALL), a) as w:
        r = get(w)
        assert r.status == 504, r
        assert w.last()["end"] == "stalled"


def test_max_fails_0_is_never_left_out_and_another_upstream_is_let_be():
    a = Origin(silent)
    text = f"""listen: ["127.0.0.1:$PORT"]
upstreams:
  one: {{servers: [$O1], {STALL.replace("max_fails: 5", "max_fails: 0")}}}
  two: {{servers: [$O1]}}
routes: [{{path: /1, upstream: one}}, {{path: /, upstream: two}}]
""" + DEFAULTS
    with Weir(text, a) as w:
        patient = Client(w).request(target="/2")
        eventually(lambda: a.heads)
        assert get(w, "/1").status == 504 and w.last()["end"] == "stalled"
        assert "left out" not in w.stderr and not patient.is_closed()


def test_a_byte_to_anybody_is_life():
    gate = Gate()

    def serve(c, r):
        if r.target == "/quiet":
            gate.wait()
            return c.answer("late")
        c.chunked_head()
        while not gate.event.is_set():
            c.chunk(b"x")
            gate.event.wait(0.05)
        c.last_chunk()
        return None

    a = Origin(serve)
    with Weir(conf(1, STALL.replace("700ms", "4s")), a) as w:
        talks = Background(get, w, "/talks")
        eventually(lambda: a.heads)
        quiet = Background(get, w, "/quiet")
        eventually(lambda: len(a.heads) == 2)
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 3)
        gate.open()
        assert quiet.result().body == b"late" and talks.result().complete
        assert "left out" not in w.stderr


def test_who_is_not_owed_anything_is_no_sign():
    """A tunnel at rest, a client that has not sent all of its request (and has the beginning of an answer),
    one that does not read."""
    def serve(c, r):
        if r.get("Upgrade"):
            return c.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        if r.target == "/echo":
            c.chunked_head()
            c.chunk(b"x")
            c.read_body(r)
            return c.last_chunk()
        if r.target == "/big":
            return c.answer(b"x" * (32 << 20))
        return c.answer("thanks")

    a = Origin(lambda c, r: serve(c, r) if r.target == "/echo" else (c.read_body(r), serve(c, r))[1],
               read_body=False)
    with Weir(conf(1, STALL.replace("700ms", "4s")), a) as w:
        tunnel = Client(w).request(headers={"Connection": "upgrade", "Upgrade": "x"})
        assert tunnel.recv_head().status == 101
        upload = Client(w)
        upload.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        big = Client(w, rcvbuf=4096).request(target="/big")
        echo = Client(w)
        echo.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        eventually(lambda: len(a.heads) == 4)
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 5)
        upload.send(b"b")
        echo.send(b"b")
        assert echo.recv_response().body == b"x"
        assert upload.recv_response().body == b"thanks"
        assert len(big.recv_response().body) == 32 << 20
        assert "left out" not in w.stderr, w.stderr
        assert not tunnel.is_closed()


if __name__ == "__main__":
    main()
