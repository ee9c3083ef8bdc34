# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from certs import *  # noqa: E402,F403
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 90
# SRV records (RFC 2782): places with ports, priorities and weights.
SRV = "_http._tcp.qwen.test"


def place(target, port, priority=0, weight=0):
    return f"--srv-host={SRV},{target},{port},{priority},{weight}"


def text(d, servers=f"'srv:{SRV}'", up="", **more):
    return conf(up=f"servers: [{servers}]" + (", " + up if up else ""),
                extra=f"resolver: {{servers: ['{d.addr}']}}", **more)


def shares(w, n):
    said = [get(w) for _ in range(n)]
    assert all(r.status == 200 for r in said), [r.status for r in said]
    return {who: [r.body.decode() for r in said].count(who) for who in {r.body.decode() for r in said}}


def instances(*names, port=None):
    return [Origin(name=n, host=a, port=port) for n, a in zip(names, ADDRESSES)]


def test_weights():
    a, b = instances("a", "b")
    d = Dnsmasq(place("a.test", a.port, 0, 10), place("b.test", b.port, 0, 30), a=[a.host], b=[b.host])
    with Weir(text(d)) as w:
        assert shares(w, 40) == {"a": 10, "b": 30}
        assert f"name srv:{SRV}: " in w.stderr
        assert {x["server"] for x in w.log(40)} == {a.addr, b.addr}
        # The whole range; and 0 is little, but not nothing.
        d.again(place("a.test", a.port, 0, 65535), place("b.test", b.port, 0, 13107))
        eventually(lambda: shares(w, 12) == {"a": 10, "b": 2})
        d.again(place("a.test", a.port, 0, 0), place("b.test", b.port, 0, 1))
        eventually(lambda: shares(w, 12) == {"b": 12})
        assert shares(w, 1010)["a"] in (1, 2)
        # Without weights all are alike.
        d.again(place("a.test", a.port), place("b.test", b.port))
        eventually(lambda: shares(w, 4) == {"a": 2, "b": 2})


def test_priorities():
    a, b, c = instances("a", "b", "c")
    d = Dnsmasq(place("a.test", a.port, 1), place("b.test", b.port, 2), place("c.test", c.port, 5),
                a=[a.host], b=[b.host], c=[c.host])
    with Weir(text(d, up="max_fails: 1, keepalive: {idle: 0}, fail_timeout: 1h")) as w:
        assert shares(w, 4) == {"a": 4}
        a.stop()
        assert get(w).status == 200
        assert shares(w, 4) == {"b": 2, "c": 2}
        d.again(place("c.test", c.port, 1), place("b.test", b.port, 2))
        eventually(lambda: shares(w, 4) == {"c": 4})


def test_another_port():
    a, b = instances("a", "b")
    port = free_port()
    d = Dnsmasq(place("a.test", a.port), a=[a.host])
    with Weir(text(d)) as w:
        assert shares(w, 3) == {"a": 3}
        moved = Origin(name="moved", host=a.host, port=port)
        d.again(place("a.test", port))
        eventually(lambda: shares(w, 3) == {"moved": 3})
        assert f"name srv:{SRV}: 1 address: +{moved.addr} -{a.addr}" in w.stderr
        eventually(lambda: {x["server"] for x in w.log()} == {a.addr, moved.addr})


def test_places_are_names_like_any_other():
    """With several addresses, which change; one that is not found takes nothing from the others."""
    port = free_port()
    many = [Origin(name=a, host=a, port=port) for a in ADDRESSES[:4]]
    d = Dnsmasq(place("pods.test", port), place("gone.test", port), pods=ADDRESSES[:2])
    with Weir(text(d)) as w:
        assert shares(w, 4) == {many[0].name: 2, many[1].name: 2}
        assert "name gone.test: there is no such name" in w.stderr
        d.set(pods=ADDRESSES[2:4])
        eventually(lambda: shares(w, 4) == {many[2].name: 2, many[3].name: 2})
        d.set(pods=ADDRESSES[2:4], gone=ADDRESSES[:1])
        eventually(lambda: set(shares(w, 3)) == {many[0].name, many[2].name, many[3].name})


def test_it_is_kept():
    a, = instances("a")
    d = Dnsmasq(place("a.test", a.port), a=[a.host])
    with Weir(text(d)) as w:
        assert shares(w, 2) == {"a": 2}
        # A service of which there is nothing: RFC 2782 has "." for that.
        for options in ([], [f"--srv-host={SRV}"]):
            d.again(*options)
            eventually(lambda: d.asked(SRV, "SRV") >= 1 and f"name srv:{SRV}: there is no such name" in w.stderr)
            assert shares(w, 2) == {"a": 2}
        w.reload()
        assert shares(w, 2) == {"a": 2} and "what it was stays in use" in w.stderr


def test_beside_other_servers():
    a, b, c = instances("a", "b", "c")
    d = Dnsmasq(place("a.test", a.port, 0, 1), place("b.test", b.port, 0, 2), a=[a.host], b=[b.host])
    with Weir(text(d, f"{{address: 'srv:{SRV}', weight: 2}}, {c.addr}")) as w:
        assert shares(w, 40) == {"a": 10, "b": 20, "c": 10}


def test_tls():
    """Who has to be there is who was asked for, not whom DNS names."""
    ca = Authority()
    right, wrong = ca.issue("qwen.test"), ca.issue("a.test")
    for pair, status in ((right, 200), (wrong, 502)):
        o = TlsOrigin(pair, host=ADDRESSES[0])
        d = Dnsmasq(place("a.test", o.port), a=[o.host])
        t = text(d, f"'https://srv:{SRV}'", up=f"tls: {{ca: {ca.cert}}}, retry: {{tries: 1}}")
        with Weir(t) as w:
            assert get(w).status == status, pair
            assert w.last()["server"] == o.addr and w.last()["end"] == ("ok" if status == 200 else "tls_verify")
            assert o.names[0] == "qwen.test"


if __name__ == "__main__":
    main()
