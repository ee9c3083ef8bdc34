# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def answer(text):
    return f"[{{path: /, respond: {{status: 200, body: {text}, type: text/plain}}}}]"


def only(text, extra=""):
    """No upstream at all."""
    return f'listen: ["127.0.0.1:$PORT"]\nroutes: {answer(text)}\n' + DEFAULTS + extra


def test_new_routes_and_servers():
    a, b = Origin(name="a"), Origin(name="b")
    with Weir(conf(1), a, b) as w:
        c = Client(w)
        assert c.ask().body == b"a"
        w.reload(conf(up="servers: [$O2]"))
        assert c.ask().body == b"b", "a keep-alive client gets the new rules with its next request"
        w.reload(only("hello"))
        assert c.ask().body == b"hello"
        w.reload(conf(2))
        assert {c.ask().body for _ in range(4)} == {b"a", b"b"}


def test_in_flight_keeps_the_old_rules():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer(c.origin.name)
    a, b = Origin(handler, "a"), Origin(name="b")
    with Weir(conf(1, route="response_headers: {set: {X-Rules: old}}"), a, b) as w:
        c = Client(w).request()
        a.wait()
        w.reload(conf(up="servers: [$O2]", route="response_headers: {set: {X-Rules: new}}"))
        r = get(w)
        assert (r.get("X-Rules"), r.body) == ("new", b"b"), r
        gate.open()
        r = c.recv_response()
        assert (r.get("X-Rules"), r.body) == ("old", b"a"), r
        assert c.ask().body == b"b"


def test_streams_are_not_cut():
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.chunk(b"data: 2\n\n")
        c.last_chunk()
    o = Origin(handler)
    with Weir(conf(), o) as w:
        clients = [Client(w).request() for _ in range(10)]
        for c in clients:
            c.recv_until(b"data: 1\n\n")
        for i in range(10):
            w.reload(only(f"x{i}"))
        gate.open()
        for c in clients:
            c.recv_until(b"data: 2\n\n")
            c.recv_until(b"0\r\n\r\n")
        assert {x["end"] for x in w.log(10)} == {"ok"}


def test_tunnels_are_not_cut():
    def echo(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        while True:
            c.send(c.recv_some())
    with Weir(conf(), Origin(echo)) as w:
        c = Client(w)
        c.request(headers={"Connection": "upgrade", "Upgrade": "x"})
        assert c.recv_response().status == 101
        w.reload(only("x"))
        c.send(b"still there")
        assert c.recv_exactly(11) == b"still there"


BROKEN = ["", "listen: [", "nonsense: 1\n", conf().replace("$O1", "nowhere"), conf() + "drain_timeout: 5 moons\n",
          conf().replace("upstream: up", "upstream: down")]


def test_a_broken_file_changes_nothing():
    o = Origin()
    with Weir(conf(), o) as w:
        c = Client(w)
        c.ask()
        for text in BROKEN:
            said = w.reload(text, ok=False)
            assert re.search(re.escape(w.file) + r":\d+:\d+: ", said), (text, said)
            assert c.ask().body == b"origin" and get(w).body == b"origin"
        assert len(o.conns) <= 2
        os.unlink(w.file)
        w.reload(ok=False)
        assert c.ask().body == b"origin"
        w.reload(only("mended"))
        assert c.ask().body == b"mended"


def test_a_port_in_use_changes_nothing():
    with socket.socket() as s:
        port = free_port()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(1)
        with Weir(conf(), Origin()) as w:
            text = only("new").replace("$PORT\"", f"$PORT2\", \"127.0.0.1:{port}\", \"127.0.0.1:$PORT\"")
            w.names["PORT2"] = free_port()
            said = w.reload(text, ok=False)
            assert str(port) in said and "in use" in said, said
            assert get(w).body == b"origin"
            with socket.socket() as t:
                assert t.connect_ex(("127.0.0.1", w.names["PORT2"])) != 0, "what was opened is closed again"


def refused(addr):
    family, address = address_of(addr)
    with socket.socket(family) as s:
        s.settimeout(5)
        return s.connect_ex(address) != 0


def test_listeners_come_and_go():
    gate = Gate()

    def handler(c, r):
        if r.target == "/hold":
            gate.wait()
        c.answer("x")
    o = Origin(handler)
    two = '"127.0.0.1:$PORT", "127.0.0.1:$PORT2"'
    with Weir(conf(), o) as w:
        w.names["PORT2"] = free_port()
        second = f"127.0.0.1:{w.names['PORT2']}"
        assert refused(second)
        w.reload(conf(listen=two))
        assert get(second).status == 200 and get(w).status == 200
        held = Client(second).request(target="/hold")
        eventually(lambda: "/hold" in o.targets())
        w.reload(conf())
        eventually(lambda: refused(second))
        assert get(w).status == 200
        gate.open()
        assert held.recv_response().status == 200, "begun on a listener that went"
        # Away with the first, and back.
        w.reload(conf(listen='"127.0.0.1:$PORT2"'))
        assert get(second).status == 200
        eventually(lambda: refused(w.addr))
        w.reload(conf(listen=two))
        assert get(w).status == 200


def test_idle_connections_survive():
    o = Origin()
    with Weir(conf(up="keepalive: {idle: 4, timeout: 60s}"), o) as w:
        for i in range(6):
            assert get(w).status == 200
            w.reload(conf(up="keepalive: {idle: 4, timeout: 60s}", route=f"name: r{i}"))
        assert len(o.conns) == 1
        # The server goes: so do its connections.
        w.reload(only("x"))
        eventually(lambda: o.conns[0].gone)


def test_ejection_survives():
    bad, good = Origin(lambda c, r: c.answer("x", "503 Busy")), Origin(name="good")
    text = conf(2, up="max_fails: 2, fail_timeout: 60s, retry: {tries: 1}")
    with Weir(text, bad, good) as w:
        eventually(lambda: "left out" in (get(w), w.stderr)[1])
        n = len(bad.requests)
        bad.handler = lambda c, r: c.answer("bad")
        w.reload(text.replace("path: /", "path: /, name: other"))
        assert {get(w).body for _ in range(8)} == {b"good"} and len(bad.requests) == n
        # Renamed, reordered: the identity is the address.
        w.reload(conf(up="servers: [$O2, $O1], max_fails: 2, fail_timeout: 60s, retry: {tries: 1}"))
        assert {get(w).body for _ in range(8)} == {b"good"} and len(bad.requests) == n


def test_trusted_proxies_change():
    o = Origin()
    with Weir(conf(extra="trusted_proxies: [10.0.0.0/8]"), o) as w:
        c = Client(w)
        c.ask(headers={"X-Forwarded-For": "1.2.3.4"})
        w.reload(conf(extra="trusted_proxies: [127.0.0.0/8]"))
        c.ask(headers={"X-Forwarded-For": "1.2.3.4"})
        assert [r.get("X-Real-IP") for r in o.requests] == ["127.0.0.1", "1.2.3.4"]


def test_many_reloads_leave_nothing_behind():
    o = Origin()
    with Weir(conf(), o) as w:
        get(w)
        w.reload(conf())
        base = w.descriptors()
        for i in range(40):
            w.reload(conf(route=f"name: r{i}"))
        assert get(w).status == 200
        assert w.descriptors() <= base + 1, (base, w.descriptors())
        assert w.last(2)["route"] == "r39"


def test_hups_in_a_row():
    """Signals that come faster than they are served are no harm."""
    with Weir(conf(), Origin()) as w:
        for _ in range(50):
            w.signal(signal.SIGHUP)
        eventually(lambda: "reload: ok" in w.stderr)
        assert get(w).status == 200


if __name__ == "__main__":
    main()
