# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""What is stored, what is served, what Cache-Status and the log say of it."""

CACHE = "caches: {answers: {size: 16MB, valid: {200: 10m, 404: 1m}, methods: [GET, HEAD]}}\n"


def weir(o, cache=CACHE, **more):
    return Weir(conf(route="cache: answers", extra=cache, **more), o)


def counting(status="200 OK", headers=(), body=None):
    """A server whose answers tell how many it gave."""
    n = [0]

    def handler(c, r):
        n[0] += 1
        c.answer(body if body is not None else f"answer {n[0]}", status, headers)
    o = Origin(handler)
    o.n = n
    return o


def test_hit():
    o = counting()
    with weir(o) as w:
        a, b = get(w, "/a"), get(w, "/a")
        assert a.body == b.body == b"answer 1" and o.n[0] == 1
        assert a.get("Cache-Status") == "weir; fwd=uri-miss; stored", a
        assert re.fullmatch(r"weir; hit; ttl=\d+", b.get("Cache-Status")), b
        assert not a.has("Age") and b.get("Age") == "0", b
        assert b.get("Content-Length") == "8"
        assert [x["cache"] for x in w.log(2)] == ["miss", "hit"]
        assert w.log(2)[1]["server"] is None and w.log(2)[1]["bytes_out"] == 8


def test_keep_alive_hits():
    o = counting()
    with weir(o) as w:
        c = Client(w)
        assert {c.ask().body for _ in range(20)} == {b"answer 1"} and o.n[0] == 1
        c.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n" * 5)
        assert {c.recv_response().body for _ in range(5)} == {b"answer 1"}


def test_what_parts_keys():
    o = counting()
    with weir(o) as w:
        for args in ({"target": "/a"}, {"target": "/a?"}, {"target": "/a?x=1"}, {"target": "/%61"},
                     {"target": "/a", "host": "other.example"}, {"target": "/A"}):
            had = o.n[0]
            get(w, **args)
            assert o.n[0] == had + 1, args
        had = o.n[0]
        assert get(w, "/a", host="TEST.example:80").body == b"answer 1"
        assert o.n[0] == had


def test_not_stored():
    for headers in ([("Cache-Control", "no-store")], [("Cache-Control", "private")],
                    [("Set-Cookie", "a=b")], [("Vary", "*")], [("Cache-Control", "max-age=0")]):
        o = counting(headers=headers)
        with weir(o) as w:
            a, b = get(w), get(w)
            assert (a.body, b.body) == (b"answer 1", b"answer 2"), headers
            assert "stored" not in a.get("Cache-Status") and "fwd=" in b.get("Cache-Status")
            assert "hit" not in b.get("Cache-Status")


def test_authorization():
    o = counting(headers=[("Cache-Control", "max-age=60")])
    with weir(o) as w:
        auth = [("Authorization", "Bearer x")]
        assert get(w, headers=auth).body != get(w, headers=auth).body
        assert get(w).body == b"answer 3" and get(w).body == b"answer 3"
        # What anybody may have was not allowed for who shows who he is.
        assert get(w, headers=auth).body == b"answer 4"
    o = counting(headers=[("Cache-Control", "public, max-age=60")])
    with weir(o) as w:
        assert get(w, headers=[("Authorization", "Bearer x")]).body == b"answer 1"
        assert get(w, headers=[("Authorization", "Bearer y")]).body == b"answer 1"


def test_statuses():
    for status, stored in (("404 Not Found", True), ("500 Internal Server Error", False),
                           ("302 Found", False)):
        o = counting(status)
        with weir(o) as w:
            assert (get(w).body == get(w).body) == stored, status


def test_server_lifetime_wins():
    o = counting("500 Internal Server Error", [("Cache-Control", "max-age=60")])
    with weir(o) as w:
        assert get(w).body == get(w).body == b"answer 1"


def test_server_is_not_listened_to_when_told():
    for said in ("no-cache", "no-store", "private", "max-age=0"):
        o = counting(headers=[("Cache-Control", said), ("Expires", "0")])
        with weir(o, CACHE.replace("size:", "ignore_response_cache_control: true, size:")) as w:
            a, b = get(w), get(w)
            assert a.body == b.body == b"answer 1" and b.get("Cache-Control") == said
    o = counting(headers=[("Set-Cookie", "a=b")])
    with weir(o, CACHE.replace("size:", "ignore_response_cache_control: true, size:")) as w:
        assert get(w).body != get(w).body


def test_other_methods_pass():
    o = counting()
    with weir(o) as w:
        assert get(w, method="POST", body=b"x").body != get(w, method="POST", body=b"x").body
        assert get(w, method="POST", body=b"x").get("Cache-Status").startswith("weir; fwd=method")
        assert w.log(3)[0]["cache"] == "bypass"


def test_head_from_a_stored_get():
    o = counting()
    with weir(o) as w:
        h = get(w, method="HEAD")
        assert h.status == 200 and len(o.requests) == 1 and h.body == b""
        a = get(w)
        assert a.body == b"answer 2"
        c = Client(w)
        h = c.ask("HEAD")
        assert h.status == 200 and h.get("Content-Length") == "8" and o.n[0] == 2
        assert c.ask().body == b"answer 2"


def test_chunked_and_close_answers():
    def handler(c, r):
        if r.target == "/chunked":
            c.chunked_head()
            for i in range(5):
                c.chunk(b"part %d." % i)
            c.last_chunk()
        else:
            c.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
            c.close()
    o = Origin(handler)
    with weir(o) as w:
        for target, body in (("/chunked", b"".join(b"part %d." % i for i in range(5))),
                             ("/close", b"until the end")):
            a, b = get(w, target), get(w, target)
            assert a.body == b.body == body and b.get("Content-Length") == str(len(body)), b
        assert len(o.requests) == 2


def test_cut_answers_are_not_stored():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        c.close()
    o = Origin(handler)
    with weir(o) as w:
        a, b = get(w), get(w)
        assert not a.complete and not b.complete and len(o.requests) == 2


def test_conditional_requests():
    o = counting(headers=[("ETag", '"v1"'), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                          ("Content-Type", "text/plain")])
    with weir(o) as w:
        # The first one's condition is not the store's: a whole answer is fetched.
        r = get(w, headers=[("If-None-Match", '"v1"')])
        assert r.status == 304 and r.get("ETag") == '"v1"' and not o.requests[0].has("If-None-Match")
        eventually(lambda: "hit" in get(w).get("Cache-Status"))
        had = o.n[0]
        c = Client(w)
        for headers, status in (([("If-None-Match", '"v1"')], 304), ([("If-None-Match", 'W/"v1"')], 304),
                                ([("If-None-Match", '"v2"')], 200), ([("If-None-Match", "*")], 304),
                                ([("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], 304),
                                ([("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200)):
            r = c.ask(headers=headers)
            assert r.status == status, (headers, r)
            assert status == 200 or (r.body == b"" and not r.has("Content-Type"))
        assert o.n[0] == had


def test_ranges_of_a_stored_whole():
    o = counting(headers=[("ETag", '"v1"')], body=b"0123456789")
    with weir(o) as w:
        get(w)
        c = Client(w)
        for spec, status, body, content in (
                ("bytes=2-4", 206, b"234", "bytes 2-4/10"), ("bytes=7-", 206, b"789", "bytes 7-9/10"),
                ("bytes=-3", 206, b"789", "bytes 7-9/10"), ("bytes=5-100", 206, b"56789", "bytes 5-9/10"),
                ("bytes=10-", 416, b"", "bytes */10"), ("bytes=0-0", 206, b"0", "bytes 0-0/10")):
            r = c.ask(headers=[("Range", spec)])
            assert (r.status, r.body, r.get("Content-Range")) == (status, body, content), (spec, r)
        r = c.ask(headers=[("Range", "bytes=2-4"), ("If-Range", '"v2"')])
        assert r.status == 200 and r.body == b"0123456789"
        r = c.ask(headers=[("Range", "bytes=2-4"), ("If-Range", '"v1"')])
        assert r.status == 206 and o.n[0] == 1


def test_vary():
    def handler(c, r):
        c.answer(f"{r.get('Accept-Language')} {len(o.requests)}", headers=[("Vary", "Accept-Language")])
    o = Origin(handler)
    with weir(o) as w:
        ask = lambda *v: get(w, headers=[("Accept-Language", x) for x in v]).body   # noqa: E731
        a, b, none = ask("de"), ask("en"), ask()
        assert len({a, b, none}) == 3
        assert (ask("de"), ask("en"), ask()) == (a, b, none) and len(o.requests) == 3


def test_vary_is_bounded():
    o = Origin(lambda c, r: c.answer(r.get("X-A", ""), headers=[("Vary", "X-A")]))
    with weir(o, CACHE.replace("size:", "vary_max: 4, size:")) as w:
        for i in range(20):
            assert get(w, headers=[("X-A", str(i))]).body == b"%d" % i
        had = len(o.requests)
        for i in range(16, 20):
            get(w, headers=[("X-A", str(i))])
        assert len(o.requests) == had
        get(w, headers=[("X-A", "0")])
        assert len(o.requests) == had + 1


def test_request_directives():
    o = counting()
    with weir(o) as w:
        cc = lambda v: get(w, headers=[("Cache-Control", v)])     # noqa: E731
        r = cc("only-if-cached")
        assert r.status == 504 and o.n[0] == 0 and w.last()["end"] == "not_cached"
        assert get(w).body == b"answer 1"
        assert cc("only-if-cached").body == b"answer 1"
        assert cc("no-cache").body == b"answer 2"
        assert get(w).body == b"answer 2"
        assert cc("min-fresh=10").body == b"answer 2"
        assert cc("min-fresh=10000").body == b"answer 3"
        no_store = [("Cache-Control", "no-store")]
        assert get(w, "/n", no_store).body != get(w, "/n", no_store).body
    o = counting()
    with weir(o, CACHE.replace("size:", "ignore_request_cache_control: true, size:")) as w:
        get(w)
        assert get(w, headers=[("Cache-Control", "no-cache")]).body == b"answer 1"


def test_when_requested():
    o = counting()
    with weir(o, CACHE.replace("size:", "when: requested, size:")) as w:
        assert get(w).body != get(w).body
        asked = [("Cache-Control", "public, max-age=300")]
        a = get(w, headers=asked)
        assert get(w, headers=asked).body == a.body


def test_unsafe_methods_invalidate():
    o = counting()
    with weir(o) as w:
        get(w, "/a"), get(w, "/b")
        assert get(w, "/a").body == b"answer 1"
        get(w, "/a", method="DELETE")
        assert get(w, "/a").body == b"answer 4" and get(w, "/b").body == b"answer 2"


def test_own_fields_do_not_leak():
    """What rules and forwarding add is made for each client, not stored with the first."""
    o = counting()
    route = 'cache: answers, response_headers: {set: {X-Who: "$client_ip"}}'
    with Weir(conf(route=route, extra=CACHE), o) as w:
        a, b = get(w, source="127.0.0.2"), get(w, source="127.0.0.3")
        assert o.n[0] == 1 and (a.get("X-Who"), b.get("X-Who")) == ("127.0.0.2", "127.0.0.3")
        assert b.all("Via") == ["1.1 weir"], b


def test_status_in_a_rule_is_what_the_client_gets():
    o = counting(headers=[("ETag", '"v1"')])
    route = 'cache: answers, response_headers: {set: {X-Status: "$status"}}'
    with Weir(conf(route=route, extra=CACHE), o) as w:
        for headers, status in (([], 200), ([], 200), ([("If-None-Match", '"v1"')], 304),
                                ([("Range", "bytes=0-1")], 206)):
            r = get(w, headers=headers)
            assert r.status == status and r.get("X-Status") == str(status), r


def test_reload_keeps_the_store():
    o = counting()
    text = conf(route="cache: answers", extra=CACHE)
    with Weir(text, o) as w:
        assert get(w).body == b"answer 1"
        w.reload(text.replace("16MB", "17MB"))
        assert get(w).body == b"answer 1"
        w.reload(text.replace("answers", "others"))
        assert get(w).body == b"answer 2"


def test_eviction():
    body = b"x" * 100000
    o = counting(body=body)
    with weir(o, CACHE.replace("16MB", "1MB").replace("size:", "max_object: 200KB, size:")) as w:
        for i in range(40):
            assert get(w, f"/{i}").body == body
            get(w, "/0")            # asked for again and again: stays
        had = o.n[0]
        get(w, "/0"), get(w, "/39")
        assert o.n[0] == had
        get(w, "/1")
        assert o.n[0] == had + 1


def test_inactive():
    o = counting()
    with weir(o, CACHE.replace("size:", "inactive: 1s, size:")) as w:
        get(w)
        # What keeps being asked for stays; left alone it goes.
        eventually(lambda: not wait_and_ask(w), 30)


def wait_and_ask(w):
    time.sleep(7)
    return "hit" in get(w).get("Cache-Status")


main()
