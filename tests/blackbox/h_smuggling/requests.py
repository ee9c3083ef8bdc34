# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
import strict  # noqa: E402

# limit: 120
# BEHAVIOUR.md section 3, for what clients send: a row each.
G = b"GET / HTTP/1.1\r\nHost: a\r\n"
P = b"POST / HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
BIG = b"9" * 19

# (name, bytes, status, rule in the log)
HEADS = [
    # --- framing
    ("length and chunked", P + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
     400, "length_and_chunked"),
    ("chunked and length", P + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
     "length_and_chunked"),
    ("two lengths, equal", P + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "two_content_lengths"),
    ("two lengths, different", P + b"Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc", 400, "two_content_lengths"),
    ("two lengths, other case", P + b"Content-Length: 3\r\ncontent-LENGTH: 3\r\n\r\nabc", 400, "two_content_lengths"),
] + [
    ("length " + repr(v), P + b"Content-Length: " + v + b"\r\n\r\nabc", 400, "bad_content_length")
    for v in (b"3, 3", b"3,3", b"3,", b"+3", b"-3", b"-0", b"0x3", b"3a", b"", b"3 3", b"3.0", b"1e1", b"\"3\"",
              b"18446744073709551616", b"18446744073709551619", b"9223372036854775808", b"99999999999999999999999",
              b"\xb2", b"3;")
] + [
    ("transfer coding " + repr(v), P + b"Transfer-Encoding: " + v + b"\r\n\r\n0\r\n\r\n", 501, "bad_transfer_encoding")
    for v in (b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b"", b"chunked;q=1",
              b"xchunked", b"chunkedx", b"\"chunked\"", b"chunked,", b",chunked", b"chunked, identity", b"cow",
              b"\xa0chunked", b"chunk ed")
] + [
    ("two transfer codings", P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "two_transfer_encodings"),
    ("two transfer codings, one identity",
     P + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "two_transfer_encodings"),
    ("chunked in 1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "transfer_encoding_in_1_0"),
    ("folded chunked", P + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "obs_fold"),
    ("chunked after a vertical tab", P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "control_byte"),
    ("space before the colon of a coding", P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400,
     "space_before_colon"),
    ("tab before the colon of a length", P + b"Content-Length\t: 3\r\n\r\nabc", 400, "space_before_colon"),
    ("a NUL hides a name", P + b"Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n", 400, "control_byte"),
    ("CR hides a field", P + b"X: \rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bare_cr"),
    ("LF hides a field", P + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bare_lf"),
    # --- bytes and lines
    ("bare CR in a value", G + b"X: a\rb\r\n\r\n", 400, "bare_cr"),
    ("bare CR in a name", G + b"X\rY: a\r\n\r\n", 400, "bare_cr"),
    ("bare CR in the request line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_cr"),
    ("bare CR ends the head", G + b"\r\rX: y\r\n\r\n", 400, "bare_cr"),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf"),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400, "bare_lf"),
    ("bare LF for the empty line", G + b"\n", 400, "bare_lf"),
    ("bare LF throughout", b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare_lf"),
    ("NUL in a value", G + b"X: a\x00b\r\n\r\n", 400, "control_byte"),
    ("NUL in a name", G + b"X\x00: a\r\n\r\n", 400, "control_byte"),
    ("DEL in a value", G + b"X: a\x7fb\r\n\r\n", 400, "control_byte"),
    ("obs-fold by space", G + b"X: a\r\n b\r\n\r\n", 400, "obs_fold"),
    ("obs-fold by tab", G + b"X: a\r\n\tb\r\n\r\n", 400, "obs_fold"),
    ("white space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "obs_fold"),
    ("white space alone", G + b" \r\n\r\n", 400, "obs_fold"),
    ("space before a colon", G + b"X : a\r\n\r\n", 400, "space_before_colon"),
    ("tab before a colon", G + b"X\t: a\r\n\r\n", 400, "space_before_colon"),
    ("no colon", G + b"nonsense\r\n\r\n", 400, "no_colon"),
    ("empty name", G + b": a\r\n\r\n", 400, "bad_field_name"),
    ("name with a space", G + b"X Y: a\r\n\r\n", 400, "bad_field_name"),
    ("name in quotes", G + b"\"X\": a\r\n\r\n", 400, "bad_field_name"),
    ("name not ASCII", G + b"X\xc3\xa9: a\r\n\r\n", 400, "bad_field_name"),
    ("name with a slash", G + b"X/Y: a\r\n\r\n", 400, "bad_field_name"),
    # --- the request line
    ("two spaces after the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("tab for a space", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("tab before the version", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("space at the end", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("space at the start", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("three words", b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("an empty method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("two empty lines first", b"\r\n\r\n" + G + b"\r\n", 400, "bad_request_line"),
    # --- Host
    ("no Host", b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "no_host"),
    ("two Hosts", G + b"Host: b\r\n\r\n", 400, "two_hosts"),
    ("two equal Hosts", G + b"Host: a\r\n\r\n", 400, "two_hosts"),
    ("two Hosts in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "two_hosts"),
    ("absolute form and another Host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host_mismatch"),
    ("absolute form and another port", b"GET http://a:81/ HTTP/1.1\r\nHost: a:82\r\n\r\n", 400, "host_mismatch"),
    ("absolute form without Host", b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "no_host"),
    ("absolute form of a user", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    ("absolute form of nobody", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    ("absolute form of ftp", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    ("a target that is no path", b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
] + [
    ("Host " + repr(v), b"GET / HTTP/1.1\r\nHost: " + v + b"\r\n\r\n", 400, "bad_host")
    for v in (b"", b"a b", b"a/b", b"a@b", b"a:b", b"a:99999", b"a:1:2", b"[::1", b"[::1]x", b"[x]", b"a?b",
              b"a#b", b"http://a", b"\xc3\xa9", b"a\\b", b"<a>", b"a:-1", b":80", b"[]", b"a:0", b"a:00", b"a%", b"a%2", b"a%zz", b"a%2g", b"[::1]:x", b"[::1]80", b"[v1.a]", b"[fe80::1%25eth0]", b"a\tb",
              b"a:80 b", b"a,b@c", b"\"a\"", b"a:80:", b"::1")
] + [
    ("two Hosts in one", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "bad_host"),

    # --- methods
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method_not_allowed"),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
    ("unknown method", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    ("small letters", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "bad_version"),
    # --- versions
    ("1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "bad_version"),
    ("2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "bad_version"),
    ("0.9 named", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400, "bad_version"),
    ("0.9", b"GET /\r\n\r\n", 400, "bad_request_line"),
    ("0.9 with one line end", b"GET /\r\n", 400, "bad_request_line"),
    ("version in small letters", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("version of two digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("version 01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("another protocol", b"GET / ICY/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    ("version without a dot", b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    # --- targets
    ("fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    ("target not ASCII", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    ("control byte in the target", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control_byte"),
    ("* without OPTIONS", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    # --- limits
    ("long target", b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    ("endless target", b"GET /" + b"a" * 40000, 414, "target_too_long"),
    ("large head", G + b"X: " + b"a" * 33000 + b"\r\n\r\n", 431, "head_too_large"),
    ("endless head", G + b"X: " + b"a" * 60000, 431, "head_too_large"),
    ("many fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "too_many_fields"),
    ("many fields to be dropped", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X_: y\r\n" * 200 + b"\r\n", 431,
     "too_many_fields"),
    ("body over max_body", P + b"Content-Length: 1073741825\r\n\r\n", 413, "body_too_large"),
    ("huge body", P + b"Content-Length: 9223372036854775807\r\n\r\n", 413, "body_too_large"),
    ("another Expect", G + b"Expect: 200-ok\r\n\r\n", 417, "bad_expect"),
    ("two Expects", P + b"Content-Length: 1\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n", 417, "bad_expect"),
    # --- bytes that are no HTTP
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, 400, "speaks_tls"),
    ("noise", b"\x00\x01\x02\x03\r\n\r\n", 400, "control_byte"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, "bad_request_line"),
]

C = P + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = [("size " + repr(v), C + v + b"\r\nabc\r\n0\r\n\r\n", 400, "bad_chunk_size") for v in (
    b"+3", b"-3", b"0x3", b"0X3", b" 3", b"3 ", b"3\t", b"", b"g", b"3 ;x", b"3,", b"3h", b"\"3\"", b"10000000000000003",
    b"00000000000000003", b"ffffffffffffffff", b"8000000000000000", b"3\x00", b"3.", b"\xb3")] + [
    ("line ended by LF", C + b"3\nabc\r\n0\r\n\r\n", 400, "bare_lf"),
    ("line ended by CR", C + b"3\rabc\r\n0\r\n\r\n", 400, "bare_cr"),
    ("extension ended by LF", C + b"3;x\nabc\r\n0\r\n\r\n", 400, "bare_lf"),
    ("extension with a bare CR", C + b"3;x\ry\r\nabc\r\n0\r\n\r\n", 400, "bare_cr"),
    ("extension with a NUL", C + b"3;x\x00\r\nabc\r\n0\r\n\r\n", 400, "control_byte"),
    ("data ended by LF", C + b"3\r\nabc\n0\r\n\r\n", 400, "bad_chunk_end"),
    ("data ended by CR and another", C + b"3\r\nabc\rX0\r\n\r\n", 400, "bad_chunk_end"),
    ("data ended by XX", C + b"3\r\nabcXX0\r\n\r\n", 400, "bad_chunk_end"),
    ("data longer than said", C + b"3\r\nabcd\r\n0\r\n\r\n", 400, "bad_chunk_end"),
    ("last line ended by LF", C + b"3\r\nabc\r\n0\n\r\n", 400, "bare_lf"),
    ("trailers ended by LF", C + b"3\r\nabc\r\n0\r\n\n", 400, "bare_lf"),
    ("trailer with a bare LF", C + b"3\r\nabc\r\n0\r\nX: y\n\r\n", 400, "bare_lf"),
    ("trailer without a colon", C + b"3\r\nabc\r\n0\r\nxyz\r\n\r\n", 400, "no_colon"),
    ("trailer folded", C + b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", 400, "obs_fold"),
    ("trailer with a bad name", C + b"3\r\nabc\r\n0\r\nX Y: z\r\n\r\n", 400, "bad_field_name"),
    ("long extension", C + b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n", 400, "chunk_extension_too_long"),
    ("many short extensions", C + b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n" * 200 + b"0\r\n\r\n", 400,
     "chunk_extension_too_long"),
    ("many trailers", C + b"0\r\n" + b"X: y\r\n" * 201 + b"\r\n", 400, "bad_trailer"),
    ("large trailers", C + b"0\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 400, "bad_trailer"),
    ("zeros hide the end", C + b"0000000000000000000\r\n\r\n", 400, "bad_chunk_size"),
]


def exchange(w, data):
    """(status or what happened, whether the connection was closed after one answer)"""
    c = Client(w)
    try:
        try:
            c.send(data)
        except OSError:
            pass
        r = c.recv_response()
        rest = c.recv_all()
        assert rest == b"", f"more after the refusal: {rest[:200]!r}"
        return r
    finally:
        c.close()


def run(cases, o, w, heads_pass):
    wrong, told = [], []
    for name, data, status, rule in cases:
        try:
            r = exchange(w, data)
            told.append((name, status, rule))
            if r.status != status:
                wrong.append((name, "wanted", status, "got", r))
            if r.get("Connection") != "close":
                wrong.append((name, "no Connection: close"))
        except Exception as e:
            wrong.append((name, "wanted", status, repr(e)))
        if o.requests or (o.heads and not heads_pass):
            wrong.append((name, "reached the server", o.heads[-1].head, o.requests))
            o.heads.clear()
            o.requests.clear()
    assert not wrong, "\n".join(map(repr, wrong))
    lines = w.log(len(cases))
    assert len(lines) == len(cases), "more lines in the log than refusals"
    for (name, status, rule), line in zip(told, lines):
        if line["status"] != status or not line.get("rule") or line["rule"] != rule or \
                line["end"] not in ("bad_request", "body_too_large"):
            wrong.append((name, "wanted", status, rule, "got", line))
    assert not wrong, "\n".join(map(repr, wrong))


def test_heads():
    o = Origin()
    with Weir(conf(route="max_body: 1GB"), o) as w:
        run(HEADS, o, w, False)
        assert o.conns == []


def test_chunks():
    """The head has gone to the server by then; a whole request never does."""
    o = Origin()
    with Weir(conf(), o) as w:
        run(CHUNKS, o, w, True)
        assert o.requests == []
        eventually(lambda: all(c.gone for c in o.conns), what="no broken-off request is left open")
        # Byte for byte: the good beginning of one request, never its end.
        assert all(strict.unfinished(c.raw) for c in o.conns), [c.raw for c in o.conns]


def test_heads_byte_by_byte():
    """The same however the bytes are cut."""
    o = Origin()
    wrong = []
    with Weir(conf(route="max_body: 1GB"), o) as w:
        for name, data, status, _ in HEADS:
            if len(data) > 500:
                continue
            c = Client(w)
            try:
                for i in range(len(data)):
                    c.send(data[i:i + 1])
            except OSError:
                pass
            try:
                r = c.recv_response()
                if r.status != status:
                    wrong.append((name, status, r.status))
            except Closed as e:
                wrong.append((name, status, repr(e)))
            c.close()
            if o.conns:
                wrong.append((name, "reached the server"))
                o.conns.clear()
    assert not wrong, wrong


def with_accept(data):
    """The same with an Accept behind its first line; None when it has no such line."""
    line, mark, rest = data.partition(b"\r\n")
    return line + mark + b"Accept: text/html, application/json;q=0.9\r\n" + rest if line and mark else None


def test_refusals_in_json():
    """OpenAI's shape for who accepts JSON, plain text for others; the code is the rule's word."""
    o = Origin()
    wrong = []
    with Weir(conf(route="max_body: 1GB"), o) as w:
        for name, data, status, rule in HEADS + CHUNKS:
            data = with_accept(data)
            if data is None:
                continue
            try:
                r = exchange(w, data)
                error = json.loads(r.body)["error"]
                want = "invalid_request_error" if status < 500 else "server_error"
                if (r.status, r.get("Content-Type"), r.get("Connection"), error["code"], error["type"]) != \
                        (status, "application/json", "close", rule, want) or error["param"] is not None or \
                        not error["message"] or set(error) != {"message", "type", "param", "code"}:
                    wrong.append((name, r, r.body))
            except Exception as e:
                wrong.append((name, repr(e)))
        assert o.requests == []
        for name, data, status, rule in HEADS + CHUNKS:
            r = exchange(w, data)
            if r.get("Content-Type") != "text/plain; charset=utf-8" or not r.body.startswith(b"%d " % status):
                wrong.append((name, r, r.body))
    assert not wrong, "\n".join(map(repr, wrong))


def test_pipelined_behind_a_good_one():
    """A bad request behind a good one is refused, and nothing of it is taken for another."""
    o = Origin()
    good = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
    wrong = []
    with Weir(conf(route="max_body: 1GB"), o) as w:
        for name, data, status, _ in HEADS:
            c = Client(w)
            try:
                c.send(good + data + SMUGGLED)
                first = c.recv_response()
                second = c.recv_response()
                if (first.status, second.status) != (200, status):
                    wrong.append((name, first.status, second.status))
            except (Closed, OSError) as e:
                wrong.append((name, repr(e)))
            c.close()
        targets = set(o.targets())
    assert not wrong, wrong
    assert targets == {"/good"}, targets


def test_max_head_of_the_file():
    """Also on connections that are older than the file."""
    o = Origin()
    data = G + b"X: " + b"a" * 1500 + b"\r\n\r\n"
    with Weir(conf(extra="client: {max_head: 1KB}"), o) as w:
        assert raw(w, data).status == 431 and o.conns == []
        old = Client(w)
        assert old.ask().status == 200
        w.reload(conf(extra="client: {max_head: 2KB}"))
        old.send(data)
        assert old.recv_response().status == 200
        w.reload(conf(extra="client: {max_head: 1KB}"))
        old.send(data)
        assert old.recv_response().status == 431


# --- the valid neighbours of all that: (name, bytes, body as the server gets it) -----------------------

VALID = [
    ("plain", G + b"\r\n", b""),
    ("length 0", P + b"Content-Length: 0\r\n\r\n", b""),
    ("length 03", P + b"Content-Length: 03\r\n\r\nabc", b"abc"),
    ("length in blanks", P + b"Content-Length:   3  \r\n\r\nabc", b"abc"),
    ("chunked in capitals", P + b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    ("chunked in blanks", P + b"Transfer-Encoding:\t chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    ("size in capitals", C + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    ("size with zeros", C + b"000a\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
    ("extensions", C + b"3;a=\"b;c\";d\r\nabc\r\n0;e=f\r\n\r\n", b"abc"),
    ("empty line first", b"\r\n" + G + b"\r\n", b""),
    ("body of line ends", P + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n", b"\r\n" * 4),
    ("body that looks like a request", P + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, SMUGGLED),
    ("chunk that looks like one", C + b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n", SMUGGLED),
    ("GET with a body", G + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    ("absolute form, equal Host", b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("absolute form, default port", b"GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("absolute form, other case", b"GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("Host with a port", b"GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", b""),
    ("Host of an address", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b""),
    ("1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", b""),
    ("* of OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("odd token", G + b"!#$%&'*+-.^`|~09aZ: v\r\n\r\n", b""),
    ("empty value", G + b"X:\r\n\r\n", b""),
    ("value not ASCII", G + b"X: \xff\x80\r\n\r\n", b""),
    ("escapes", b"GET /%00%0a%0d%zz% HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("long target", b"GET /" + b"a" * 16000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ("large head", G + b"X: " + b"a" * 30000 + b"\r\n\r\n", b""),
    ("200 fields", G + b"X: y\r\n" * 199 + b"\r\n", b""),
]


def test_valid_neighbours():
    """Each is one request at the server that can be read in one way only."""
    o = Origin()
    wrong = []
    with Weir(conf(up="keepalive: {idle: 0}"), o) as w:
        for name, data, body in VALID:
            n = len(o.conns)
            try:
                r = raw(w, data)
                if r.status != 200 or len(o.conns) != n + 1:
                    wrong.append((name, r.status, r.body))
                    continue
                line, fields, got = strict.request(o.conns[n].raw)
                method, _, rest = data.lstrip(b"\r\n").partition(b" ")
                if got != body or not line.startswith(method + b" ") or \
                        (body and not fields.keys() & {b"content-length", b"transfer-encoding"}):
                    wrong.append((name, o.conns[n].raw[:300]))
            except Exception as e:
                wrong.append((name, repr(e)))
    assert not wrong, "\n".join(map(repr, wrong))


def test_valid_neighbours_pipelined():
    """All in one go on one connection: as many answers, in order, and nothing else at the server."""
    o = Origin(lambda c, r: c.answer(r.target[:40] + " " + r.body.decode("latin-1")))
    cases = [x for x in VALID if x[0] not in ("empty line first", "1.0 without Host") and len(x[1]) < 1000]
    with Weir(conf(), o) as w:
        c = Client(w)
        c.send(b"".join(x[1] for x in cases))
        for name, _, body in cases:
            r = c.recv_response()
            assert r.status == 200 and r.body.endswith(b" " + body), (name, r, r.body)
        assert len(o.requests) == len(cases)
        assert "/smuggled" not in o.targets()


if __name__ == "__main__":
    main()
