# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 120
# valgrind: no (it counts on the two seconds for which a connection lingers)
# An answer that is complete for weir is not yet read by its client.  How much the kernel takes nobody
# knows, so there are clients for many sizes: some of them leave a rest with weir.  A unix socket takes
# some 200 KB, a TCP socket grows to megabytes.
SIZES = [i * 64 << 10 for i in range(1, 25)]
UNIX = '"127.0.0.1:$PORT", "unix:$DIR/w.sock"'


def answer(c, r):
    n = int(r.target[1:])
    c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
    c.send(b"x" * n)


def wait_told(w, more=0):
    """Until weir has done with all that it can: the rest waits for clients."""
    eventually(lambda: len(w.lines()) > 3, what="an answer is complete, or this shows nothing")
    steady(lambda: len(w.lines()), quiet=0.5)


def unix(w):
    return Client("unix:" + os.path.join(w.dir, "w.sock"))


def read(clients):
    """What is wrong with the answers."""
    wrong = []
    for size, c in zip(SIZES, clients):
        try:
            r = c.recv_response()
            if (r.status, r.complete, len(r.body)) != (200, True, size):
                wrong.append((size, r.status, len(r.body)))
        except Closed as e:
            wrong.append((size, str(e)[:60]))
        c.close()
    return wrong


def test_longer_than_the_keep_alive():
    o = Origin(answer)
    with Weir(conf(listen=UNIX, extra="client: {keepalive_timeout: 300ms, header_timeout: 300ms}"), o) as w:
        clients = [unix(w).request(target=f"/{n}") for n in SIZES]
        wait_told(w)
        assert not (wrong := read(clients)), wrong


def test_longer_than_a_connection_lingers():
    """Answered and closed before the request was read (for at most 2 s more)."""
    o = Origin(answer, read_body=False)
    with Weir(conf(listen=UNIX, extra="client: {send_timeout: 20s}"), o) as w:
        clients = []
        for n in SIZES:
            clients.append(unix(w))
            clients[-1].send(b"POST /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf" % n)
        wait_told(w)
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 2.5)
        assert not (wrong := read(clients)), wrong


def test_half_closed_after_the_answer():
    o = Origin(answer)
    with Weir(conf(listen=UNIX), o) as w:
        clients = [unix(w).request(target=f"/{n}") for n in SIZES]
        wait_told(w)
        told = {x["target"] for x in w.log(1)}
        for c in clients:
            c.shutdown()
        # Who is still being answered has left (a FIN says so); who is answered gets it all.
        wrong = [x for x in read(clients) if f"/{x[0]}" in told]
        assert not wrong, wrong


def test_with_more_behind_a_last_request():
    """Bytes nobody will read must not cost the client its answer."""
    o = Origin(answer)
    with Weir(conf(), o) as w:
        clients = []
        for n in SIZES:
            c = Client(w, rcvbuf=8192).request(target=f"/{n}", headers={"Connection": "close"})
            c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(c)
        wait_told(w)
        for c in clients:
            c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not (wrong := read(clients)), wrong
        assert all(q.target != "/1" for q in o.heads)


def test_pipelined_and_not_read():
    """Who asks and does not read is not asked on: what waits for a client is bounded, whoever made it."""
    n = 6000
    o = Origin(lambda c, r: c.answer(r.target.ljust(900)))
    routes = "[{path: /up, upstream: up}, {path: /own, respond: {status: 200, body: %s}}]" % ("x" * 900)
    with Weir(conf(listen=UNIX, routes=routes), o) as w:
        for path in ("/own", "/up"):
            had = len(w.lines())
            c = unix(w)
            t = Background(c.send, b"".join(b"GET %s/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (path.encode(), i) for i in range(n)))
            answered = steady(lambda: len(w.lines()), quiet=0.5) - had
            assert 50 < answered < n / 2, f"{answered} answers to {path} that nobody read"
            for i in range(n):
                r = c.recv_response()
                assert r.status == 200 and len(r.body) == 900, (i, r)
                assert path == "/own" or r.body.strip() == f"/up/{i}".encode(), (i, r.body)
            t.result()
            c.close()


def test_not_for_ever():
    o = Origin(answer)
    with Weir(conf(listen=UNIX, extra="client: {keepalive_timeout: 200ms, send_timeout: 600ms}"), o) as w:
        base = w.descriptors()
        clients = [unix(w).request(target=f"/{n}") for n in SIZES]
        eventually(lambda: len(w.lines()) >= len(clients) and w.descriptors() <= base,
                   what="those that read nothing are given up")


def test_closing_connections_count():
    """Those that are only being closed hold descriptors and bytes: max_connections bounds them too."""
    o = Origin(answer)
    with Weir(conf(listen=UNIX, extra="client: {max_connections: 6, send_timeout: 30s}"), o) as w:
        base = w.descriptors()
        clients = []
        for n in SIZES:
            clients.append(unix(w).request(target=f"/{n}", headers={"Connection": "close"}))
        steady(w.descriptors, quiet=0.5)
        assert w.descriptors() <= base + 6 + 6 + 2, w.descriptors() - base
        assert not (wrong := read(clients)), wrong


if __name__ == "__main__":
    main()
