# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def test_continue():
    def handler(c, r):
        assert r.get("Expect", "").lower() == "100-continue"
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.answer(c.read_body(r)[::-1])
    o = Origin(handler, read_body=False)
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(2):
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert c.recv_head().status == 100
            c.send(b"abc")
            assert c.recv_response().body == b"cba"
        assert o.errors == [] and len(o.conns) == 1


def test_continue_refused():
    def handler(c, r):
        c.answer("no", "401 Unauthorized")
        c.wait_gone()
    o = Origin(handler, read_body=False)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        r = c.recv_response()
        assert (r.status, r.interim) == (401, [])


def test_other_expectations():
    o = Origin()
    with Weir(conf(), o) as w:
        r = get(w, "/", {"Expect": "a-miracle"})
        assert r.status == 417 and o.heads == [], r


def test_old_client_gets_no_interim():
    o = Origin(lambda c, r: c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") or c.answer("x"))
    with Weir(conf(), o) as w:
        r = get(w, version="1.0")
        assert r.status == 200 and r.interim == [], r


def test_old_client_expects_nothing():
    """RFC 9110 10.1.1: an expectation in HTTP/1.0 is passed over, whatever it is."""
    o = Origin()
    with Weir(conf(), o) as w:
        for value in ("100-continue", "a-miracle"):
            r = get(w, method="POST", body=b"abc", headers={"Expect": value}, version="1.0")
            assert r.status == 200 and not o.requests[-1].has("Expect"), (r, o.requests[-1].headers)


def test_early_hints():
    gate = Gate()

    def handler(c, r):
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        gate.wait()
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n")
        c.answer("page")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.request()
        r = c.recv_head()
        assert (r.status, r.get("Link")) == (103, "</a.css>; rel=preload"), r
        assert not r.has("Content-Length") and not r.has("Transfer-Encoding") and not r.has("Connection"), r
        gate.open()
        r = c.recv_response()
        assert [i.get("Link") for i in r.interim] == ["</b.css>; rel=preload"] and r.body == b"page", r
        assert c.ask().body == b"page"
        assert w.last(2)["status"] == 200


def test_unasked_100_is_swallowed():
    o = Origin(lambda c, r: c.send(b"HTTP/1.1 100 Continue\r\n\r\n") or c.answer("x"))
    with Weir(conf(), o) as w:
        r = get(w)
        assert (r.status, r.interim, r.body) == (200, [], b"x")


def test_a_flood_of_interim_answers_ends():
    def handler(c, r):
        for _ in range(10000):
            c.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(up="retry: {tries: 1}"), o) as w:
        r = get(w)
        assert r.status == 502, r
        assert w.last()["end"] == "bad_response"


# RFC 9110 6.5.1: framing, routing, authentication, and what is about one hop.
BARRED = ["Transfer-Encoding: chunked", "Content-Length: 3", "Host: evil", "Authorization: evil", "Cookie: a=b",
          "Set-Cookie: a=b", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Real-IP: 1.1.1.1",
          "Forwarded: for=1.1.1.1", "Connection: close", "Keep-Alive: timeout=1", "Proxy-Connection: close",
          "Proxy-Authorization: x", "Proxy-Authenticate: x", "Proxy-Other: x", "TE: trailers", "Trailer: X", "Upgrade: h2c",
          "HTTP2-Settings: x", "Expect: 100-continue", "Content-Type: text/html", "Content-Encoding: gzip",
          "Content-Range: bytes 0-1/2", "Range: bytes=0-1", "Cache-Control: no-store", "If-Match: x", "Via: 1.1 evil"]


def test_trailers_both_ways():
    """Kept, but for those that would come too late to be judged."""
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
               b"X-Sum: 1\r\n" + "".join(f"{x}\r\n" for x in BARRED).encode() + b"Server-Timing:  a;dur=1 \r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        r = raw(w, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
                   b"X-In: 2\r\n" + "".join(f"{x}\r\n{x.lower()}\r\n" for x in BARRED).encode() +
                   b"X_Sum: 3\r\nX-Empty:\r\n\r\n")
        assert r.complete and r.trailers == [("X-Sum", "1"), ("Server-Timing", "a;dur=1")], r.trailers
        assert o.requests[0].trailers == [("X-In", "2"), ("X-Empty", "")], o.requests[0].trailers


def test_trailers_for_who_cannot_have_them():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        c.request(version="1.0")
        assert c.recv_all().endswith(b"\r\n\r\nabc")


if __name__ == "__main__":
    main()
