# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

OURS = ("x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id",
        "via", "host")


def seen(headers=(), trusted="10.0.0.0/8", source=None, host="a.example:99", extra="", **more):
    """What the server gets, and the daemon's port."""
    o = Origin()
    with Weir(conf(extra=f"trusted_proxies: [{trusted}]\n" + extra, **more), o) as w:
        assert get(w, "/", headers, source=source, host=host).status == 200
        return o.requests[0], w.port


def test_exact_request():
    q, port = seen({"X-Request-Id": "abc-1", "User-Agent": "me", "Accept": "*/*"})
    want = [("Host", "a.example:99"), ("User-Agent", "me"), ("Accept", "*/*"), ("X-Real-IP", "127.0.0.1"),
            ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "a.example:99"),
            ("X-Forwarded-Port", str(port)), ("X-Request-Id", "abc-1"), ("Via", "1.1 weir")]
    assert sorted(q.headers) == sorted(want), q.headers
    assert q.headers[0][0] == "Host"
    assert q.start == "GET / HTTP/1.1"


def test_an_untrusted_client_is_not_believed():
    q, port = seen([("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"), ("X-Real-IP", "3.3.3.3"),
                    ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil"), ("X-Forwarded-Port", "1"),
                    ("Forwarded", "for=4.4.4.4")])
    got = {n: q.all(n) for n in OURS}
    assert got["x-forwarded-for"] == ["127.0.0.1"] and got["x-real-ip"] == ["127.0.0.1"], got
    assert got["x-forwarded-proto"] == ["http"] and got["x-forwarded-host"] == ["a.example:99"], got
    assert got["x-forwarded-port"] == [str(port)], got
    assert not q.has("Forwarded"), q.headers


def test_a_trusted_proxy_is_believed():
    q, port = seen([("X-Forwarded-For", "1.1.1.1, 9.9.9.9"), ("X-Forwarded-For", "10.1.2.3"),
                    ("X-Real-IP", "3.3.3.3"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "site"),
                    ("X-Forwarded-Port", "443"), ("Forwarded", "for=1.1.1.1")], trusted="127.0.0.0/8, 10.0.0.0/8")
    assert q.all("X-Forwarded-For") == ["1.1.1.1, 9.9.9.9, 10.1.2.3, 127.0.0.1"], q.headers
    # From the right: 10.1.2.3 is trusted, 9.9.9.9 is not: that is the client.
    assert q.all("X-Real-IP") == ["9.9.9.9"], q.headers
    assert (q.get("X-Forwarded-Proto"), q.get("X-Forwarded-Host"), q.get("X-Forwarded-Port")) == \
        ("https", "site", "443")
    assert q.get("Forwarded") == "for=1.1.1.1"


# X-Forwarded-For -> the client, with 127.0.0.0/8 and 10.0.0.0/8 trusted.
WALK = [
    ("1.2.3.4", "1.2.3.4"),
    ("1.2.3.4, 5.6.7.8", "5.6.7.8"),
    ("1.2.3.4, 10.0.0.1", "1.2.3.4"),
    ("1.2.3.4,10.0.0.1,10.0.0.2", "1.2.3.4"),
    ("10.0.0.9, 10.0.0.1", "10.0.0.9"),
    ("1.2.3.4, nonsense, 10.0.0.1", "10.0.0.1"),
    ("unknown", "127.0.0.1"),
    ("1.2.3.4:5678", "1.2.3.4"),
    ("2001:db8::1", "2001:db8::1"),
    ("[2001:db8::1]:99", "2001:db8::1"),
    ("", "127.0.0.1"),
    (" , 1.2.3.4 , ", "1.2.3.4"),
]


def test_the_walk():
    o = Origin()
    with Weir(conf(extra="trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]"), o) as w:
        for i, (value, want) in enumerate(WALK):
            get(w, "/", {"X-Forwarded-For": value})
            assert o.requests[i].get("X-Real-IP") == want, (value, want, o.requests[i].headers)
            assert w.last(i + 1)["client"] == want


def test_request_ids():
    o = Origin()
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(3):
            c.ask()
        ids = [r.get("X-Request-Id") for r in o.requests]
        assert len(set(ids)) == 3 and all(re.fullmatch(r"[0-9a-f]{32}", i) for i in ids), ids
        assert [x["request_id"] for x in w.log(3)] == ids
        # One that is none is replaced, one that is goes on.
        c.ask(headers={"X-Request-Id": "a b"})
        assert re.fullmatch(r"[0-9a-f]{32}", o.requests[3].get("X-Request-Id"))
        c.ask(headers={"X-Request-Id": "x" * 500})
        assert len(o.requests[4].get("X-Request-Id")) == 32
        c.ask(headers={"X-Request-Id": "tx-1.2_3"})
        assert o.requests[5].all("X-Request-Id") == ["tx-1.2_3"]
        assert w.last(6)["request_id"] == "tx-1.2_3"


def test_traceparent_passes():
    tp = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    q, _ = seen({"traceparent": tp, "tracestate": "a=b"})
    assert q.get("traceparent") == tp and q.get("tracestate") == "a=b"


def test_via_both_ways():
    o = Origin(lambda c, r: c.answer("x", headers=[("Via", "1.1 inner")]))
    with Weir(conf(), o) as w:
        r = get(w, "/", {"Via": "1.0 outer"})
        assert ", ".join(o.requests[0].all("Via")) == "1.0 outer, 1.1 weir", o.requests[0].headers
        assert ", ".join(r.all("Via")) == "1.1 inner, 1.1 weir", r.headers
        assert get(w, version="1.0").status == 200
        assert o.requests[1].get("Via") == "1.0 weir"


def test_server_and_date_are_kept():
    o = Origin(lambda c, r: c.answer("x", headers=[("Server", "mine"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]
                                     if r.target == "/1" else []))
    with Weir(conf(), o) as w:
        r = get(w, "/1")
        assert (r.all("Server"), r.all("Date")) == (["mine"], ["Sun, 06 Nov 1994 08:49:37 GMT"]), r
        r = get(w, "/2")
        assert not r.has("Server") and len(r.all("Date")) == 1, r


HOP = [("Connection", "keep-alive, X-Named"), ("X-Named", "v"), ("Keep-Alive", "timeout=5"),
       ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic x"), ("Proxy-Authenticate", "Basic"), ("proxy-anything", "x"),
       ("TE", "trailers"), ("Trailer", "X-T"), ("Proxy", "stays"), ("X-Stays", "here")]


def test_hop_by_hop_fields_of_requests():
    q, _ = seen(HOP)
    names = {n.lower() for n, _ in q.headers}
    for n, _ in HOP[:-2]:
        if n != "Trailer":
            assert n.lower() not in names, q.headers
    assert q.get("X-Stays") == "here"


def test_hop_by_hop_fields_of_answers():
    o = Origin(lambda c, r: c.answer("x", headers=HOP))
    with Weir(conf(), o) as w:
        r = get(w)
        names = {n.lower() for n, _ in r.headers}
        for n in ("x-named", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-anything", "te"):
            assert n not in names, r.headers
        assert r.get("X-Stays") == "here" and "x-named" not in r.get("Connection", "").lower()


def test_connection_cannot_name_what_matters_away():
    q, _ = seen([("Connection", "Host, Authorization, Cookie, Content-Length, X-Real-IP, X-Gone"),
                 ("Authorization", "Bearer a"), ("Cookie", "b=c"), ("X-Gone", "1")])
    assert q.get("Authorization") == "Bearer a" and q.get("Cookie") == "b=c" and q.get("Host") == "a.example:99"
    assert q.get("X-Real-IP") == "127.0.0.1" and not q.has("X-Gone"), q.headers


def test_connection_fields_in_many_pieces():
    q, _ = seen([("Connection", "x-one"), ("connection", "close, x-two ,,x-three"), ("X-One", "1"), ("X-Two", "2"),
                 ("X-Three", "3"), ("X-Four", "4")])
    assert not q.has("X-One") and not q.has("X-Two") and not q.has("X-Three") and q.has("X-Four"), q.headers


def test_h2c_is_never_passed_on():
    q, _ = seen([("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
    names = {n.lower() for n, _ in q.headers}
    assert not names & {"upgrade", "http2-settings", "connection"}, q.headers
    q, _ = seen([("Connection", "HTTP2-Settings"), ("HTTP2-Settings", "x"), ("Upgrade", "h2c, websocket")])
    assert not q.has("HTTP2-Settings") and "h2c" not in q.get("Upgrade", ""), q.headers


def test_h2c_among_others():
    """What else is offered goes on: the server sees neither h2c nor that it was there."""
    for fields, want in (([("Upgrade", "h2c, websocket")], "websocket"), ([("Upgrade", "websocket, H2C")], "websocket"),
                         ([("Upgrade", "h2c"), ("Upgrade", "websocket, x/2")], "websocket, x/2")):
        q, _ = seen([("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "x")] + fields)
        assert q.all("Upgrade") == [want] and q.get("Connection").lower() == "upgrade", q.headers
        assert not q.has("HTTP2-Settings"), q.headers


def test_underscores():
    q, _ = seen([("X_Forwarded_For", "6.6.6.6"), ("X_A", "b"), ("X-A", "c")])
    assert not q.has("X_A") and not q.has("X_Forwarded_For") and q.get("X-A") == "c"
    q, _ = seen([("X_A", "b")], extra="client: {underscores_in_headers: true}\n")
    assert q.get("X_A") == "b"


def test_repeated_fields_stay():
    q, _ = seen([("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ("X-Empty", "")])
    assert q.all("X-A") == ["1", "3"] and q.all("X-Empty") == [""]


def test_field_values_are_trimmed_and_else_untouched():
    o = Origin()
    with Weir(conf(), o) as w:
        raw(w, b"GET / HTTP/1.1\r\nHost:a\r\nX-A: \t a  b\t c \t \r\nX-B:\xc3\xa9\xff\r\nx-C:1\r\n\r\n")
        head = o.requests[0].head
        assert b"\r\nX-A: a  b\t c\r\n" in head and b"\r\nX-B: \xc3\xa9\xff\r\n" in head and b"\r\nx-C: 1\r\n" in head


def test_set_cookie_is_never_joined():
    o = Origin(lambda c, r: c.answer("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    with Weir(conf(), o) as w:
        assert get(w).all("Set-Cookie") == ["a=1", "b=2"]


if __name__ == "__main__":
    main()
