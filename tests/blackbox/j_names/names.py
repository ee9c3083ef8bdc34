# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 120
# Names of servers, followed while weir runs.  The name server is Debian's dnsmasq.


def text(d, servers, up="", resolver="", **more):
    up = f"servers: [{servers}]" + (", " + up if up else "")
    resolver = f"servers: ['{d.addr}']" + (", " + resolver if resolver else "")
    return conf(up=up, extra=f"resolver: {{{resolver}}}", **more)


class Instances:
    """One port on several addresses of this machine; each says who it is, and holds /long."""

    def __init__(self, n, handler=None):
        self.gate = Gate()
        self.port = free_port()
        self.all = [Origin(handler or self._answer, a, host=a, port=self.port) for a in ADDRESSES[:n]]

    def _answer(self, c, r):
        if r.target == "/long":
            c.chunked_head("text/event-stream")
            c.chunk(b"data: begun\n\n")
            self.gate.wait()
            c.chunk(c.origin.name.encode())
            c.last_chunk()
            return
        c.answer(c.origin.name)

    def __getitem__(self, i):
        return self.all[i]


def asked(w, n, **more):
    """Who answers n requests, each with how often."""
    said = [get(w, **more) for _ in range(n)]
    assert all(r.status == 200 for r in said), [r.status for r in said]
    return {who: [r.body.decode() for r in said].count(who) for who in {r.body.decode() for r in said}}


def even(some, times):
    return {a: times for a in some}


def follows(w, some):
    """Within the TTL: until these serve and nobody else."""
    eventually(lambda: asked(w, 2 * len(some)) == even(some, 2), what=f"requests go to {some}")


def test_two_to_eight_and_back():
    """Who left ends what it began and gets nothing new; the counts add up."""
    i = Instances(8)
    d = Dnsmasq(qwen=ADDRESSES[:2])
    with Weir(text(d, f"'qwen.test:{i.port}'")) as w:
        assert asked(w, 8) == even(ADDRESSES[:2], 4)
        d.set(qwen=ADDRESSES[:8])
        follows(w, ADDRESSES[:8])
        assert f"name qwen.test: 8 addresses: +{ADDRESSES[2]} " in w.stderr
        streams = [Client(w).request(target="/long") for _ in range(16)]
        for c in streams:
            c.recv_until(b"data: begun\n\n")
        n = w.stderr.count("\n")
        d.set(qwen=ADDRESSES[3:5])
        follows(w, ADDRESSES[3:5])
        assert w.stderr.count("\n") == n + 1 and "2 addresses: -127.0.1.1 " in w.stderr.splitlines()[-1]
        had = [len(o.requests) for o in i.all]
        assert asked(w, 20) == even(ADDRESSES[3:5], 10)
        assert [len(o.requests) - h for o, h in zip(i.all, had)] == [0, 0, 0, 10, 10, 0, 0, 0]
        # Idle connections to who left are closed with it.
        eventually(lambda: all(len(o.open_conns) == 2 for k, o in enumerate(i.all) if k not in (3, 4)))
        i.gate.open()
        ends = sorted(c.recv_until(b"0\r\n\r\n").split(b"\r\n")[-4].decode() for c in streams)
        assert ends == sorted(ADDRESSES[:8] * 2), ends
        eventually(lambda: all(not o.open_conns for k, o in enumerate(i.all) if k not in (3, 4)))
        d.set(qwen=ADDRESSES[:8])
        follows(w, ADDRESSES[:8])
        assert {x["server"] for x in w.log()} == {f"{a}:{i.port}" for a in ADDRESSES[:8]}
        assert all(x["end"] == "ok" and x["tries"] == 1 for x in w.log())


def test_it_is_kept_when_nobody_answers():
    i = Instances(2)
    d = Dnsmasq(qwen=ADDRESSES[:2])
    with Weir(text(d, f"'qwen.test:{i.port}'")) as w:
        d.stop()
        eventually(lambda: "name qwen.test: no name server can be reached; what it was stays in use" in w.stderr)
        assert asked(w, 10) == even(ADDRESSES[:2], 5)
        # Said once, however often it is tried.
        d.start()
        d.set()
        eventually(lambda: d.asked("qwen.test") >= 2)
        assert w.stderr.count("stays in use") == 1 and asked(w, 4) == even(ADDRESSES[:2], 2)
        d.set(qwen=ADDRESSES[1:2])
        follows(w, ADDRESSES[1:2])
        assert w.stderr.count("name qwen.test: found") == 1
        # There is no such name: a service that was scaled to nothing, or a slip; kept all the same.
        d.set()
        eventually(lambda: "name qwen.test: there is no such name; what it was stays in use" in w.stderr)
        w.reload()
        assert asked(w, 4) == even(ADDRESSES[1:2], 4)


def test_it_starts_without():
    i = Instances(2)
    d = Dnsmasq()
    with Weir(text(d, f"'qwen.test:{i.port}'", up="retry: {tries: 1}")) as w:
        assert w.stderr.count("qwen.test") == 1 and "its servers are down until it is found" in w.stderr
        r = get(w)
        assert r.status == 503 and w.last()["end"] == "no_backend", r
        # Who reloads wants to know how it is.
        assert "name qwen.test: there is no such name; its servers are down until it is found" in w.reload()
        assert get(w).status == 503
        d.set(qwen=ADDRESSES[:2])
        eventually(lambda: get(w).status == 200)
        assert asked(w, 4) == even(ADDRESSES[:2], 2)


def test_no_name_server_at_all():
    i = Instances(1)
    with Weir(conf(up=f"servers: ['qwen.test:{i.port}', $O1]",
                   extra="resolver: {servers: ['127.0.0.1:$PORT2']}"), i[0]) as w:
        assert asked(w, 3) == even(ADDRESSES[:1], 3)
        code, _, err = run_weir("-t", "-c", w.file)
        assert (code, err) == (0, "")


def test_one_that_is_not_found_beside_others():
    o = Origin()
    d = Dnsmasq()
    with Weir(text(d, "'one.test:1', $O1"), o) as w:
        assert [get(w, method="POST", body=b"x").body for _ in range(6)] == [b"origin"] * 6
        assert all(x["tries"] == 1 for x in w.log(6))


def test_ttl():
    """It is used for as long as it says, within bounds; a reload asks anew."""
    i = Instances(2)
    d = Dnsmasq(ttl=3600, qwen=ADDRESSES[:1])
    with Weir(text(d, f"'qwen.test:{i.port}'", resolver="max_ttl: 1h")) as w:
        d.set(qwen=ADDRESSES[1:2])
        time.sleep(2)
        assert d.asked("qwen.test") == 1 and asked(w, 3) == even(ADDRESSES[:1], 3)
        w.reload()
        assert d.asked("qwen.test") == 2 and asked(w, 3) == even(ADDRESSES[1:2], 3)
        # At most so long: what others say of it.
        w.reload(w.fill(text(d, f"'qwen.test:{i.port}'", resolver="max_ttl: 1s")))
        d.set(qwen=ADDRESSES[:1])
        follows(w, ADDRESSES[:1])
    # At least so long.
    d = Dnsmasq(ttl=0, qwen=ADDRESSES[:1])
    with Weir(text(d, f"'qwen.test:{i.port}'", resolver="min_ttl: 1h, max_ttl: 1h")) as w:
        d.set(qwen=ADDRESSES[1:2])
        time.sleep(2)
        assert d.asked("qwen.test") == 1 and asked(w, 3) == even(ADDRESSES[:1], 3)


def test_a_ttl_of_nothing():
    i = Instances(1)
    d = Dnsmasq(ttl=0, qwen=ADDRESSES[:1])
    with Weir(text(d, f"'qwen.test:{i.port}'")) as w:
        eventually(lambda: d.asked("qwen.test") >= 2)
        began = d.asked("qwen.test"), time.monotonic()
        eventually(lambda: d.asked("qwen.test") >= began[0] + 2)
        assert (d.asked("qwen.test") - began[0]) <= (time.monotonic() - began[1]) / 0.9 + 1
        assert asked(w, 2) == even(ADDRESSES[:1], 2)


def test_another_name_for_it():
    i = Instances(2)
    d = Dnsmasq("--cname=alias.test,other.test,qwen.test", qwen=ADDRESSES[:2])
    with Weir(text(d, f"'alias.test:{i.port}'")) as w:
        assert asked(w, 4) == even(ADDRESSES[:2], 2)


def test_more_than_a_datagram_holds():
    d = Dnsmasq("--edns-packet-max=512", qwen=ADDRESSES[:40])
    i = Instances(64)
    with Weir(text(d, f"'qwen.test:{i.port}'", up="keepalive: {idle: 0}")) as w:
        assert asked(w, 80) == even(ADDRESSES[:40], 2)
        assert "name qwen.test: 40 addresses: +127.0.1.1 " in w.stderr and "+28 more" in w.stderr
        d.set(qwen=ADDRESSES)
        eventually(lambda: "100 addresses, of which 64 are used" in w.stderr)
        d.set(qwen=ADDRESSES[:3])
        follows(w, ADDRESSES[:3])


def test_more_than_there_is_place_for():
    """Who leaves keeps its place until its last exchange is over; then others take it."""
    i = Instances(64)
    d = Dnsmasq(qwen=ADDRESSES[:40])
    with Weir(text(d, f"'qwen.test:{i.port}'", up="max_fails: 0, retry: {tries: 1}")) as w:
        streams = [Client(w).request(target="/long") for _ in range(40)]
        for c in streams:
            c.recv_until(b"data: begun\n\n")
        d.set(qwen=ADDRESSES[30:64])
        eventually(lambda: "34 addresses: " in w.stderr)
        assert asked(w, 34) == even(ADDRESSES[30:64], 1)
        d.set(qwen=[a.replace("127.0.1", "127.0.2") for a in ADDRESSES[:64]])
        eventually(lambda: "upstream up: there is no place for 40 of the 64 addresses of qwen.test" in w.stderr)
        i.gate.open()
        for c in streams:
            c.close()
        # All of them are there then, and none of them listens.
        def all_came():
            assert get(w, "/new").status == 502
            servers = {x["server"] for x in w.log() if x["target"] == "/new"}
            assert all(s.startswith("127.0.2.") for s in servers), servers
            return len(servers) == 64
        eventually(all_came, 30)


def test_ipv6_where_there_is_no_ipv4():
    o = Origin(host="::1")
    d = Dnsmasq(six=["::1"], both=["::1", ADDRESSES[0]])
    i = Instances(1)
    with Weir(text(d, f"'six.test:{o.port}'")) as w:
        assert asked(w, 3) == even(["origin"], 3)
        assert w.last()["server"] == f"[::1]:{o.port}"
        w.reload(w.fill(text(d, f"'both.test:{i.port}'")))
        assert asked(w, 3) == even(ADDRESSES[:1], 3)


def test_a_name_of_two_pools():
    """A server is one, whoever names it: its state and its max_inflight."""
    i = Instances(1)
    d = Dnsmasq(qwen=ADDRESSES[:1])
    servers = f"{{address: 'qwen.test:{i.port}', max_inflight: 1}}"
    routes = "[{path: /q, upstream: other}, {path: /, upstream: up}]"
    t = text(d, servers, up="queue: {size: 0}", routes=routes).replace(
        "routes:", f"  other: {{servers: [{servers}], queue: {{size: 0}}}}\nroutes:", 1)
    with Weir(t) as w:
        c = Client(w).request(target="/long")
        c.recv_until(b"data: begun\n\n")
        assert get(w, "/q").status == 503 and get(w, "/").status == 503
        i.gate.open()
        c.recv_until(b"0\r\n\r\n")
        assert get(w, "/q").status == 200


if __name__ == "__main__":
    main()
