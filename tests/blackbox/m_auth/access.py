# SPDX-License-Identifier: MIT
"""allow and deny: whose address may ask at all."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

ME, OTHER, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def statuses(w, **more):
    return [get(w, source=s, **more).status for s in (ME, OTHER, THIRD)]


def test_deny():
    with Weir(conf(route="deny: [127.0.0.2]"), Origin()) as w:
        assert statuses(w) == [200, 403, 200]
        x = w.log(3)[1]
        assert (x["end"], x["rule"], x["status"]) == ("access_denied", "deny", 403), x


def test_allow():
    with Weir(conf(route="allow: [127.0.0.2, 127.0.0.3/32]"), Origin()) as w:
        assert statuses(w) == [403, 200, 200]
        x = w.log(3)[0]
        assert (x["end"], x["rule"]) == ("access_denied", "allow"), x


def test_both():
    """deny is looked at first, what allow lets in is let in, the rest is refused."""
    with Weir(conf(route="allow: 127.0.0.2/31, deny: 127.0.0.2"), Origin()) as w:
        assert statuses(w) == [403, 403, 200]
    with Weir(conf(route='allow: [0.0.0.0/0, "::/0"], deny: 127.0.0.3'), Origin()) as w:
        assert statuses(w) == [200, 200, 403]


def test_respond_and_redirect():
    routes = '[{exact: /r, respond: {body: x}, deny: 127.0.0.1}, ' \
             '{path: /, redirect: {to: "https://a/"}, allow: 127.0.0.2}]'
    with Weir(conf(up="servers: [\"127.0.0.1:1\"]", routes=routes.replace("}]", "}, {exact: /n, upstream: up}]"))) as w:
        assert statuses(w, target="/r") == [403, 200, 200]
        assert statuses(w) == [403, 308, 403]


def test_the_client_behind_proxies():
    o = Origin()
    with Weir(conf(route="allow: 192.0.2.0/24", extra="trusted_proxies: [127.0.0.1]\n"), o) as w:
        assert get(w, headers={"X-Forwarded-For": "192.0.2.5"}).status == 200
        assert get(w, headers={"X-Forwarded-For": "192.0.3.5"}).status == 403
        assert get(w, headers={"X-Forwarded-For": "192.0.2.5"}, source=OTHER).status == 403
        assert get(w).status == 403


def test_a_client_without_address():
    listen = '"127.0.0.1:$PORT", "unix:$DIR/s"'
    routes = "[{exact: /a, respond: {}, allow: [0.0.0.0/0]}, {path: /, respond: {}, deny: 0.0.0.0/0}, " \
             "{exact: /n, upstream: up}]"
    with Weir(conf(routes=routes, listen=listen), Origin()) as w:
        u = f"unix:{w.dir}/s"
        assert (get(u, "/a").status, get(u, "/").status) == (403, 200)
        assert (get(w, "/a").status, get(w, "/").status) == (200, 403)


def test_ipv4_by_way_of_ipv6():
    """One address, however it is written: of a socket for both families, in a field."""
    port = free_port()
    with socket.socket(socket.AF_INET6) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        s.listen(9)
        with Weir(conf(listen="$PORT", route="deny: 127.0.0.2", extra="trusted_proxies: [127.0.0.1]\n"), Origin(),
                  PORT=port, sockets=[s]) as w:
            assert statuses(w) == [200, 403, 200]
            for text in ("::ffff:127.0.0.2", "::FFFF:7f00:2"):
                assert get(w, headers={"X-Forwarded-For": text}).status == 403, text
            assert get(f"[::1]:{port}").status == 200
            assert [x["client"] for x in w.log(6)] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"] + ["127.0.0.2"] * 2 + \
                ["::1"]


def test_nothing_is_read_charged_or_asked():
    o = Origin()
    with Weir(conf(route="deny: 127.0.0.1, limit: l", extra="limits: {l: {rate: 1/h}}\n"), o) as w:
        c = Client(w)
        for _ in range(3):
            r = c.ask(headers={"Accept": "application/json"})
            assert r.status == 403 and not r.has("RateLimit"), r
            assert json.loads(r.body)["error"]["code"] == "deny", r.body
        # The body is refused before it is sent: no 100 Continue.
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        r = c.recv_response()
        assert r.status == 403 and r.interim == [], r
        assert get(w, source=OTHER).status == 200, "nothing was charged to the route"
        assert len(o.requests) == 1


def test_an_answer_that_is_stored():
    """The list is asked before the cache."""
    o = Origin(lambda c, r: c.answer("x", headers=[("Cache-Control", "max-age=60")]))
    with Weir(conf(route="deny: 127.0.0.2, cache: c", extra="caches: {c: {}}\n"), o) as w:
        assert statuses(w) == [200, 403, 200]
        assert len(o.requests) == 1


def test_reload():
    with Weir(conf(), Origin()) as w:
        c = Client(w)
        assert c.ask().status == 200
        w.reload(conf(route="deny: 127.0.0.0/8"))
        assert c.ask().status == 403
        w.reload(conf(route="deny: 127.0.0.1/8"), ok=False)
        assert c.ask().status == 403


if __name__ == "__main__":
    main()
