# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 120
# BEHAVIOUR.md section 3, for what servers send: 502 or a cut, and the connection never again.
H = b"HTTP/1.1 200 OK\r\n"
WRONG = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG"



def rule_of_line(v):
    if b"\x00" in v or b"\x0b" in v:
        return "control_byte"
    if b"\r" in v:
        return "bare_cr"
    return "bad_version" if re.match(rb"HTTP/[0-9]\.[0-9] ", v) and not v.startswith(b"HTTP/1.1") else "bad_status_line"


BAD = [
    ("length and chunked", H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "length_and_chunked"),
    ("two equal lengths", H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "two_content_lengths"),
    ("two lengths", H + b"Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc", "two_content_lengths"),
    ("two transfer codings", H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "two_transfer_encodings"),
    ("chunked in 1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding_in_1_0"),
    ("length in a 204 twice", b"HTTP/1.1 204 No\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "two_content_lengths"),
    ("both in a 304", b"HTTP/1.1 304 No\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
     "length_and_chunked"),
] + [("length " + repr(v), H + b"Content-Length: " + v + b"\r\n\r\nabc", "bad_content_length") for v in (
    b"3, 3", b"3,3", b"+3", b"-3", b"0x3", b"3a", b"", b"3 3", b"18446744073709551616", b"9223372036854775808")
] + [("coding " + repr(v), H + b"Transfer-Encoding: " + v + b"\r\n\r\n0\r\n\r\n", "bad_transfer_encoding") for v in (
    b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"", b"chunked;q=1", b"chunked, gzip")
] + [("status line " + repr(v), v + b"\r\nContent-Length: 3\r\n\r\nabc", rule_of_line(v)) for v in (
    b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 20x OK",
    b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200\tOK", b" HTTP/1.1 200 OK", b"HTTP/2.0 200 OK",
    b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"XHTTP/1.1 200 OK", b"200 OK",
    b"HTTP/1.1 -200 OK", b"HTTP/1.1 200OK", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/11 200 OK", b"HTTP/1.1 999 X",
    b"HTTP/1.1 600 X", b"<html>", b"", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1x200 OK",
    b"HTTP/1.1 200xOK", b"HTTP/1.1 2 0 OK", b"HTTP/1.1 +20 OK", b"HTTP/01.1 200 OK", b"HTTP/1.1\x0b200 OK")
] + [
    ("bare CR in a value", H + b"X: a\rb\r\nContent-Length: 3\r\n\r\nabc", "bare_cr"),
    ("bare LF lines", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "bare_lf"),
    ("one bare LF", H + b"X: a\nContent-Length: 3\r\n\r\nabc", "bare_lf"),
    ("bare LF for the empty line", H + b"Content-Length: 3\r\n\nabc", "bare_lf"),
    ("NUL in a value", H + b"X: a\x00\r\nContent-Length: 3\r\n\r\nabc", "control_byte"),
    ("NUL in a name", H + b"X\x00: a\r\nContent-Length: 3\r\n\r\nabc", "control_byte"),
    ("obs-fold", H + b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc", "obs_fold"),
    ("space before the first field", H + b" X: a\r\nContent-Length: 3\r\n\r\nabc", "obs_fold"),
    ("space before a colon", H + b"Content-Length : 3\r\n\r\nabc", "space_before_colon"),
    ("no colon", H + b"nonsense\r\nContent-Length: 3\r\n\r\nabc", "no_colon"),
    ("empty name", H + b": x\r\nContent-Length: 3\r\n\r\nabc", "bad_field_name"),
    ("name no token", H + b"X Y: x\r\nContent-Length: 3\r\n\r\nabc", "bad_field_name"),
    ("head too long", H + b"X: " + b"a" * 70000 + b"\r\nContent-Length: 3\r\n\r\nabc", "head_too_large"),
    ("head without end", H + b"X: " + b"a" * 200000, "head_too_large"),
    ("many fields", H + b"X: y\r\n" * 201 + b"Content-Length: 3\r\n\r\nabc", "too_many_fields"),
    ("101 nobody asked for", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
     "unasked_upgrade"),
    ("a flood of 1xx", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + H + b"Content-Length: 3\r\n\r\nabc",
     "too_many_interim_answers"),
    ("bad interim answer", b"HTTP/1.1 103 Early\nX: y\r\n\r\n" + H + b"Content-Length: 3\r\n\r\nabc", "bare_lf"),
    ("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_status_line"),
    ("nothing that ends", b"HTTP/1.1 200", None),
]

CH = H + b"Transfer-Encoding: chunked\r\n\r\n"
# The head is good and may have gone; then the answer is cut.
CUT = [("chunk size " + repr(v), CH + b"2\r\nok\r\n" + v + b"\r\nabc\r\n0\r\n\r\n", "bad_chunk_size") for v in (
    b"+3", b"-3", b"0x3", b" 3", b"3 ", b"", b"g", b"3\x00", b"10000000000000003", b"ffffffffffffffff",
    b"8000000000000000", b"3\t;x")] + [
    ("chunk line ended by LF", CH + b"3\nabc\r\n0\r\n\r\n", "bare_lf"),
    ("chunk line ended by CR", CH + b"3\rabc\r\n0\r\n\r\n", "bare_cr"),
    ("extension ended by LF", CH + b"3;x\nabc\r\n0\r\n\r\n", "bare_lf"),
    ("extension with a NUL", CH + b"3;\x00\r\nabc\r\n0\r\n\r\n", "control_byte"),
    ("data ended by XX", CH + b"3\r\nabcXX0\r\n\r\n", "bad_chunk_end"),
    ("data ended by LF", CH + b"3\r\nabc\n0\r\n\r\n", "bad_chunk_end"),
    ("a chunk that lies: longer", CH + b"3\r\nabcd\r\n0\r\n\r\n", "bad_chunk_end"),
    ("a chunk that lies: shorter", CH + b"3\r\nab\r\n0\r\n\r\n", "bad_chunk_end"),
    ("the last line ended by LF", CH + b"3\r\nabc\r\n0\n\r\n", "bare_lf"),
    ("trailer with a bare LF", CH + b"3\r\nabc\r\n0\r\nX: y\n\r\n", "bare_lf"),
    ("trailer folded", CH + b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", "obs_fold"),
    ("trailer without a colon", CH + b"3\r\nabc\r\n0\r\nX\r\n\r\n", "no_colon"),
    ("many trailers", CH + b"0\r\n" + b"X: y\r\n" * 201 + b"\r\n", "bad_trailer"),
    ("large trailers", CH + b"0\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "bad_trailer"),
    ("long extension", CH + b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n", "chunk_extension_too_long"),
    ("many short extensions", CH + b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n" * 200 + b"0\r\n\r\n",
     "chunk_extension_too_long"),
]


class Script:
    """A server that answers /bad/N with case N and everything else with its own target."""

    def __init__(self, cases, close=False):
        self.cases = cases
        self.close = close
        self.origin = Origin(self.handler)

    def handler(self, c, r):
        if r.target.startswith("/bad/"):
            c.send(self.cases[int(r.target[5:])])
            if self.close:
                c.close()
        else:
            c.answer("right " + r.target)


ONE_TRY = "max_fails: 0, retry: {tries: 1}, timeouts: {first_byte: 1s, idle: 1s}"


def logged(w, target):
    return eventually(lambda: next((x for x in w.log(0) if x["target"] == target), None), what=f"{target} in the log")


def run(cases, judge, method="GET", close=False):
    """Each case on a connection to the server that has served before; then another must be right."""
    s = Script([x[1] for x in cases], close)
    wrong, answers = [], []
    with Weir(conf(up=ONE_TRY), s.origin) as w:
        for i, case in enumerate(cases):
            try:
                c = Client(w)
                assert c.ask(target=f"/first/{i}").body == b"right /first/%d" % i
                r = c.ask(method, f"/bad/{i}")
                answers.append((i, case, r))
                conn = next(q.conn for q in s.origin.heads if q.target == f"/bad/{i}")
                for j in range(2):
                    got = c.ask(target=f"/next/{i}/{j}") if j and not c.is_closed() else get(w, f"/next/{i}/{j}")
                    if got.body != b"right /next/%d/%d" % (i, j):
                        wrong.append((case[0], "another's answer", got, got.body))
                if conn.requests[-1].target != f"/bad/{i}":
                    wrong.append((case[0], "the connection was used again"))
                if not eventually(lambda conn=conn: conn.gone or conn.ours):
                    wrong.append((case[0], "the connection stays open"))
                c.close()
            except Exception as e:
                wrong.append((case[0], repr(e)))
        for i, case, r in answers:
            line = logged(w, f"/bad/{i}")
            bad = judge(case, r, line)
            if bad:
                wrong.append((case[0], bad, r, r.body[:80], line))
    assert not wrong, "\n".join(map(repr, wrong))


def test_bad_heads():
    def judge(case, r, line):
        rule = case[2]
        if case[0] == "nothing that ends":
            return None if r.status == 504 and line["end"] == "head_timeout" else "status"
        if r.status != 502 or line["status"] != 502:
            return "status"
        if line["end"] != "bad_response":
            return "end"
        if b"WRONG" in r.body or b"abc" in r.body:
            return "leak"
        return None if line.get("rule") == rule else f"rule, wanted {rule}"
    run(BAD, judge)


def test_bad_heads_in_answers_to_head():
    def judge(case, r, line):
        return "status" if r.status not in (502, 504) else None
    run(BAD[:20], judge, "HEAD")


def test_bad_chunks():
    def judge(case, r, line):
        if r.status == 200 and r.complete:
            return "looks whole"
        if line["end"] not in ("body_cut", "bad_response"):
            return "end"
        return None if line.get("rule") == case[2] else f"rule, wanted {case[2]}"
    run(CUT, judge)


# Good answers with something behind them: the client has its answer, the connection is not used again.
EXTRA = [
    ("bytes after a counted answer", H + b"Content-Length: 2\r\n\r\nok" + WRONG, b"ok", "GET", 200),
    ("bytes after a chunked answer", CH + b"2\r\nok\r\n0\r\n\r\n" + WRONG, b"ok", "GET", 200),
    ("one byte after", H + b"Content-Length: 2\r\n\r\nok\n", b"ok", "GET", 200),
    ("204 with a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nWRONG", b"", "GET", 204),
    ("204 with chunks", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nWRONG\r\n0\r\n\r\n", b"",
     "GET", 204),
    ("204 that announces a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", "GET", 204),
    ("204 that announces chunks", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", "GET", 204),
    ("304 with a body", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nWRONG", b"", "GET", 304),
    ("HEAD with a body", H + b"Content-Length: 5\r\n\r\nWRONG", b"", "HEAD", 200),
    ("HEAD with chunks", CH + b"5\r\nWRONG\r\n0\r\n\r\n", b"", "HEAD", 200),
    ("HEAD with another answer", H + b"Content-Length: 0\r\n\r\n" + WRONG, b"", "HEAD", 200),
    ("two answers", WRONG.replace(b"WRONG", b"right") + WRONG, b"right", "GET", 200),
]


def test_bytes_after_the_answer():
    for method in ("GET", "HEAD"):
        def judge(case, r, line):
            if (r.status, r.body) != (case[4], case[2]):
                return "answer"
            return None
        run([x for x in EXTRA if x[3] == method], judge, method)


GOOD = [
    ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("reason not ASCII", b"HTTP/1.1 200 \xc3\xa9t\xe9\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("odd status", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("value not ASCII", H + b"X: \xff\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("chunked in capitals", H + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
    ("extensions and trailers", CH + b"2;a=b\r\nok\r\n0;c\r\nX: y\r\n\r\n", b"ok"),
    ("interim first", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + H + b"Content-Length: 2\r\n\r\nok", b"ok"),
    ("large head", H + b"X: " + b"a" * 40000 + b"\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("length 0", H + b"Content-Length: 0\r\n\r\n", b""),
    ("1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ("underscore", H + b"X_Y: z\r\nContent-Length: 2\r\n\r\nok", b"ok"),
]


def test_valid_neighbours():
    s = Script([x[1] for x in GOOD])
    with Weir(conf(up=ONE_TRY), s.origin) as w:
        wrong = []
        for i, (name, _, body) in enumerate(GOOD):
            c = Client(w)
            r = c.ask(target=f"/bad/{i}")
            if r.status // 100 != 2 or not r.complete or r.body != body or \
                    c.ask(target="/x").body != b"right /x":
                wrong.append((name, r, r.body))
            if r.has("Content-Length") and r.has("Transfer-Encoding"):
                wrong.append((name, "two framings", r))
        assert not wrong, wrong


def test_until_close():
    cases = [
        (H + b"\r\nok", b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok", b"ok"),
        (H + b"\r\n", b""),
        (H + b"\r\n" + WRONG, WRONG),           # a body may hold anything
    ]
    s = Script([x[0] for x in cases], close=True)
    with Weir(conf(up=ONE_TRY), s.origin) as w:
        for i, (_, body) in enumerate(cases):
            r = get(w, f"/bad/{i}")
            assert (r.status, r.complete, r.body) == (200, True, body), (i, r, r.body)
            assert get(w, "/x").body == b"right /x"


def test_a_reset_is_no_end():
    """An answer that only the end of its connection ends, and a RST that a write is told of, not a read."""
    gate = Gate()

    def handler(c, r):
        c.send(H + b"\r\nhalf")
        gate.wait()
        c.reset()
    o = Origin(handler, read_body=False)
    with Weir(conf(up=ONE_TRY), o) as w:
        c = Client(w)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
        head = c.recv_until(b"half")
        assert head.startswith(b"HTTP/1.1 200"), head
        with stopped(w):
            c.send(b"x" * 1000)
            gate.open()
            eventually(lambda: o.conns[0].ours)
        rest = c.recv_all()
        assert b"0\r\n\r\n" not in rest, rest
        assert w.last()["end"] == "body_cut", w.last()


def test_reset_of_a_request_leaves_nothing():
    """One client aborts in the middle of an answer; the next never gets the rest of it."""
    gate = Gate()

    def handler(c, r):
        if r.target == "/long":
            c.send(H + b"Content-Length: 100\r\n\r\nstart")
            gate.wait()
            c.send(b"x" * 95)
        else:
            c.answer("right " + r.target)
    o = Origin(handler)
    with Weir(conf(up=ONE_TRY), o) as w:
        c = Client(w).request(target="/long")
        c.recv_until(b"start")
        c.reset()
        for i in range(5):
            assert get(w, f"/{i}").body == b"right /%d" % i
        gate.open()
        assert get(w, "/z").body == b"right /z"


if __name__ == "__main__":
    main()
