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


def test_trailers_both_ways():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
               b"X-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\nHost: x\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        r = raw(w, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
                   b"X-In: 2\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nHost: evil\r\n"
                   b"Authorization: evil\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n")
        assert r.complete and r.trailers == [("X-Sum", "1")], r.trailers
        assert o.requests[0].trailers == [("X-In", "2")], o.requests[0].trailers


if __name__ == "__main__":
    main()
