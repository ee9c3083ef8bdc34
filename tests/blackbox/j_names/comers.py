# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from certs import *  # noqa: E402,F403
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 60
# Addresses that come and go at the edges: when there is no place, when weights were large, by other names.


def text(d, servers, up="", **more):
    return conf(up=f"servers: [{servers}]" + (", " + up if up else ""),
                extra=f"resolver: {{servers: ['{d.addr}']}}\nadmin: {{listen: '127.0.0.1:$PORT2'}}\n", **more)


def waiting(w):
    said = Client(f"127.0.0.1:{w.names['PORT2']}").ask(target="/status").body
    return json.loads(said)["upstreams"][0]["line"]["length"]


def long_or_name(gate):
    """/long begins and ends when the gate opens; else it says who answers."""
    def handler(c, r):
        if r.target == "/long":
            c.chunked_head()
            c.chunk(b"begun")
            gate.wait()
            c.last_chunk()
        else:
            c.answer(c.origin.name)
    return handler


def test_checked_when_its_place_comes_late():
    """Who got a place because another's last exchange ended is checked like any newcomer."""
    gate = Gate()
    serve = long_or_name(gate)
    checked = []

    def handler(c, r):
        if r.target == "/health":
            checked.append(c.origin.name)
            c.answer()
        else:
            serve(c, r)
    first = Origin(handler, "first", host=ADDRESSES[0])
    port = first.port
    late = Origin(handler, "late", host=ADDRESSES[64], port=port)
    d = Dnsmasq(qwen=ADDRESSES[:64])
    up = "max_fails: 0, retry: {tries: 1}, health_check: {path: /health, interval: 1h, down_interval: 200ms}"
    with Weir(text(d, f"'qwen.test:{port}'", up=up)) as w:
        eventually(lambda: checked == ["first"])
        c = Client(w).request(target="/long")
        c.recv_until(b"begun")
        assert len(first.requests) == 2
        d.set(qwen=ADDRESSES[1:65])
        eventually(lambda: "there is no place for 1 of the 64 addresses" in w.stderr)
        gate.open()
        c.recv_until(b"0\r\n\r\n")
        eventually(lambda: "late" in checked, what="the late one is checked")
        eventually(lambda: f"server {late.addr}: up" in w.stderr)
        assert [get(w).body for _ in range(4)] == [b"late"] * 4


def test_few_of_many_share_at_once():
    """What one was ahead of 63 others is not what it has to make up for to the one that is left."""
    first = Origin(name="first", host=ADDRESSES[0])
    last = Origin(name="last", host=ADDRESSES[63], port=first.port)
    d = Dnsmasq(qwen=ADDRESSES[:64])
    with Weir(text(d, f"'qwen.test:{first.port}'", up="max_fails: 0, retry: {tries: 1}")) as w:
        had = [get(w).status for _ in range(65)]
        assert had.count(200) == 3 and len(first.requests) == 2, had
        d.set(qwen=[first.host, last.host])
        eventually(lambda: "name qwen.test: 2 addresses" in w.stderr)
        said = [get(w).body for _ in range(10)]
        assert said.count(b"first") == 5, said


def test_who_waits_has_not_tried_who_came_since():
    """Whom it tried has left; whoever has that place now is another."""
    gate = Gate()

    serve = long_or_name(gate)
    busy = Origin(serve, "busy", host=ADDRESSES[1])
    comes = Origin(serve, "comes", host=ADDRESSES[2], port=busy.port)
    d = Dnsmasq(qwen=[busy.host])
    servers = f"{{address: 'qwen.test:{busy.port}', max_inflight: 1, max_fails: 0}}"
    with Weir(text(d, servers, up="queue: {size: 10, timeout: 60s}")) as w:
        c = Client(w).request(target="/long")
        c.recv_until(b"begun")
        # Nobody listens there.
        d.set(qwen=[ADDRESSES[0], busy.host])
        eventually(lambda: f"+{ADDRESSES[0]}" in w.stderr)
        waits = Client(w).request()
        eventually(lambda: waiting(w) == 1)
        d.set(qwen=[busy.host])
        eventually(lambda: f"-{ADDRESSES[0]}" in w.stderr)
        assert waiting(w) == 1
        d.set(qwen=[busy.host, comes.host])
        assert waits.recv_response().body == b"comes"
        gate.open()
        c.recv_until(b"0\r\n\r\n")


def test_a_service_begins_with_all_its_places():
    """Its places are found one after the other, which makes no newcomers of those but the first."""
    a, b = (Origin(name=n, host=h) for n, h in zip("ab", ADDRESSES))
    c = Origin(name="c", host=ADDRESSES[2])
    srv = [f"--srv-host=_http._tcp.qwen.test,{o.name}.test,{o.port}" for o in (a, b, c)]
    d = Dnsmasq(*srv[:2], a=[a.host], b=[b.host], c=[c.host])
    with Weir(text(d, "'srv:_http._tcp.qwen.test'", up="slow_start: 1h")) as w:
        assert [get(w).body for _ in range(20)].count(b"a") == 10
        d.again(*srv)
        eventually(lambda: f"+{c.addr}" in w.stderr)
        # This one is new.
        assert [get(w).body for _ in range(42)].count(b"c") in (1, 2, 3)


def test_a_name_server_of_a_file_that_came_to_nothing():
    """A file is taken, a broken one comes while its names are looked up: those of before are asked."""
    a, b = (Origin(name=n, host=h, port=p) for n, h, p in zip("ab", ADDRESSES, [free_port()] * 2))
    d = Dnsmasq(qwen=[a.host])
    silent = NameServer(lambda q, tcp: None)
    t = text(d, f"'qwen.test:{a.port}'")
    with Weir(t) as w:
        w.write(t.replace(f"['{d.addr}']", f"['{silent.addr}'], timeout: 4s"))
        w.signal(signal.SIGHUP)
        eventually(lambda: silent.questions)
        w.reload(t.replace("routes:", "rutes:"), ok=False)
        d.set(qwen=[b.host])
        eventually(lambda: get(w).body == b"b")


def test_a_name_with_its_last_dot():
    """Absolute, so that no search domain is tried; who has to be there is called without (RFC 6066 3)."""
    ca = Authority()
    o = TlsOrigin(ca.issue("qwen.test"), host=ADDRESSES[0])
    d = Dnsmasq(f"--srv-host=_http._tcp.qwen.test,qwen.test,{o.port}", qwen=[o.host])
    for server in (f"https://qwen.test.:{o.port}", "https://srv:_http._tcp.qwen.test."):
        with Weir(text(d, f"'{server}'", up=f"tls: {{ca: {ca.cert}}}, retry: {{tries: 1}}")) as w:
            assert get(w).status == 200, (server, w.stderr, w.log())
    assert set(o.names) == {"qwen.test"}


if __name__ == "__main__":
    main()
