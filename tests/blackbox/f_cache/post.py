# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""POSTs: the key is made of the body, which is gathered first."""

CACHE = ("caches: {answers: {size: 16MB, valid: {200: 10m}, methods: [GET, HEAD, POST], max_body: 100KB}}\n")
JSON = ("Content-Type", "application/json")


def weir(o, cache=CACHE, **more):
    return Weir(conf(route="cache: answers", extra=cache, **more), o)


def counting():
    o = Origin(lambda c, r: c.answer(f"answer {len(o.requests)}"))
    return o


def post(w, body, headers=(JSON,), target="/v1/chat/completions", **more):
    return get(w, target, list(headers), "POST", body, **more)


def test_equal_values_are_one():
    o = counting()
    with weir(o) as w:
        a = post(w, b'{"model": "q", "n": 1, "messages": [{"role": "user", "content": "h\\u00e9"}]}')
        for same in ('{"messages":[{"content":"h\u00e9","role":"user"}],"n":1.0,"model":"q"}',
                     '{"n":10e-1,"model":"\\u0071","messages":[{"role":"user","content":"h\u00e9"}]}\n',
                     '{"user":"me","n":1,"model":"q","messages":[{"role":"user","content":"h\u00e9"}]}'):
            b = post(w, same.encode())
            assert b.body == a.body and "hit" in b.get("Cache-Status"), same
        assert len(o.requests) == 1


def test_other_values_are_others():
    o = counting()
    base = {"model": "q", "seed": 1, "messages": [{"role": "user", "content": "hi"}]}
    with weir(o) as w:
        bodies = [json.dumps(base)]
        for change in ({"seed": 2}, {"seed": "1"}, {"seed": 1.5}, {"seed": None}, {"stream": True},
                       {"messages": [{"role": "user", "content": "hi "}]}, {"model": "Q"},
                       {"seed": 10000000000000001}, {"seed": 10000000000000002}):
            bodies.append(json.dumps({**base, **change}))
        for i, body in enumerate(bodies, 1):
            assert post(w, body.encode()).body == b"answer %d" % i, body
        for i, body in enumerate(bodies, 1):
            assert post(w, body.encode()).body == b"answer %d" % i, body
        # Nor are they those of another target, type or client.
        body = bodies[0].encode()
        n = len(o.requests)
        for more in ({"target": "/v1/completions"}, {"headers": [("Content-Type", "text/plain")]},
                     {"headers": [JSON, ("Authorization", "Bearer a")]},
                     {"headers": [JSON, ("Authorization", "Bearer b")]},
                     {"headers": [JSON, ("Cookie", "s=1")]}, {"host": "other.example"}):
            n += 1
            assert post(w, body, **more).body == b"answer %d" % n, more
        assert get(w, "/v1/chat/completions").body == b"answer %d" % (n + 1)


def test_clients_share_when_told():
    o = counting()
    with weir(o, CACHE.replace("size:", "share_across_clients: true, size:")) as w:
        assert post(w, b"{}", [JSON, ("Authorization", "Bearer a")]).body == \
            post(w, b"{}", [JSON, ("Authorization", "Bearer b")]).body


def test_what_has_no_key_passes():
    o = counting()
    with weir(o) as w:
        for body in (b"{", b'{"a":1,"a":2}', b'{"a":"\xff"}', b"[" * 5000 + b"]" * 5000, b'{"a":1e999}',
                     b'"\\ud800"', b"{} x", b""):
            a, b = post(w, body), post(w, body)
            assert a.body != b.body, body[:40]
            assert o.requests[-1].body == body
            assert "detail=" in b.get("Cache-Status"), (body[:40], b)


def test_bytes_of_another_type():
    o = counting()
    with weir(o) as w:
        t = [("Content-Type", "text/plain")]
        assert post(w, b"abc", t).body == post(w, b"abc", t).body == b"answer 1"
        assert post(w, b"abd", t).body == b"answer 2"


def test_body_over_max_body():
    o = counting()
    with weir(o) as w:
        big = b'"' + b"x" * 200000 + b'"'
        assert post(w, big).body == b"answer 1" and post(w, big).body == b"answer 2"
        assert post(w, big, chunked=True).body == b"answer 3"
        assert all(r.body == big for r in o.requests)
        r = post(w, big)
        assert "detail=body-too-large" in r.get("Cache-Status"), r


def test_chunked_body_is_the_same_body():
    o = counting()
    with weir(o) as w:
        assert post(w, b'{"a":1}').body == b"answer 1"
        assert post(w, [b'{"a"', b":1}"], chunked=True).body == b"answer 1"


def test_slow_body():
    o = counting()
    with weir(o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: test.example\r\nContent-Type: application/json\r\n"
               b"Content-Length: 100000\r\n\r\n\"")
        for _ in range(9):
            c.send(b"x" * 10000)
        assert not o.requests
        c.send(b"x" * 9998 + b'"')
        assert c.recv_response().body == b"answer 1" and len(o.requests[0].body) == 100000
        # Leaving while it is gathered asks nobody.
        c.send(b"POST /2 HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100\r\n\r\nabc")
        c.close()
        assert w.last(2)["end"] == "client_abort" and len(o.requests) == 1


def test_body_that_stops():
    o = counting()
    with weir(o, CACHE + "client: {body_timeout: 300ms}\n") as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100\r\n\r\nabc")
        assert c.recv_response().status == 408 and w.last()["end"] == "body_timeout"
        assert not o.requests


def test_expect_continue_passes():
    def handler(c, r):
        if r.has("Expect"):
            c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            c.read_body(r)
        c.answer("ok")
    o = Origin(handler, read_body=False)
    with weir(o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert c.recv_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        c.send(b"abc")
        assert c.recv_response().body == b"ok"


def test_event_stream_of_a_post():
    def handler(c, r):
        c.chunked_head("text/event-stream")
        for i in range(20):
            c.chunk(b"data: %d\n\n" % i)
        c.chunk(b"data: [DONE]\n\n")
        c.last_chunk()
    o = Origin(handler)
    with weir(o) as w:
        body = b'{"stream":true}'
        a, b = post(w, body), post(w, body)
        assert a.body == b.body and b.body.endswith(b"data: [DONE]\n\n") and len(o.requests) == 1


def test_retry_of_a_gathered_post():
    bad = Origin(lambda c, r: c.close())
    good = counting()
    text = conf(n=2, up="balance: round_robin, retry: {tries: 2, non_idempotent: true}",
                route="cache: answers", extra=CACHE)
    with Weir(text, bad, good) as w:
        body = b'{"a":"' + b"x" * 50000 + b'"}'
        assert post(w, body).status == 200
        assert good.requests[0].body == body
        assert post(w, body).body == b"answer 1" and len(good.requests) == 1


def test_posts_do_not_invalidate():
    o = counting()
    with weir(o) as w:
        assert get(w, "/a").body == b"answer 1"
        post(w, b"{}", target="/a")
        assert get(w, "/a").body == b"answer 1"


main()
