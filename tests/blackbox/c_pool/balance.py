# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

from collections import Counter


def servers(n, handler=None):
    return [Origin(handler, name="abcdefgh"[i]) for i in range(n)]


def ask(w, n, **more):
    """The servers' names in the order they were chosen."""
    c = Client(w)
    return [c.ask(**more).body.decode() for _ in range(n)]


def test_round_robin():
    os_ = servers(3)
    with Weir(conf(3), *os_) as w:
        assert "".join(ask(w, 9)) == "abcabcabc"
        assert len(w.log(9)) == 9


def test_smooth_weighted():
    with Weir(conf(up="servers: [{address: $O1, weight: 5}, $O2, $O3]"), *servers(3)) as w:
        assert "".join(ask(w, 14)) == "aabacaa" * 2


def test_fractions_are_exact():
    up = ("servers: [{address: $O1, weight: 1}, {address: $O2, weight: 1.2}, {address: $O3, weight: 1.3}, "
          "{address: $O4, weight: 0.8}]")
    with Weir(conf(up=up), *servers(4)) as w:
        for _ in range(3):
            got = Counter(ask(w, 43))
            assert got == {"a": 10, "b": 12, "c": 13, "d": 8}, got


def test_weights_hold_over_many_connections():
    with Weir(conf(up="servers: [{address: $O1, weight: 3}, $O2]"), *servers(2)) as w:
        got = Counter(get(w).body for _ in range(40))
        assert got == {b"a": 30, b"b": 10}, got


def test_least_requests():
    gate = Gate()

    def handler(c, r):
        if r.target == "/hold":
            gate.wait()
        c.answer(c.origin.name)
    os_ = servers(3, handler)
    with Weir(conf(3, up="balance: least_requests"), *os_) as w:
        held = []
        for _ in range(2):
            held.append(Client(w).request(target="/hold"))
            eventually(lambda: sum(len(o.requests) for o in os_) == len(held))
        busy = {o.name for o in os_ if o.requests}
        assert len(busy) == 2
        free = ({"a", "b", "c"} - busy).pop()
        assert ask(w, 6) == [free] * 6
        gate.open()
        for c in held:
            c.recv_response()


def test_least_requests_by_weight():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer(c.origin.name)
    os_ = servers(2, handler)
    up = "balance: least_requests, servers: [{address: $O1, weight: 3}, $O2]"
    with Weir(conf(up=up), *os_) as w:
        held = []
        for i in range(12):
            held.append(Client(w).request())
            eventually(lambda i=i: sum(len(o.requests) for o in os_) == i + 1)
        assert [len(o.requests) for o in os_] == [9, 3]
        gate.open()
        for c in held:
            c.recv_response()


def test_backup_only_when_no_other_can():
    a, b = Origin(name="a"), Origin(name="b")
    up = "servers: [$O1, {address: $O2, backup: true}], max_fails: 1, fail_timeout: 60s"
    with Weir(conf(up=up), a, b) as w:
        assert set(ask(w, 10)) == {"a"} and b.conns == []
        a.stop()
        assert set(ask(w, 10)) == {"b"}


def test_down():
    with Weir(conf(up="servers: [{address: $O1, down: true}, $O2]"), *servers(2)) as w:
        assert set(ask(w, 6)) == {"b"}


ADDRESSES = [f"{10 + i}.{i * 7 % 256}.{i * 31 % 256}.{i + 1}" for i in range(60)]
TRUST = "trusted_proxies: [127.0.0.0/8]\n"


def spread(w, addresses=ADDRESSES):
    """client -> server, asked twice."""
    c = Client(w)
    first = {a: c.ask(headers={"X-Forwarded-For": a}).body.decode() for a in addresses}
    second = {a: c.ask(headers={"X-Forwarded-For": a}).body.decode() for a in addresses}
    assert first == second, "not sticky"
    return first


def test_ip_hash():
    os_ = servers(4)
    four = conf(4, up="balance: ip_hash", extra=TRUST)
    with Weir(four, *os_) as w:
        before = spread(w)
        assert all(n >= 5 for n in Counter(before.values()).values()) and len(set(before.values())) == 4, before
        # One leaves: only its own move; it comes back: they get it back.
        w.reload(conf(3, up="balance: ip_hash", extra=TRUST))
        less = spread(w)
        assert all(less[a] == s for a, s in before.items() if s != "d")
        w.reload(four)
        assert spread(w) == before


def test_ip_hash_is_the_same_in_every_process():
    os_ = servers(2)
    with Weir(conf(2, up="balance: ip_hash", extra=TRUST), *os_) as w:
        one = spread(w)
    with Weir(conf(2, up="balance: ip_hash", extra=TRUST), *os_) as w:
        assert spread(w) == one


def test_ip_hash_by_weight():
    os_ = servers(2)
    up = "balance: ip_hash, servers: [{address: $O1, weight: 9}, $O2]"
    many = [f"{20 + i % 200}.{i // 200}.{i * 13 % 256}.9" for i in range(600)]
    with Weir(conf(up=up, extra=TRUST), *os_) as w:
        got = Counter(spread(w, many).values())
        assert 480 <= got["a"] <= 590, got


def test_ip_hash_prefix():
    os_ = servers(4)
    up = "balance: {ip_hash: {prefix4: 24}}"
    with Weir(conf(4, up=up, extra=TRUST), *os_) as w:
        got = spread(w, [f"10.1.2.{i}" for i in range(20)])
        assert len(set(got.values())) == 1, got


def test_ip_hash_by_the_peer():
    os_ = servers(4)
    with Weir(conf(4, up="balance: ip_hash", extra="trusted_proxies: [10.0.0.0/8]\n"), *os_) as w:
        by = {f"127.0.0.{i}": {get(w, source=f"127.0.0.{i}", headers={"X-Forwarded-For": f"9.9.9.{j}"}).body
                               for j in range(4)} for i in range(1, 20)}
        assert all(len(s) == 1 for s in by.values()), by
        assert len(set.union(*by.values())) > 1, by


def test_ip_hash_goes_on_without_a_server():
    os_ = servers(2)
    with Weir(conf(2, up="balance: ip_hash, max_fails: 1, fail_timeout: 60s", extra=TRUST), *os_) as w:
        before = spread(w)
        os_[0].stop()
        assert set(spread(w).values()) == {"b"}
        assert "a" in before.values()


HASHES = [
    ("header:X-Session-Id", lambda k: {"headers": {"X-Session-Id": k}}),
    ("cookie:sid", lambda k: {"headers": {"Cookie": f"a=b; sid={k}; c=d"}}),
    ("query:user", lambda k: {"target": f"/?x=1&user={k}"}),
    ("path", lambda k: {"target": f"/{k}?{time.monotonic()}"}),
]


def test_hash_by_keys():
    for how, make in HASHES:
        os_ = servers(4)
        with Weir(conf(4, up=f"balance: hash, hash: '{how}'"), *os_) as w:
            c = Client(w)
            got = {k: {c.ask(**make(k)).body for _ in range(3)} for k in (f"key{i}" for i in range(40))}
            assert all(len(s) == 1 for s in got.values()), (how, got)
            assert len(set.union(*got.values())) == 4, (how, got)


def test_hash_falls_back_to_the_client():
    os_ = servers(4)
    with Weir(conf(4, up="balance: hash, hash: 'header:X-Session-Id'"), *os_) as w:
        by = {i: {get(w, source=f"127.0.0.{i}").body for _ in range(3)} for i in range(1, 25)}
        assert all(len(s) == 1 for s in by.values()) and len(set.union(*by.values())) > 1, by


def test_hash_with_a_bound():
    gate = Gate()

    def handler(c, r):
        gate.wait()
        c.answer(c.origin.name)
    os_ = servers(4, handler)
    up = "balance: {hash: 'header:X-Session-Id', bound: 1.25}"
    with Weir(conf(4, up=up), *os_) as w:
        held = []
        for i in range(16):
            held.append(Client(w).request(headers={"X-Session-Id": "the same"}))
            eventually(lambda i=i: sum(len(o.requests) for o in os_) == i + 1)
        got = sorted(len(o.requests) for o in os_)
        assert got[-1] <= 5 and sum(got) == 16, got
        gate.open()
        for c in held:
            c.recv_response()


if __name__ == "__main__":
    main()
