# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def stream(events, gates=None, type="text/event-stream", headers=(), after=None):
    """A handler: head, then each event after its gate."""
    def handler(c, r):
        c.chunked_head(type, headers)
        for i, e in enumerate(events):
            if gates:
                gates[i].wait()
            c.chunk(e)
        if after:
            after(c)
        else:
            c.last_chunk()
    return handler


def test_token_by_token():
    events = [b"data: %d\n\n" % i for i in range(10)]
    gates = [Gate() for _ in events]
    o = Origin(stream(events, gates))
    with Weir(conf(), o) as w:
        c = Client(w)
        c.request("POST", "/v1/chat/completions", body=b"{}")
        assert c.recv_head().status == 200      # before the first event was sent
        for e, g in zip(events, gates):
            assert e not in c.buf
            g.open()
            assert e in c.recv_until(e)         # before the next was sent
        assert c.recv_until(b"0\r\n\r\n").endswith(b"0\r\n\r\n")
        assert w.last()["end"] == "ok" and w.last()["bytes_out"] == sum(map(len, events))


def test_fields_of_event_streams():
    o = Origin(stream([b"data: x\n\n"]))
    with Weir(conf(), o) as w:
        r = get(w)
        assert r.get("X-Accel-Buffering") == "no" and r.get("Cache-Control") == "no-transform", r
        assert r.get("Content-Type") == "text/event-stream"


def test_fields_of_event_streams_unless_present():
    o = Origin(stream([b"data: x\n\n"], type="text/event-stream; charset=utf-8",
                      headers=[("X-Accel-Buffering", "yes"), ("Cache-Control", "no-cache, no-transform")]))
    with Weir(conf(), o) as w:
        r = get(w)
        assert r.all("X-Accel-Buffering") == ["yes"], r
        assert r.all("Cache-Control") == ["no-cache, no-transform"], r


def test_cache_control_is_added_to():
    o = Origin(stream([b"data: x\n\n"], headers=[("Cache-Control", "no-cache")]))
    with Weir(conf(), o) as w:
        assert ", ".join(get(w).all("Cache-Control")) == "no-cache, no-transform"


def test_other_types_have_no_such_fields():
    o = Origin(stream([b"x"], type="text/plain"))
    with Weir(conf(), o) as w:
        r = get(w)
        assert not r.has("X-Accel-Buffering") and not r.has("Cache-Control"), r


def test_counted_and_until_close_bodies_are_not_held_back_either():
    gate = Gate()

    def handler(c, r):
        if r.target == "/counted":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        else:
            c.send(b"HTTP/1.1 200 OK\r\n\r\n12345")
        gate.wait()
        c.send(b"67890")
        if r.target != "/counted":
            c.close()
    for target in ("/counted", "/close"):
        gate = Gate()
        o = Origin(handler)
        with Weir(conf(), o) as w:
            c = Client(w)
            c.request(target=target)
            c.recv_until(b"12345")
            gate.open()
            c.recv_until(b"67890")


def test_many_streams_at_once():
    n = 60
    gate = Gate()
    o = Origin(stream([b"data: a\n\n", b"data: b\n\n"], [Gate(), gate]))
    first = Gate()
    o.handler = stream([b"data: a\n\n", b"data: b\n\n"], [first, gate])
    first.open()
    with Weir(conf(), o) as w:
        clients = [Client(w).request() for _ in range(n)]
        for c in clients:
            c.recv_until(b"data: a\n\n")
        gate.open()
        for c in clients:
            c.recv_until(b"0\r\n\r\n")
        assert all(x["end"] == "ok" for x in w.log(n))


# --- a server dies in the middle ------------------------------------------------------------------

def die(c):
    c.close()


def rst(c):
    c.reset()


def test_chunked_answer_is_cut():
    for way in (die, rst):
        o = Origin(stream([b"abc", b"def"], type="text/plain", after=way))
        with Weir(conf(), o) as w:
            c = Client(w)
            r = c.ask()
            assert r.status == 200 and not r.complete and b"abcdef".startswith(r.body), r
            c.wait_closed()
            assert not c.buf.endswith(b"0\r\n\r\n")
            line = w.last()
            assert line["end"] == "body_cut" and line["server"] == o.addr, line


def test_counted_answer_is_cut():
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        c.close()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask()
        assert (r.status, r.complete, r.body) == (200, False, b"abc"), r
        assert w.last()["end"] == "body_cut"


def test_http10_client_sees_a_reset_not_an_end():
    o = Origin(stream([b"abc"], type="text/plain", after=die))
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask(version="1.0")
        assert c.eof == "rst", r


def test_event_stream_ends_with_an_error_event():
    for way in (die, rst):
        gate = Gate()
        o = Origin(stream([b"data: x\n\n"], after=lambda c: (gate.wait(), way(c))))
        with Weir(conf(), o) as w:
            c = Client(w)
            c.request()
            c.recv_until(b"data: x\n\n")
            gate.open()
            rest = c.recv_all()
            assert not rest.endswith(b"0\r\n\r\n"), rest
            m = re.search(rb"event: error\ndata: (\{.*\})\n\n", rest)
            assert m, rest
            assert set(json.loads(m.group(1))["error"]) >= {"message", "type", "code"}, m.group(1)
            assert w.last()["end"] == "body_cut"


def cut_stream(sent, head="Transfer-Encoding: chunked", type="text/event-stream", **more):
    """What a client gets after the head of a stream that is cut behind the bytes sent."""
    def handler(c, r):
        c.send(f"HTTP/1.1 200 OK\r\nContent-Type: {type}\r\n{head}\r\n\r\n".encode())
        c.chunk(sent) if "chunked" in head else c.send(sent)
        c.close()
    with Weir(conf(**more), Origin(handler)) as w:
        c = Client(w)
        c.request()
        c.recv_head()
        got = c.recv_all()
        assert not got.endswith(b"0\r\n\r\n"), got
        return re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", got)


def test_error_event_after_half_a_line():
    """What came of the last event never passes for a whole one."""
    for sent in (b'data: 1\n\ndata: {"half', b"data: 1\n\nid: 5\ndata: 1\n", b"data: 1\r"):
        got = cut_stream(sent)
        assert got.startswith(sent), got
        rest = got[len(sent):]
        assert rest.startswith(b"event: error\ndata: {" if sent.endswith(b"\n") else
                               b"\nevent: error\ndata: {"), rest


def test_error_event_only_where_it_can_be_told_apart():
    """Not within a counted length, not among packed bytes; whatever case and rules."""
    long = b"data: 1\n\n"
    assert cut_stream(long, "Content-Length: 100") == long
    assert cut_stream(long, "Content-Encoding: gzip\r\nTransfer-Encoding: chunked").rstrip() == \
        long.rstrip()
    assert b"event: error" in cut_stream(long, type="Text/Event-Stream;charset=utf-8")
    assert b"event: error" in cut_stream(long, route="response_headers: {remove: [X-Accel-Buffering]}")
    assert b"event: error" not in cut_stream(long, type="text/event-streams")


def test_server_dies_before_the_head():
    for way in (lambda c: c.close(), lambda c: c.reset(),
                lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-"), c.close())):
        o = Origin(lambda c, r, way=way: way(c) and None)
        with Weir(conf(up="retry: {tries: 1}"), o) as w:
            r = get(w, method="POST", body=b"x")
            assert r.status == 502, r
            assert w.last()["end"] == "server_closed", w.last()


def test_server_gone():
    o = Origin(start=False)
    with Weir(conf(), o) as w:
        c = Client(w)
        r = c.ask(headers={"Accept": "application/json"})
        assert r.status == 502 and json.loads(r.body)["error"]["code"] == "connect_failed", r
        assert w.last()["end"] == "connect_failed"
        # A refusal after which the connection goes on serving.
        o.start()
        assert get(w).status == 200


if __name__ == "__main__":
    main()
