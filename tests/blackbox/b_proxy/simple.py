# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def test_get():
    o = Origin(lambda c, r: c.answer("hello", headers=[("X-A", "b"), ("Server", "mine")]))
    with Weir(conf(), o) as w:
        r = get(w, "/a/b?c=d&e")
        assert (r.status, r.reason, r.body, r.get("Content-Length")) == (200, "OK", b"hello", "5"), r
        assert (r.get("X-A"), r.get("Server"), r.version) == ("b", "mine", "HTTP/1.1")
        q = o.requests[0]
        assert (q.method, q.target, q.version, q.body) == ("GET", "/a/b?c=d&e", "HTTP/1.1", b"")
        assert not q.has("Content-Length") and not q.has("Transfer-Encoding")


def test_post():
    o = Origin(lambda c, r: c.answer(r.body[::-1]))
    with Weir(conf(), o) as w:
        r = get(w, "/", method="POST", body=b"abc")
        assert r.body == b"cba"
        assert o.requests[0].get("Content-Length") == "3" and o.requests[0].method == "POST"
        assert get(w, "/", method="POST", body=b"").status == 200
        assert o.requests[1].get("Content-Length") == "0"


def test_other_methods():
    o = Origin(lambda c, r: c.answer(r.method))
    with Weir(conf(), o) as w:
        for m in ("PUT", "DELETE", "OPTIONS", "PATCH"):
            assert get(w, "/", method=m).body == m.encode()


def test_options_star():
    o = Origin()
    with Weir(conf(), o) as w:
        assert get(w, "*", method="OPTIONS").status == 200
        assert o.requests[0].target == "*"


def test_absolute_form():
    o = Origin()
    with Weir(conf(), o) as w:
        assert get(w, "http://test.example/a?b").status == 200
        assert o.requests[0].target == "/a?b" and o.requests[0].all("Host") == ["test.example"]
        assert get(w, "http://test.example").status == 200
        assert o.requests[1].target == "/"
        assert get(w, "http://test.example?q").status == 200
        assert o.requests[2].target == "/?q"


def test_head():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: b\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask("HEAD")
        assert (r.status, r.get("Content-Length")) == (200, "1000")
        assert c.ask("HEAD").status == 200 and c.buf == b""
        assert len(o.conns) == 1


def test_no_content_and_not_modified():
    def handler(c, r):
        if r.target == "/204":
            c.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            c.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask(target="/204")
        assert r.status == 204 and not r.has("Content-Length") and not r.has("Transfer-Encoding"), r
        r = c.ask(target="/304")
        assert r.status == 304 and r.get("ETag") == '"x"' and not r.has("Transfer-Encoding"), r
        assert c.ask(target="/204").status == 204 and c.buf == b""
        assert len(o.conns) == 1


def test_statuses_pass():
    o = Origin(lambda c, r: c.answer("x", r.target[1:] + " Some Reason"))
    with Weir(conf(up="max_fails: 0, retry: {tries: 1}"), o) as w:
        c = Client(w)
        for s in (200, 201, 206, 301, 400, 401, 404, 418, 429, 500, 502, 503, 504, 599):
            r = c.ask(target=f"/{s}")
            assert (r.status, r.reason, r.body) == (s, "Some Reason", b"x"), r


def test_chunked_both_ways():
    def handler(c, r):
        c.chunked_head()
        for p in (b"one ", b"two ", r.body):
            c.chunk(p)
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask("POST", "/", body=[b"a", b"bc", b"d" * 70000], chunked=True)
        assert r.complete and r.is_chunked and r.body == b"one two abc" + b"d" * 70000
        q = o.requests[0]
        assert q.is_chunked and not q.has("Content-Length") and q.body == b"abc" + b"d" * 70000
        assert len(o.conns) == 1


def test_chunked_empty():
    def handler(c, r):
        c.chunked_head()
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(2):
            r = c.ask("POST", "/", body=b"", chunked=True)
            assert (r.status, r.complete, r.body) == (200, True, b"")
        assert o.requests[1].body == b""


def test_chunk_extensions_are_dropped():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d;e\"\r\nabc\r\n0;z\r\n\r\n")
    o = Origin(handler)
    with Weir(conf(), o) as w:
        r = raw(w, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"2;x=y\r\nhi\r\n0;last=\"1\"\r\n\r\n")
        assert (r.complete, r.body) == (True, b"abc")
        assert o.requests[0].body == b"hi" and b";" not in o.requests[0].raw_body, o.requests[0].raw_body


def test_until_close():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(2):
            r = c.ask()
            assert r.is_chunked and r.complete and r.body == b"all of it"
        assert len(o.conns) == 2
        assert w.last(2)["end"] == "ok"


def test_old_server():
    def handler(c, r):
        c.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        assert c.ask().body == b"old" and c.ask().body == b"old"
        assert c.buf == b"" and not c.is_closed()


def test_old_client():
    def handler(c, r):
        c.chunked_head()
        c.chunk(b"ab")
        c.chunk(b"cd")
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask(version="1.0", host=None)
        assert not r.is_chunked and not r.has("Content-Length") and r.body == b"abcd" and c.eof == "fin", r
        assert r.get("Connection") == "close"
        assert o.requests[0].version == "HTTP/1.1"


def test_old_client_that_keeps_the_connection():
    o = Origin(lambda c, r: c.answer("abc"))
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(2):
            r = c.ask(version="1.0", headers={"Connection": "keep-alive"})
            assert r.body == b"abc" and r.get("Connection", "").lower() == "keep-alive", r
        r = c.ask(version="1.0")
        assert r.body == b"abc" and c.wait_closed() == "fin"


def test_client_says_close():
    o = Origin()
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask(headers={"Connection": "close"})
        assert r.get("Connection") == "close" and c.wait_closed() == "fin"
        r = get(w)
        assert len(o.conns) == 1, "the server's connection has nothing to do with that"


def test_keep_alive_and_reuse():
    o = Origin()
    with Weir(conf(), o) as w:
        c = Client(w)
        for i in range(20):
            assert c.ask(target=f"/{i}").body == b"origin"
        assert len(o.conns) == 1
        assert o.targets() == [f"/{i}" for i in range(20)]


def test_server_says_close():
    def handler(c, r):
        c.answer("x", headers=[("Connection", "close")])
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(3):
            r = c.ask()
            assert r.status == 200 and r.get("Connection") != "close", r
        assert len(o.conns) == 3


def test_pipelining_in_order():
    o = Origin(lambda c, r: c.answer(r.target + " " + r.body.decode()))
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"".join(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" %
                        (i, i % 7, b"x" * (i % 7)) for i in range(50)))
        for i in range(50):
            assert c.recv_response().body == b"/%d " % i + b"x" * (i % 7)
        assert o.targets() == [f"/{i}" for i in range(50)]


def test_pipelined_byte_by_byte():
    o = Origin(lambda c, r: c.answer(r.target + " " + r.body.decode()))
    with Weir(conf(), o) as w:
        c = Client(w)
        data = (b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
                b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        for i in range(len(data)):
            c.send(data[i:i + 1])
        assert c.recv_response().body == b"/1 abc"
        assert c.recv_response().body == b"/2 "


def test_answer_byte_by_byte():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"

    def handler(c, r):
        for i in range(len(data)):
            c.send(data[i:i + 1])
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        for _ in range(2):
            r = c.ask()
            assert r.complete and r.body == b"abc"
        assert len(o.conns) == 1


def test_empty_line_before_a_request():
    o = Origin()
    with Weir(conf(), o) as w:
        assert raw(w, b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200


def test_two_requests_of_which_the_second_is_bad():
    o = Origin()
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\n")
        assert c.recv_response().status == 200
        assert c.recv_response().status == 400
        assert c.wait_closed() == "fin"
        assert o.targets() == ["/1"]


if __name__ == "__main__":
    main()
