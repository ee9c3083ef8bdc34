# SPDX-License-Identifier: MIT
"""Rates: what passes, what a refusal says, who counts as one.  Rates are per hour, so that the time a
test takes does not matter."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

JSON = {"Accept": "application/json"}


def limited(limits, route="limit: l", extra="", n=1, **more):
    return conf(n, route=route, extra=f"limits: {{{limits}}}\n{extra}", **more)


def statuses(w, n, **more):
    return [get(w, **more).status for _ in range(n)]


def until_refused(w, **more):
    """How many pass."""
    n = 0
    while get(w, **more).status == 200:
        n += 1
        assert n < 50, "nobody is refused"
    return n


def test_burst_then_429():
    o = Origin()
    with Weir(limited("l: {rate: 6/h, burst: 2}"), o) as w:
        answers = [get(w) for _ in range(4)]
        assert [r.status for r in answers] == [200, 200, 200, 429], answers
        assert len(o.requests) == 3, "a refused request never reaches a server"
        for left, r in zip((2, 1, 0), answers):
            assert r.all("RateLimit-Policy") == ['"l";q=6;w=3600;weir-burst=2'], r
            m = re.fullmatch(r'"l";r=(\d+);t=(\d+)', r.get("RateLimit"))
            assert m and int(m.group(1)) == left, r
            assert not r.has("Retry-After"), r
        r = answers[3]
        assert r.reason == "Too Many Requests"
        assert r.all("RateLimit-Policy") == ['"l";q=6;w=3600;weir-burst=2'], r
        wait = int(r.get("Retry-After"))
        assert 500 < wait <= 600, r
        assert r.all("RateLimit") == [f'"l";r=0;t={wait}'], r
        assert not r.has("Connection") and r.body.startswith(b"429 Too Many Requests: "), r
        assert f"try again in {wait} s".encode() in r.body, r.body
        log = w.log(4)
        assert [(x["status"], x["limit"], x["limit_name"]) for x in log] == \
            [(200, "passed", "l")] * 3 + [(429, "refused", "l")], log
        assert (log[3]["end"], log[3]["rule"]) == ("rate_limited", "rate_limit_exceeded"), log[3]
        assert log[3]["server"] is None and log[3]["tries"] == 0, log[3]


def test_what_is_left_is_spread_over_its_window():
    with Weir(limited("l: {rate: 6/m, burst: 5}"), Origin()) as w:
        assert re.fullmatch(r'"l";r=5;t=50', get(w).get("RateLimit"))


def test_json_for_who_accepts_it():
    for status, words in ((429, "429"), (503, "503")):
        with Weir(limited(f"l: {{rate: 1/h, status: {status}}}"), Origin()) as w:
            assert get(w).status == 200
            r = get(w, headers=JSON, method="POST", body=b"{}")
            assert r.status == status and r.get("Content-Type") == "application/json", r
            error = json.loads(r.body)["error"]
            assert set(error) == {"message", "type", "param", "code"}, error
            assert error["type"] == "rate_limit_error", error
            assert error["code"] == "rate_limit_exceeded", error
            assert re.search(r"try again in \d+ s", error["message"]), error
            assert r.has("Retry-After") and r.has("RateLimit"), r
            r = get(w)
            assert r.status == status and r.body.startswith(words.encode()), r
            assert w.log(3)[2]["end"] == "rate_limited"


def test_head_is_refused_without_a_body():
    with Weir(limited("l: {rate: 1/h}"), Origin()) as w:
        c = Client(w)
        assert c.ask().status == 200
        r = c.ask("HEAD")
        assert r.status == 429 and r.has("Retry-After") and r.body == b"", r
        assert int(r.get("Content-Length")) > 0, r
        assert c.ask().status == 429


def test_the_connection_stays_open():
    with Weir(limited("l: {rate: 1/h}"), Origin()) as w:
        c = Client(w)
        assert c.ask().status == 200
        for body in (None, b"", b"x" * 1000, b"x" * 100000):
            r = c.ask("POST", body=body)
            assert r.status == 429 and not r.has("Connection"), (r, len(body or b""))
        r = c.ask("POST", body=[b"a", b"b" * 5000], chunked=True)
        assert r.status == 429 and not r.has("Connection"), r
        assert c.ask().status == 429


def test_a_long_body_is_not_read_for_nothing():
    with Weir(limited("l: {rate: 1/h}"), Origin()) as w:
        assert get(w).status == 200
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
        r = c.recv_response()
        assert r.status == 429 and r.get("Connection") == "close", r
        # Whether a body comes that was not asked for cannot be told.
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        r = c.recv_head()
        assert r.status == 429 and r.get("Connection") == "close", r


def test_pipelined_requests_count_each():
    with Weir(limited("l: {rate: 1/h, burst: 2}"), Origin()) as w:
        c = Client(w)
        c.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        assert [c.recv_response().status for _ in range(5)] == [200, 200, 200, 429, 429]


def test_routes_without_a_limit():
    routes = "[{path: /free, upstream: up}, {path: /, upstream: up, limit: l}]"
    with Weir(limited("l: {rate: 1/h}", routes=routes), Origin()) as w:
        assert statuses(w, 3) == [200, 429, 429]
        r = get(w, "/free")
        assert r.status == 200 and not r.has("RateLimit") and not r.has("RateLimit-Policy"), r
        assert w.log(4)[3]["limit"] is None and "limit_name" not in w.log(4)[3]


def test_answers_of_our_own_are_limited_too():
    routes = ("[{exact: /a, respond: {body: a}, limit: l}, {path: /b, limit: m, redirect: "
              "{to: \"https://x.example$request_uri\"}}, {path: /, upstream: up}]")
    with Weir(limited("l: {rate: 1/h}, m: {rate: 1/h}", routes=routes), Origin()) as w:
        r = get(w, "/a")
        assert (r.status, r.body, r.has("RateLimit")) == (200, b"a", True), r
        r = get(w, "/a")
        assert r.status == 429 and r.get("Retry-After") is not None, r
        assert get(w, "/b").status == 308
        assert get(w, "/b").status == 429


def test_an_answers_own_fields_stay():
    def handler(c, r):
        c.answer("x", headers=[("RateLimit-Policy", '"own";q=5;w=1'), ("RateLimit", '"own";r=4;t=1'),
                               ("Retry-After", "7")])
    with Weir(limited("l: {rate: 6/h, burst: 1}"), Origin(handler)) as w:
        r = get(w)
        assert r.all("RateLimit-Policy") == ['"own";q=5;w=1', '"l";q=6;w=3600;weir-burst=1'], r
        assert len(r.all("RateLimit")) == 2 and r.all("Retry-After") == ["7"], r


def test_answers_of_the_cache_count_and_tell():
    o = Origin()
    with Weir(limited("l: {rate: 6/h, burst: 2}", route="limit: l, cache: c",
                      extra="caches: {c: {valid: {200: 1h}}}\n"), o) as w:
        answers = [get(w) for _ in range(4)]
        assert [r.status for r in answers] == [200, 200, 200, 429], answers
        assert len(o.requests) == 1
        for left, r in zip((2, 1, 0), answers):
            assert len(r.all("RateLimit-Policy")) == 1, r
            assert len(r.all("RateLimit")) == 1 and f";r={left};" in r.get("RateLimit"), r


def test_a_failure_behind_tells_of_the_limit_too():
    o = Origin()
    o.stop()
    with Weir(limited("l: {rate: 6/h, burst: 1}"), o) as w:
        r = get(w)
        assert r.status == 502 and r.has("RateLimit") and not r.has("Retry-After"), r
        assert w.last()["limit"] == "passed"


def test_what_is_refused_before_is_not_charged():
    with Weir(limited("l: {rate: 1/h}", route="limit: l, max_body: 10, methods: [GET, POST]"),
              Origin()) as w:
        assert get(w, method="POST", body=b"x" * 20).status == 413
        assert get(w, method="PUT").status == 405
        assert raw(w, b"GET / HTTP/1.1\r\n\r\n").status == 400
        assert get(w).status == 200
        assert get(w).status == 429


def test_the_shipped_file():
    """Twenty-one pass at once, ten a second follow, the rest is answered 503; /healthz is free."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "conf",
                           "weir.yaml"), encoding="utf-8") as f:
        text = f.read().replace("listen: [80]", 'listen: ["127.0.0.1:$PORT"]')
    for i in range(1, 5):
        text = text.replace(f"127.0.0.1:800{i}", f"$O{i}")
    text = text.replace("127.0.0.1:9145", "127.0.0.1:$PORT2")
    text = text.replace("access_log: {path: stdout, format: json}\n", LOG)
    with Weir(text, *[Origin() for _ in range(4)]) as w:
        c = Client(w)
        began = time.monotonic()
        c.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        answers = [c.recv_response() for _ in range(100)]
        most = 21 + int(10 * (time.monotonic() - began)) + 1
        passed = [r for r in answers if r.status == 200]
        refused = [r for r in answers if r.status == 503]
        assert [r.status for r in answers[:21]] == [200] * 21, answers[:21]
        assert 21 <= len(passed) <= most and len(passed) + len(refused) == 100, (len(passed), most)
        assert all(r.get("Retry-After") == "1" for r in refused), refused
        assert all(get(w, "/healthz").status == 200 for _ in range(50))
        assert get(f"127.0.0.1:{w.names['PORT2']}", "/healthz").body == b"OK\n"


# --- who counts as one ----------------------------------------------------------------------------

def test_client_addresses():
    with Weir(limited("l: {rate: 1/h, burst: 2}"), Origin()) as w:
        assert until_refused(w) == 3
        assert until_refused(w, source="127.0.0.2") == 3
        # Nobody is believed who says that he is another.
        assert until_refused(w, headers={"X-Forwarded-For": "192.0.2.1"}) == 0


def test_addresses_from_trusted_proxies():
    def by(address):
        return {"headers": {"X-Forwarded-For": address}}

    with Weir(limited("l: {rate: 1/h, burst: 1}", extra="trusted_proxies: [127.0.0.1]\n"), Origin()) as w:
        assert until_refused(w, **by("192.0.2.1")) == 2
        assert until_refused(w, **by("192.0.2.2")) == 2
        # An IPv6 client is its /64.
        assert until_refused(w, **by("2001:db8:0:1::1")) == 2
        assert until_refused(w, **by("2001:db8:0:1:ffff::2")) == 0
        assert until_refused(w, **by("2001:db8:0:2::1")) == 2
        # Written otherwise, the same.
        assert until_refused(w, **by("2001:0DB8:0000:0002:0:0:0:9")) == 0
        assert until_refused(w, **by("::ffff:192.0.2.1")) == 0
        assert until_refused(w) == 2


def test_header_key():
    with Weir(limited('l: {key: "header:Authorization", rate: 1/h, burst: 1}'), Origin()) as w:
        def by(value, **more):
            return dict(headers={"authorization": value}, **more)

        assert until_refused(w, **by("Bearer a")) == 2
        assert until_refused(w, **by("Bearer a", source="127.0.0.2")) == 0
        assert until_refused(w, **by("Bearer b")) == 2
        # Without it the address, which naming it is not.
        assert until_refused(w) == 2
        assert until_refused(w, source="127.0.0.2") == 2
        assert until_refused(w, **by("127.0.0.1")) == 2
        text = "\n".join(w.lines()) + w.stderr
        assert "Bearer" not in text, "the key is never logged"


def test_other_keys():
    keys = {
        "cookie:sid": [{"headers": {"Cookie": "a=1; sid=x"}}, {"headers": {"Cookie": "sid=y; a=1"}}],
        "query:key": [{"target": "/?a=1&key=x"}, {"target": "/y?key=z"}],
        "host": [{"host": "a.example"}, {"host": "b.example:8080"}],
    }
    same = {"cookie:sid": {"headers": {"Cookie": "sid=x"}}, "query:key": {"target": "/other?key=x"},
            "host": {"host": "A.example:99"}}
    for key, (one, other) in keys.items():
        with Weir(limited(f'l: {{key: "{key}", rate: 1/h, burst: 1}}'), Origin()) as w:
            assert until_refused(w, **one) == 2, key
            assert until_refused(w, source="127.0.0.2", **same[key]) == 0, key
            assert until_refused(w, **other) == 2, key


def test_route_key():
    routes = ("[{path: /a, upstream: up, limit: l}, {path: /, host: x.example, upstream: up, limit: l}, "
              "{path: /, upstream: up, limit: l}]")
    with Weir(limited("l: {key: route, rate: 1/h, burst: 1}", routes=routes), Origin()) as w:
        assert until_refused(w, target="/a/1") == 2
        assert until_refused(w, target="/a/2", source="127.0.0.2") == 0
        assert until_refused(w, target="/b") == 2
        assert until_refused(w, target="/b", host="x.example") == 2


def test_hostile_keys():
    """Nearly 60 KB as a key; one that is asked often among thousands that are asked once."""
    with Weir(limited('l: {key: "header:X-Key", rate: 1/h, burst: 1, size: 64KB}',
                      routes="[{path: /up, upstream: up}, {path: /, respond: {body: x}, limit: l}]",
                      extra="client: {max_head: 60KB}\n"), Origin()) as w:
        assert until_refused(w, headers={"X-Key": "k" * 50000}) == 2
        assert until_refused(w, headers={"X-Key": "k" * 49999 + "x"}) == 2
        assert until_refused(w, headers={"X-Key": "hot"}) == 2
        c = Client(w)
        for batch in range(40):
            keys = [f"cold{batch}-{i}" for i in range(300)] + ["hot"]
            c.send(b"".join(b"GET / HTTP/1.1\r\nHost: x\r\nX-Key: %s\r\n\r\n" % k.encode() for k in keys))
            got = [c.recv_response().status for _ in keys]
            assert got == [200] * 300 + [429], (batch, got)


# --- several --------------------------------------------------------------------------------------

def test_all_or_none():
    limits = 'a: {rate: 1/h, burst: 4}, b: {key: "header:X-Key", rate: 2/h, status: 503}'
    with Weir(limited(limits, route="limit: [a, b]"), Origin()) as w:
        r = get(w, headers={"X-Key": "1"})
        assert r.status == 200
        assert r.all("RateLimit-Policy") == ['"a";q=1;w=3600;weir-burst=4, "b";q=2;w=3600'], r
        for _ in range(10):
            r = get(w, headers={"X-Key": "1"})
            assert r.status == 503 and re.fullmatch(r'"b";r=0;t=\d+', r.get("RateLimit")), r
        assert [get(w, headers={"X-Key": f"k{i}"}).status for i in range(6)] == [200] * 4 + [429] * 2
        # Both refuse: the longer wait is told.
        r = get(w, headers={"X-Key": "1"})
        assert r.status == 429 and int(r.get("Retry-After")) > 1800, r
        assert len(r.get("RateLimit").split(", ")) == 2, r
        log = w.log(18)
        assert [x["limit_name"] for x in log[1:11]] == ["b"] * 10
        assert log[-1]["limit_name"] == "a"


def test_one_limit_for_several_routes():
    routes = "[{path: /a, upstream: up, limit: l}, {path: /, upstream: up, limit: [l]}]"
    with Weir(limited("l: {rate: 1/h, burst: 3}", routes=routes), Origin()) as w:
        assert [get(w, t).status for t in ("/a", "/b", "/a", "/b", "/a", "/b")] == [200] * 4 + [429] * 2


def test_dry_run():
    o = Origin()
    with Weir(limited("l: {rate: 1/h, dry_run: true}, m: {rate: 1/h, burst: 3}", route="limit: [l, m]"),
              o) as w:
        answers = [get(w) for _ in range(5)]
        assert [r.status for r in answers] == [200] * 4 + [429], answers
        assert all('"l"' not in r.get("RateLimit") + r.get("RateLimit-Policy") for r in answers), answers
        assert [(x["limit"], x["limit_name"]) for x in w.log(5)] == \
            [("passed", "l")] + [("dry_run", "l")] * 3 + [("refused", "m")]
    with Weir(limited("l: {rate: 1/h, dry_run: true}"), o) as w:
        answers = [get(w) for _ in range(3)]
        assert all(r.status == 200 and not r.has("RateLimit") and not r.has("RateLimit-Policy")
                   and not r.has("Retry-After") for r in answers), answers


if __name__ == "__main__":
    main()
