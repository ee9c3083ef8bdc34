# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

ROUTES = """
  - {exact: /healthz, respond: {status: 200, body: OK, type: text/plain}}
  - {exact: /none, respond: {status: 204}}
  - {path: /v1/, host: [chat.example.org, "*.wild.example"], methods: [POST], upstream: up}
  - {path: /get, methods: [GET], upstream: up}
  - {path: /old, redirect: {to: "https://new.example$request_uri", status: 308}}
  - {path: /moved, redirect: {to: "https://$host/x?$query", status: 302}}
  - {path: /seg, respond: {status: 200, body: seg, type: text/plain}}
  - {path: /rules, upstream: up, request_headers: {set: {X-Client: "$client_ip", X-Set: new}, add: {X-Add: "$method $path"}, remove: [X-Remove, Authorization]}, response_headers: {set: {X-Out: "$server $status", Server: weir}, add: {Vary: Origin}, remove: [X-Secret]}}
"""


def start():
    o = Origin(lambda c, r: c.answer("up", headers=[("X-Secret", "s"), ("X-Out", "old"), ("Vary", "Accept")]))
    return Weir(conf(routes=ROUTES), o), o


def test_respond():
    w, o = start()
    with w:
        c = Client(w)
        r = c.ask(target="/healthz")
        assert (r.status, r.body, r.get("Content-Type"), r.get("Content-Length")) == (200, b"OK", "text/plain", "2"), r
        assert r.has("Date")
        assert c.ask(target="/healthz?x=y").status == 200
        assert c.ask(target="/healthz/").status == 404
        assert c.ask("HEAD", "/healthz").get("Content-Length") == "2"
        r = c.ask(target="/none")
        assert r.status == 204 and not r.has("Content-Length"), r
        assert c.ask("POST", "/healthz", body=b"x" * 100000).status == 200
        assert c.ask(target="/healthz").status == 200
        assert o.requests == []
        line = w.last(1)
        assert line["upstream"] in (None, "", "-") or "upstream" not in line, line
        assert line["status"] == 200 and line["end"] == "ok" and line["route"] == "/healthz", line


def test_a_body_that_nobody_wants():
    """Read and dropped behind the answer while it is short; a long one ends the connection."""
    w, _ = start()
    with w:
        c = Client(w)
        c.send(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
        assert c.recv_response().status == 200
        c.send(b"x" * 200000)
        assert c.ask(target="/healthz").status == 200
        c.send(b"POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert c.recv_response().status == 200
        end = time.monotonic() + 20
        with contextlib.suppress(OSError):
            while not c.is_closed():
                assert time.monotonic() < end, "it is read for ever"
                c.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def test_hosts_and_methods():
    w, o = start()
    with w:
        def status(host, target="/v1/x", method="POST", **more):
            return get(w, target, method=method, host=host, **more).status
        assert status("chat.example.org") == 200
        assert status("CHAT.Example.ORG:8080") == 200
        assert status("a.wild.example") == 200 and status("a.b.wild.example") == 200
        assert status("wild.example") == 404 and status("xwild.example") == 404
        assert status("other.example") == 404
        assert status("chat.example.org", method="GET") == 405
        assert status("chat.example.org", target="/v1") == 404
        assert get(w, "/get", method="HEAD").status == 200
        r = get(w, "/get", method="DELETE")
        assert r.status == 405, r


def test_405_names_the_methods():
    w, o = start()
    with w:
        r = get(w, "/get", method="DELETE")
        assert r.status == 405 and "GET" in r.get("Allow", ""), r


def test_refusals_are_logged_and_the_connection_goes_on():
    w, o = start()
    with w:
        c = Client(w)
        r = c.ask(target="/nothing")
        assert r.status == 404 and r.get("Content-Type", "").startswith("text/plain"), r
        r = c.ask(target="/nothing", headers={"Accept": "application/json"})
        assert r.status == 404 and set(json.loads(r.body)["error"]) >= {"message", "type", "code"}, r
        assert w.last(2)["end"] == "no_route" and w.last(2)["status"] == 404
        if not c.is_closed():
            assert c.ask(target="/healthz").status == 200
        assert o.requests == []


def test_segment_boundaries():
    w, _ = start()
    with w:
        c = Client(w)
        for target, want in (("/seg", 200), ("/seg/", 200), ("/seg/x", 200), ("/seg?x", 200), ("/segment", 404),
                             ("/se", 404), ("/%73eg/x", 200), ("/x/../seg", 200), ("/seg/../nothing", 404),
                             ("/./seg", 200), ("/seg%2fx", 404)):
            assert get(w, target).status == want, target
        c.close()


def test_redirects():
    w, _ = start()
    with w:
        r = get(w, "/old/a?b=c")
        assert (r.status, r.get("Location")) == (308, "https://new.example/old/a?b=c"), r
        r = get(w, "/moved?q=1", host="h.example:81")
        assert (r.status, r.get("Location")) == (302, "https://h.example/x?q=1"), r
        assert get(w, "/old", method="POST", body=b"abc").status == 308


def test_a_redirect_cannot_be_split():
    w, _ = start()
    with w:
        r = get(w, "/old/%0d%0aSet-Cookie:x")
        assert r.get("Location") == "https://new.example/old/%0d%0aSet-Cookie:x" and not r.has("Set-Cookie")


def test_header_rules():
    w, o = start()
    with w:
        r = get(w, "/rules/x", {"X-Set": "old", "X-Add": "mine", "X-Remove": "1", "Authorization": "secret"})
        q = o.requests[0]
        assert q.all("X-Client") == ["127.0.0.1"] and q.all("X-Set") == ["new"], q.headers
        assert q.all("X-Add") == ["mine", "GET /rules/x"], q.headers
        assert not q.has("X-Remove") and not q.has("Authorization")
        assert r.all("X-Out") == [f"{o.addr} 200"] and r.all("Server") == ["weir"] and not r.has("X-Secret"), r
        assert ", ".join(r.all("Vary")) == "Accept, Origin", r


def test_first_match_wins():
    a, b = Origin(name="a"), Origin(name="b")
    text = """listen: ["127.0.0.1:$PORT"]
upstreams: {a: {servers: [$O1]}, b: {servers: [$O2]}}
routes: [{path: /x/y, upstream: a}, {path: /x, upstream: b}, {path: /x/z, upstream: a}]
""" + DEFAULTS
    with Weir(text, a, b) as w:
        assert get(w, "/x/y/1").body == b"a" and get(w, "/x/z").body == b"b" and get(w, "/x").body == b"b"


def test_name_of_a_route_is_logged():
    o = Origin()
    with Weir(conf(route="name: everything"), o) as w:
        get(w)
        assert w.last()["route"] == "everything"


if __name__ == "__main__":
    main()
