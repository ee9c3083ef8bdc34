# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 90
# resolve: first: a name is one server, whose addresses are tried in turn.


def text(d, port, up="", ttl="1s", resolve="first"):
    up = f"servers: [{{address: 'one.test:{port}', resolve: {resolve}}}]" + (", " + up if up else "")
    return conf(up=up, extra=f"resolver: {{servers: ['{d.addr}'], max_ttl: {ttl}}}")


def pair(handler=None):
    """Two servers on one port of two addresses of this machine."""
    a = Origin(handler, "a", host="127.0.1.1")
    return a, Origin(handler, "b", host="127.0.1.2", port=a.port)


def test_one_server_whatever_it_has():
    a, b = pair()
    d = Dnsmasq(one=["127.0.1.1", "127.0.1.2"])
    with Weir(text(d, a.port, ttl="1h")) as w:
        assert [get(w).body for _ in range(4)] == [b"a"] * 4 and not b.conns
        assert {x["server"] for x in w.log(4)} == {f"one.test:{a.port}"}


def test_it_follows_the_name():
    """Idle connections to the old address are not used any more; exchanges under way end there."""
    gate = Gate()

    def handler(c, r):
        if r.target == "/long":
            gate.wait()
        c.answer(c.origin.name)
    a, b = pair(handler)
    d = Dnsmasq(one=["127.0.1.1"])
    with Weir(text(d, a.port)) as w:
        assert get(w).body == b"a"
        c = Client(w).request(target="/long")
        a.wait(2)
        d.set(one=["127.0.1.2"])
        eventually(lambda: get(w).body == b"b")
        assert [get(w).body for _ in range(3)] == [b"b"] * 3
        gate.open()
        assert c.recv_response().body == b"a"
        eventually(lambda: not a.open_conns, what="the connection to where it was is closed")
        # One more address does not take it from the one it is at.
        had = len(b.conns)
        d.set(one=["127.0.1.1", "127.0.1.2"])
        eventually(lambda: "2 addresses: +127.0.1.1" in w.stderr)
        assert [get(w).body for _ in range(3)] == [b"b"] * 3
        # The same answer leaves its connections alone.
        had = len(b.conns)
        asked = d.asked("one.test")
        eventually(lambda: d.asked("one.test") > asked + 1)
        w.reload()
        assert get(w).body == b"b" and len(b.conns) == had


def test_the_other_addresses():
    """One that refuses is passed over before anybody hears of it, and not asked first again."""
    a, b = pair()
    d = Dnsmasq(one=["127.0.1.1", "127.0.1.2"])
    a.stop()
    with Weir(text(d, a.port, up="max_fails: 1, keepalive: {idle: 0}", ttl="1h")) as w:
        for m in ("GET", "POST") * 3:
            assert get(w, method=m, body=b"x" if m == "POST" else None).body == b"b"
        assert "left out" not in w.stderr and all(x["tries"] == 1 for x in w.log(6))
        # The other way round.
        b.stop()
        a.start()
        assert [get(w).body for _ in range(3)] == [b"a"] * 3
        # None: a failure as with any server, and not the end of it.
        a.stop()
        assert get(w).status == 502 and "left out" in w.stderr
        b.start()
        assert get(w).body == b"b"


def test_an_address_that_does_not_answer():
    d = Dnsmasq(one=["127.0.1.1", "127.0.1.2"])
    full = FullListener("127.0.1.1")
    b = Origin(name="b", host="127.0.1.2", port=full.port)
    up = "max_fails: 0, retry: {tries: 1}, timeouts: {connect: 300ms}"
    with Weir(text(d, b.port, up=up, ttl="1h")) as w:
        assert get(w).status == 504
        assert get(w).body == b"b"


def test_a_reload_to_all_and_back():
    a, b = pair()
    d = Dnsmasq(one=["127.0.1.1", "127.0.1.2"])
    with Weir(text(d, a.port)) as w:
        assert [get(w).body for _ in range(4)] == [b"a"] * 4
        w.reload(w.fill(text(d, a.port, resolve="all")))
        assert sorted(get(w).body for _ in range(4)) == [b"a", b"a", b"b", b"b"]
        w.reload(w.fill(text(d, a.port)))
        assert [get(w).body for _ in range(4)] == [b"a"] * 4


if __name__ == "__main__":
    main()
