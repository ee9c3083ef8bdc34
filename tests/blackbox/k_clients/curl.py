# SPDX-License-Identifier: MIT
"""curl, as people use it."""
# limit: 180
import gzip
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Program  # noqa: E402

PARTIAL_FILE = 18       # curl's exit code for an answer that was cut


class Curl(Program):
    is_client = True

    def __init__(self, *args, **more):
        super().__init__("curl", "-sS", "--noproxy", "*", "--max-time", 30, *args, **more)


def curl(*args, code=0, **more):
    """Runs it to its end; what it wrote."""
    c = Curl(*args, **more)
    assert c.wait() == code, (c.wait(), c.stdout[:500], c.stderr)
    return c.stdout


def file_of(w, name, data):
    path = os.path.join(w.dir, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def noise(n):
    return bytes((i * 7 + i // 251) & 255 for i in range(n))


def test_one_connection_for_all():
    o = Origin(lambda c, r: c.answer(r.target + "\n"))
    with Weir(conf(), o) as w:
        out = curl("-w", "%{http_code} %{num_connects}\n", *[f"{w.addr}/{i}" for i in range(3)])
        assert out == "/0\n200 1\n/1\n200 0\n/2\n200 0\n", out
        assert o.requests[0].get("User-Agent").startswith("curl/")


def test_post():
    o = Origin(lambda c, r: c.answer(r.body))
    with Weir(conf(), o) as w:
        out = curl("-H", "Content-Type: application/json", "-d", '{"a": 1}', w.addr)
        assert out == '{"a": 1}' and o.requests[0].method == "POST"


def test_upload_waits_for_100():
    """Over 1 MB curl asks first."""
    def handler(c, r):
        assert r.get("Expect") == "100-continue"
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.answer(str(len(c.read_body(r))))
    o = Origin(handler, read_body=False)
    with Weir(conf(), o) as w:
        data = noise(3 << 20)
        began = time.monotonic()
        # It would go on by itself after its own timeout.
        out = curl("--expect100-timeout", 25, "-T", file_of(w, "up", data), f"{w.addr}/up")
        assert time.monotonic() - began < 20, "curl was not told to go on"
        assert out == str(len(data)) and o.requests[0].body == data
        assert o.requests[0].method == "PUT"


def test_upload_refused_before_it_is_sent():
    def handler(c, r):
        c.answer("too much", "413 Content Too Large", [("Connection", "close")])
    o = Origin(handler, read_body=False)
    with Weir(conf(), o) as w:
        out = curl("--expect100-timeout", 25, "-w", "%{http_code} %{size_upload}", "-T",
                   file_of(w, "up", noise(3 << 20)), f"{w.addr}/up")
        assert out == "too much413 0", out


def test_upload_over_max_body():
    """Refused by weir; curl in the middle of sending still gets the answer."""
    o = Origin()
    with Weir(conf(route="max_body: 1MB"), o) as w:
        path = file_of(w, "up", noise(8 << 20))
        for args in (["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"], []):
            out = curl(*args, "-o", "/dev/null", "-w", "%{http_code}", "-T", path, f"{w.addr}/up")
            assert out == "413", (args, out)


def test_upload_of_unknown_length():
    o = Origin(lambda c, r: c.answer(r.body[-5:]))
    with Weir(conf(), o) as w:
        data = noise(2 << 20) + b"-end-"
        with open(file_of(w, "up", data), "rb") as f:
            out = curl("-H", "Expect:", "-T", "-", f"{w.addr}/up", stdin=f)
        assert out == "-end-" and o.requests[0].is_chunked and o.requests[0].body == data


def test_form_with_files():
    o = Origin(lambda c, r: c.answer(str(len(r.body))))
    with Weir(conf(), o) as w:
        a = file_of(w, "a.bin", noise(100000))
        out = curl("-F", f"file=@{a}", "-F", "name=x", f"{w.addr}/form")
        r = o.requests[0]
        assert out == str(len(r.body)) and noise(100000) in r.body
        assert r.get("Content-Type").startswith("multipart/form-data; boundary=")


def test_head_and_range():
    def handler(c, r):
        if r.method == "HEAD":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        elif r.get("Range") == "bytes=5-9":
            c.answer("56789", "206 Partial Content", [("Content-Range", "bytes 5-9/20")])
    o = Origin(handler)
    with Weir(conf(), o) as w:
        out = curl("-I", w.addr, "--next", "-sS", "-r", "5-9", w.addr)
        assert "Content-Length: 12345\r\n" in out and out.endswith("\r\n\r\n56789"), out
        assert len(o.conns) == 1, "the connection to the server was not used again"


def test_compressed():
    o = Origin(lambda c, r: c.answer(gzip.compress(b"packed " * 1000), "200 OK",
                                     [("Content-Encoding", "gzip")]))
    with Weir(conf(), o) as w:
        assert curl("--compressed", w.addr) == "packed " * 1000
        assert "gzip" in o.requests[0].get("Accept-Encoding")


def test_stream():
    """Each event is there before the next is sent."""
    gates = [Gate() for _ in range(4)]

    def handler(c, r):
        c.chunked_head("text/event-stream")
        for i, g in enumerate(gates):
            g.wait()
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Curl("-N", w.addr, stdout=subprocess.PIPE)
        for i, g in enumerate(gates):
            g.open()
            assert c.process.stdout.readline() == b"data: %d\n" % i
            assert c.process.stdout.readline() == b"\n"
        assert c.process.stdout.read() == b"" and c.wait() == 0


def test_cut_answers_are_told():
    def handler(c, r):
        if r.target == "/counted":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        else:
            c.chunked_head("text/event-stream" if r.target == "/events" else "text/plain")
            c.chunk(b"half")
        c.close()
    with Weir(conf(up="max_fails: 0"), Origin(handler)) as w:
        assert curl(f"{w.addr}/counted", code=PARTIAL_FILE) == "half"
        assert curl(f"{w.addr}/chunked", code=PARTIAL_FILE) == "half"
        out = curl(f"{w.addr}/events", code=PARTIAL_FILE)
        assert out.startswith("half") and "event: error\ndata: {" in out, out


def test_gone_in_the_middle():
    gate = Gate()
    left = []

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        left.append(c.wait_gone())
        gate.open()
    with Weir(conf(), Origin(handler)) as w:
        c = Curl("-N", w.addr, stdout=subprocess.PIPE)
        assert c.process.stdout.readline() == b"data: 1\n"
        c.signal(signal.SIGINT)
        gate.wait()
        assert left == [True] and w.last()["end"] == "client_abort"


def test_versions():
    """Asked for HTTP/2 over clear text curl stays with 1.1; what begins with 2 is turned away; 1.0."""
    o = Origin(lambda c, r: c.answer("x"))
    with Weir(conf(), o) as w:
        out = curl("--http2", "-w", " %{http_code} %{http_version}", w.addr)
        assert out == "x 200 1.1", out
        r = o.requests[0]
        assert not r.has("Upgrade") and not r.has("HTTP2-Settings"), r
        c = Curl("--http2-prior-knowledge", w.addr)
        assert c.wait() != 0, c.stdout
        assert len(o.heads) == 1
        assert curl("-0", "-w", " %{http_code}", w.addr) == "x 200"
        assert o.requests[1].version == "HTTP/1.1"
        assert [(x["status"], x.get("rule")) for x in w.log(3)] == \
            [(200, None), (505, "bad_version"), (200, None)], w.lines()


def test_http10_stream_ends_with_the_connection():
    def handler(c, r):
        c.chunked_head()
        c.chunk(b"abc")
        c.chunk(b"def")
        c.last_chunk()
    with Weir(conf(), Origin(handler)) as w:
        assert curl("-0", w.addr) == "abcdef"


def test_trailers():
    def handler(c, r):
        c.chunked_head(headers=[("Trailer", "X-Sum")])
        c.chunk(b"abc")
        c.send(b"0\r\nX-Sum: 123\r\n\r\n")
    with Weir(conf(), Origin(handler)) as w:
        out = curl("-D", "-", w.addr)
        assert out.endswith("abcX-Sum: 123\r\n") or "\r\nX-Sum: 123\r\n" in out, out


def test_interim_answers():
    def handler(c, r):
        c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        c.answer("x")
    with Weir(conf(), Origin(handler)) as w:
        out = curl("-i", w.addr)
        assert out.startswith("HTTP/1.1 103 Early Hints\r\n") and out.endswith("\r\n\r\nx"), out
        assert out.count("HTTP/1.1 ") == 2


def test_redirect_is_followed():
    o = Origin(lambda c, r: c.answer(r.target))
    routes = ('[{path: /old, redirect: {to: "http://127.0.0.1:$PORT/new$request_uri", status: 308}},'
              " {path: /, upstream: up}]")
    with Weir(conf(routes=routes), o) as w:
        out = curl("-L", "-d", "body", f"{w.addr}/old?x=1")
        assert out == "/new/old?x=1" and o.requests[0].body == b"body", out
        assert o.requests[0].method == "POST"


def test_retry_after():
    """curl waits as long as a server in trouble asks; without the field it would be a second."""
    answers = iter([("busy", "503 Service Unavailable", [("Retry-After", "2")]), ("fine",)])
    at = []

    def handler(c, r):
        at.append(time.monotonic())
        c.answer(*next(answers))
    with Weir(conf(up="max_fails: 0"), Origin(handler)) as w:
        assert curl("--retry", 2, "-o", "-", w.addr).endswith("fine")
        assert len(at) == 2 and at[1] - at[0] >= 1.9, at


def test_many_at_a_time():
    """Every answer in the file it belongs to."""
    os_ = [Origin(lambda c, r: c.answer(r.target * 50)) for _ in range(2)]
    with Weir(conf(2, up="balance: least_requests"), *os_) as w:
        curl("-Z", "--parallel-max", 20, f"{w.addr}/[1-200]", "-o", os.path.join(w.dir, "got#1"))
        for i in range(1, 201):
            with open(os.path.join(w.dir, f"got{i}"), encoding="ascii") as f:
                assert f.read() == f"/{i}" * 50
        assert all(x["status"] == 200 and x["end"] == "ok" for x in w.log(200))


def test_big_download():
    data = noise(1 << 20)

    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(data) * 20))
        for _ in range(20):
            c.send(data)
    with Weir(conf(), Origin(handler)) as w:
        path = os.path.join(w.dir, "down")
        curl("--limit-rate", "20M", "-o", path, w.addr)
        with open(path, "rb") as f:
            assert f.read() == data * 20


def test_unix_socket():
    o = Origin(lambda c, r: c.answer(r.get("Host")))
    with Weir(conf(listen='"127.0.0.1:$PORT", "unix:$DIR/w.sock"'), o) as w:
        path = os.path.join(w.dir, "w.sock")
        assert curl("--unix-socket", path, "http://chat.example.org/") == "chat.example.org"


if __name__ == "__main__":
    main()
