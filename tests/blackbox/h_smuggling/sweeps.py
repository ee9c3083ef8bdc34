# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
import strict  # noqa: E402

# limit: 180
# Each of the 256 values of a byte in its place, both ways: what passes is what should, byte for byte.
TOKEN = set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def sweep(make, expected):
    """make(byte) -> request; expected(byte) -> (status, check of the server's request or None)."""
    o = Origin()
    wrong, passed = [], 0
    with Weir(conf(up="keepalive: {idle: 0}"), o) as w:
        keep = None
        for b in range(256):
            status, check = expected(b)
            passed += status == 200
            n = len(o.requests)
            c = keep or Client(w)
            keep = None
            try:
                c.send(make(b))
                r = c.recv_response()
            except (Closed, OSError) as e:
                wrong.append((b, status, repr(e)))
                continue
            if r.status != status:
                wrong.append((b, status, r.status))
            if len(o.requests) != n + (status == 200):
                wrong.append((b, status, "reached the server", [q.head for q in o.requests[n:]]))
            elif status == 200 and check is not None and not check(o.requests[n]):
                wrong.append((b, o.requests[n].head, o.requests[n].body))
            if r.status == 200 and r.get("Connection") != "close":
                keep = c
            else:
                c.close()
        # A connection to the server for each request: one message, whole, or the beginning of one.
        whole = [c.raw for c in o.conns if not strict.unfinished(c.raw)]
        for data in whole:
            strict.request(data)
        assert len(whole) == passed, (len(whole), passed)
    assert not wrong, "\n".join(map(repr, wrong[:40]))


def test_method():
    def expected(b):
        if b == ord("E"):
            return 200, lambda q: q.method == "GET"
        return (501 if b in TOKEN else 400), None
    sweep(lambda b: b"G%cT / HTTP/1.1\r\nHost: a\r\n\r\n" % b, expected)


def test_target():
    def expected(b):
        if 0x21 <= b <= 0x7e and b != ord("#"):
            return 200, lambda q: q.target == f"/a{chr(b)}b"
        return 400, None
    sweep(lambda b: b"GET /a%cb HTTP/1.1\r\nHost: a\r\n\r\n" % b, expected)


def test_query():
    def expected(b):
        if 0x21 <= b <= 0x7e and b != ord("#"):
            return 200, lambda q: q.target == f"/?a{chr(b)}b"
        return 400, None
    sweep(lambda b: b"GET /?a%cb HTTP/1.1\r\nHost: a\r\n\r\n" % b, expected)


def test_field_name():
    def expected(b):
        if b == ord(":"):
            return 200, lambda q: q.get("X-a") == "b: v"
        if b == ord("_"):
            return 200, lambda q: b"X-a" not in q.head
        if b in TOKEN:
            return 200, lambda q: b"\r\nX-a%cb: v\r\n" % b in q.head
        return 400, None
    sweep(lambda b: b"GET / HTTP/1.1\r\nHost: a\r\nX-a%cb: v\r\n\r\n" % b, expected)


def test_field_value():
    def expected(b):
        if b == 9 or (0x20 <= b and b != 0x7f):
            return 200, lambda q: b"\r\nX-A: a%cb\r\n" % b in q.head
        return 400, None
    sweep(lambda b: b"GET / HTTP/1.1\r\nHost: a\r\nX-A: a%cb\r\n\r\n" % b, expected)


def test_field_value_at_its_ends():
    """Blanks around a value go, everything else stays or is refused."""
    def expected(b):
        if b in (9, 32):
            return 200, lambda q: b"\r\nX-A: v\r\n" in q.head
        if 0x20 < b and b != 0x7f:
            return 200, lambda q: b"\r\nX-A: %cv%c\r\n" % (b, b) in q.head
        return 400, None
    sweep(lambda b: b"GET / HTTP/1.1\r\nHost: a\r\nX-A:%cv%c\r\n\r\n" % (b, b), expected)


HEX = b"0123456789abcdefABCDEF"


def test_chunk_size():
    def make(b):
        n = int(chr(b), 16) if b in HEX else 3
        data = b"x" * n + b"\r\n0\r\n\r\n" if n else b"\r\n"
        return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%c\r\n" % b + data

    def expected(b):
        if b in HEX:
            return 200, lambda q: q.body == b"x" * int(chr(b), 16)
        return 400, None
    sweep(make, expected)


def test_second_digit_of_a_chunk_size():
    def make(b):
        n = int("1" + chr(b), 16) if b in HEX else 1
        ext = b"x" if b == ord(";") else b""
        return (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1%c%s\r\n" % (b, ext) + b"x" * n +
                b"\r\n0\r\n\r\n")

    def expected(b):
        if b in HEX:
            return 200, lambda q: q.body == b"x" * int("1" + chr(b), 16)
        if b == ord(";"):
            return 200, lambda q: q.body == b"x"
        return 400, None
    sweep(make, expected)


def test_content_length():
    def make(b):
        n = 10 + b - 48 if 48 <= b <= 57 else 1
        return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1%c\r\n\r\n" % b + b"x" * n

    def expected(b):
        if 48 <= b <= 57:
            return 200, lambda q: q.body == b"x" * (10 + b - 48)
        if b == 32:
            return 200, lambda q: q.body == b"x"
        return 400, None        # a tab too: the second parser does not take it for blank there
    sweep(make, expected)


def test_version():
    def expected(b):
        if b in b"01":
            return 200, None
        return (505 if chr(b).isdigit() and b < 128 else 400), None
    sweep(lambda b: b"GET / HTTP/1.%c\r\nHost: a\r\n\r\n" % b, expected)


# --- what servers send -------------------------------------------------------------------------------

H = b"HTTP/1.1 200 OK\r\n"
OK = b"Content-Length: 2\r\n\r\nok"


def sweep_answers(make, expected):
    """make(byte) -> answer; expected(byte) -> a check of what the client gets, or None for a refusal."""
    o = Origin(lambda c, r: c.send(make(int(r.target[1:]))) if r.target[1:].isdigit() else c.answer("right"))
    wrong = []
    up = "max_fails: 0, retry: {tries: 1}, timeouts: {first_byte: 2s, idle: 2s}"
    with Weir(conf(up=up), o) as w:
        for b in range(256):
            check = expected(b)
            c = Client(w)
            try:
                c.request(target=f"/{b}")
                head = c.recv_until(b"\r\n\r\n")
                strict.read(head, strict.STATUS_LINE)
                c.buf = head + c.buf
                r = c.recv_response()
            except (Closed, strict.Ambiguous) as e:
                wrong.append((b, str(e)))
                continue
            conn = o.heads[-1].conn
            if check is None and (r.status != 502 if r.complete else r.status != 200):
                wrong.append((b, "passed", r, r.body))
            elif check is not None and not (r.complete and check(r)):
                wrong.append((b, "wanted", r, r.body))
            c.close()
            if get(w, "/next").body != b"right":
                wrong.append((b, "the next got another's answer"))
            if check is None and conn.requests[-1].target != f"/{b}":
                wrong.append((b, "used again"))
        ends = {x["target"]: x for x in w.log(512)}
        for b in range(256):
            line = ends[f"/{b}"]
            if (expected(b) is None) != (line["end"] in ("bad_response", "body_cut")) or \
                    (expected(b) is None and not line.get("rule")):
                wrong.append((b, line))
    assert not wrong, "\n".join(map(repr, wrong[:40]))


def body(want):
    return lambda r: r.status == 200 and r.body == want


def test_version_of_an_answer():
    sweep_answers(lambda b: b"HTTP/1.%c 200 OK\r\n" % b + OK, lambda b: body(b"ok") if b in b"01" else None)


def test_status_of_an_answer():
    sweep_answers(lambda b: b"HTTP/1.1 2%c0 OK\r\n" % b + OK,
                  lambda b: (lambda r: r.status == 200 + 10 * (b - 48)) if 48 <= b <= 57 else None)


def test_class_of_an_answer():
    """1xx is an interim answer, 2xx to 5xx are final."""
    def make(b):
        return b"HTTP/1.1 %c15 OK\r\n" % b + (b"\r\n" + H if b == 49 else b"") + OK

    def expected(b):
        if b == 49:
            return body(b"ok")
        return (lambda r: r.status == 15 + 100 * (b - 48)) if 50 <= b <= 53 else None
    sweep_answers(make, expected)


def test_byte_behind_the_status():
    sweep_answers(lambda b: b"HTTP/1.1 200%cOK\r\n" % b + OK, lambda b: body(b"ok") if b == 32 else None)


def test_reason():
    def expected(b):
        if b == 9 or (b >= 32 and b != 127):
            return lambda r: r.head.split(b"\r\n")[0] == b"HTTP/1.1 200 O%cK" % b
        return None
    sweep_answers(lambda b: b"HTTP/1.1 200 O%cK\r\n" % b + OK, expected)


def test_field_name_of_an_answer():
    def expected(b):
        if b == ord(":"):
            return lambda r: b"\r\nX-a: b: v\r\n" in r.head
        return (lambda r: b"\r\nX-a%cb: v\r\n" % b in r.head) if b in TOKEN else None
    sweep_answers(lambda b: H + b"X-a%cb: v\r\n" % b + OK, expected)


def test_field_value_of_an_answer():
    def expected(b):
        if b == 9 or (b >= 32 and b != 127):
            return lambda r: b"\r\nX-A: a%cb\r\n" % b in r.head
        return None
    sweep_answers(lambda b: H + b"X-A: a%cb\r\n" % b + OK, expected)


def test_content_length_of_an_answer():
    def make(b):
        n = 10 + b - 48 if 48 <= b <= 57 else 1
        return H + b"Content-Length: 1%c\r\n\r\n" % b + b"x" * n

    def expected(b):
        if 48 <= b <= 57:
            return body(b"x" * (10 + b - 48))
        return body(b"x") if b == 32 else None
    sweep_answers(make, expected)


def chunked(line, n):
    return H + b"Transfer-Encoding: chunked\r\n\r\n" + line + b"\r\n" + b"x" * n + b"\r\n" * (n > 0) + \
        b"0\r\n\r\n" * (n > 0) + b"\r\n" * (n == 0)


def test_chunk_size_of_an_answer():
    sweep_answers(lambda b: chunked(b"%c" % b, int(chr(b), 16) if b in HEX else 3),
                  lambda b: body(b"x" * int(chr(b), 16)) if b in HEX else None)


def test_second_digit_of_a_chunk_size_of_an_answer():
    def expected(b):
        if b in HEX:
            return body(b"x" * int("1" + chr(b), 16))
        return body(b"x") if b == ord(";") else None
    sweep_answers(lambda b: chunked(b"1%c" % b, int("1" + chr(b), 16) if b in HEX else 1), expected)


def test_end_of_a_chunk_of_an_answer():
    sweep_answers(lambda b: H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx%c\n0\r\n\r\n" % b,
                  lambda b: body(b"x") if b == 13 else None)


if __name__ == "__main__":
    main()
