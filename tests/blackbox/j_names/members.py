# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from certs import *  # noqa: E402,F403
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 90
# The addresses of a name are members of the pool like any other: checked, balanced, waited for.


def text(d, servers, up="", extra="", **more):
    return conf(up=f"servers: [{servers}]" + (", " + up if up else ""),
                extra=f"resolver: {{servers: ['{d.addr}']}}\n" + extra, **more)


def shares(w, n, **more):
    said = [get(w, **more) for _ in range(n)]
    assert all(r.status == 200 for r in said), [r.status for r in said]
    return {who: [r.body.decode() for r in said].count(who) for who in {r.body.decode() for r in said}}


class Instance(Origin):
    """Well when ready; holds /long until its gate opens."""

    def __init__(self, i, port, ready=True):
        self.ready, self.checks, self.gate = ready, [], Gate()
        super().__init__(self._say, "abcdefgh"[i], host=ADDRESSES[i], port=port)

    def _say(self, c, r):
        if r.target == "/health":
            self.checks.append(r)
            c.answer(b"", "200 OK" if self.ready else "503 Loading")
            return
        if r.target == "/long":
            c.chunked_head()
            c.chunk(b"begun")
            self.gate.wait()
            c.chunk(b"ended")
            c.last_chunk()
            return
        c.answer(self.name)


def test_a_newcomer_is_starting():
    """It gets nothing before its health check has passed; who left is not asked any more."""
    port = free_port()
    a, b = Instance(0, port), Instance(1, port, ready=False)
    d = Dnsmasq(qwen=[a.host])
    up = "health_check: {path: /health, interval: 100ms}"
    with Weir(text(d, f"'qwen.test:{port}'", up=up)) as w:
        eventually(lambda: len(a.checks) > 1)
        assert a.checks[0].get("Host") == f"qwen.test:{port}"
        d.set(qwen=[a.host, b.host])
        eventually(lambda: len(b.checks) > 3)
        assert shares(w, 6) == {"a": 6}
        b.ready = True
        eventually(lambda: shares(w, 4) == {"a": 2, "b": 2})
        assert f"server {b.addr}: up, it passes its health check" in w.stderr
        d.set(qwen=[b.host])
        eventually(lambda: shares(w, 4) == {"b": 4})
        had = len(a.checks), len(b.checks)
        eventually(lambda: len(b.checks) > had[1] + 5)
        assert len(a.checks) <= had[0] + 1


def test_slow_start():
    """For those that come later, not for those that were there at the start."""
    port = free_port()
    a, b, c = (Instance(i, port) for i in range(3))
    d = Dnsmasq(qwen=[a.host, b.host])
    with Weir(text(d, f"'qwen.test:{port}'", up="slow_start: 1h")) as w:
        assert shares(w, 40) == {"a": 20, "b": 20}
        d.set(qwen=[a.host, b.host, c.host])
        eventually(lambda: "3 addresses" in w.stderr)
        said = shares(w, 210)
        assert 9 <= said["c"] <= 12 and said["a"] + said["b"] + said["c"] == 210, said


def test_who_waits_is_served_by_a_newcomer():
    port = free_port()
    a, b = Instance(0, port), Instance(1, port)
    d = Dnsmasq(qwen=[a.host])
    servers = f"{{address: 'qwen.test:{port}', max_inflight: 1}}"
    with Weir(text(d, servers, up="queue: {size: 10, timeout: 60s}")) as w:
        long = Client(w).request(target="/long")
        long.recv_until(b"begun")
        waits = Client(w).request()
        eventually(lambda: len(a.requests) == 1)
        assert not waits.is_closed()
        d.set(qwen=[a.host, b.host])
        assert waits.recv_response().body == b"b"
        a.gate.open()
        long.recv_until(b"0\r\n\r\n")
        assert w.log(2)[0]["queue_ms"] > 0


def test_limits_after_a_reload():
    """Streams of before count for an instance that both generations know, also for one that came since."""
    port = free_port()
    a, b = Instance(0, port), Instance(1, port)
    d = Dnsmasq(qwen=[a.host])
    servers = f"{{address: 'qwen.test:{port}', max_inflight: 1}}"
    t = text(d, servers, up="queue: {size: 0}")
    with Weir(t) as w:
        old = Client(w).request(target="/long")
        old.recv_until(b"begun")
        w.reload(w.fill(t.replace("max_inflight: 1", "max_inflight: 2")))
        d.set(qwen=[a.host, b.host])
        eventually(lambda: "2 addresses" in w.stderr)
        more = [Client(w).request(target="/long") for _ in range(3)]
        for c in more:
            c.recv_until(b"begun")
        assert get(w).status == 503
        assert len(a.requests) + len(b.requests) == 4 and len(a.open_conns) == 2
        d.set(qwen=[b.host])
        eventually(lambda: "1 address: -" in w.stderr)
        assert get(w).status == 503
        a.gate.open()
        b.gate.open()
        for c in (old, *more):
            c.recv_until(b"0\r\n\r\n")
        assert shares(w, 3) == {"b": 3}


def test_who_waited_before_a_reload_is_subject_to_it():
    port = free_port()
    a, b = Instance(0, port), Instance(1, port)
    d = Dnsmasq(qwen=[a.host])
    servers = f"{{address: 'qwen.test:{port}', max_inflight: 1}}"
    t = text(d, servers, up="queue: {size: 10, timeout: 60s}")
    with Weir(t) as w:
        clients = []
        for n in range(4):
            clients.append(Client(w).request(target="/long"))
            if n == 0:
                clients[0].recv_until(b"begun")
        w.reload(w.fill(t.replace("max_inflight: 1", "max_inflight: 2")))
        a.wait(2)
        d.set(qwen=[a.host, b.host])
        b.wait(2)
        a.gate.open()
        b.gate.open()
        for c in clients:
            c.recv_until(b"0\r\n\r\n")


def test_keys_stay_where_they_are():
    port = free_port()
    all_ = [Instance(i, port) for i in range(4)]
    d = Dnsmasq(qwen=[o.host for o in all_[:3]])

    def where(w):
        return {k: get(w, headers={"X-Key": f"k{k}"}).body.decode() for k in range(60)}
    with Weir(text(d, f"'qwen.test:{port}'", up="balance: hash, hash: header:X-Key")) as w:
        three = where(w)
        assert set(three.values()) == {"a", "b", "c"}
        d.set(qwen=[o.host for o in all_])
        eventually(lambda: "4 addresses" in w.stderr)
        four = where(w)
        assert {four[k] for k in four if four[k] != three[k]} == {"d"}
        d.set(qwen=[o.host for o in all_[1:]])
        eventually(lambda: "3 addresses: -" in w.stderr)
        rest = where(w)
        assert all(rest[k] == four[k] for k in four if four[k] != "a") and "a" not in rest.values()
        # By address, whatever the order they came in.
        w.reload()
        assert where(w) == rest


def test_tls_is_by_name():
    ca = Authority()
    port = free_port()
    right = TlsOrigin(ca.issue("qwen.test"), name="right", host=ADDRESSES[0], port=port)
    wrong = TlsOrigin(ca.issue(f"IP:{ADDRESSES[1]}"), name="wrong", host=ADDRESSES[1], port=port)
    d = Dnsmasq(qwen=[right.host])
    up = f"tls: {{ca: {ca.cert}}}, retry: {{tries: 1}}, max_fails: 0"
    with Weir(text(d, f"'https://qwen.test:{port}'", up=up)) as w:
        assert shares(w, 2) == {"right": 2} and set(right.names) == {"qwen.test"}
        d.set(qwen=[right.host, wrong.host])
        eventually(lambda: "2 addresses" in w.stderr)
        assert sorted(get(w).status for _ in range(4)) == [200, 200, 502, 502]
        assert not wrong.requests
        # Shown to newcomers too, and after a reload.
        d.set(qwen=[right.host])
        w.reload()
        assert shares(w, 2) == {"right": 2}


def test_two_names_of_one_address():
    """Are two servers: each has to be who it is asked to be."""
    ca = Authority()
    o = TlsOrigin(ca.issue("one.test", "two.test"), host=ADDRESSES[0])
    d = Dnsmasq(one=[o.host], two=[o.host])
    up = f"tls: {{ca: {ca.cert}}}, retry: {{tries: 1}}, keepalive: {{idle: 0}}"
    with Weir(text(d, f"'https://one.test:{o.port}', 'https://two.test:{o.port}'", up=up)) as w:
        assert shares(w, 4) == {"origin": 4}
        assert sorted(o.names) == ["one.test"] * 2 + ["two.test"] * 2


def test_what_is_shown():
    port = free_port()
    a, b = Instance(0, port), Instance(1, port)
    d = Dnsmasq(qwen=[a.host])
    servers = f"'qwen.test:{port}', 'gone.test:1'"
    with Weir(text(d, servers, extra='admin: {listen: "127.0.0.1:$PORT2"}')) as w:
        def status():
            r = Client(f"127.0.0.1:{w.names['PORT2']}").ask(target="/status")
            return {s["address"]: s["state"] for s in json.loads(r.body)["upstreams"][0]["servers"]}
        c = Client(w).request(target="/long")
        c.recv_until(b"begun")
        gone = {"gone.test:1": "unresolved"}
        assert status() == {a.addr: "up", **gone}
        d.set(qwen=[b.host])
        eventually(lambda: status() == {a.addr: "leaving", b.addr: "up", **gone})
        r = Client(f"127.0.0.1:{w.names['PORT2']}").ask(target="/metrics")
        assert f'weir_server_up{{upstream="up",server="{b.addr}"}} 1'.encode() in r.body
        assert b'weir_server_up{upstream="up",server="gone.test:1"} 0' in r.body
        a.gate.open()
        c.recv_until(b"0\r\n\r\n")
        eventually(lambda: status() == {b.addr: "up", **gone})


@not_under_memcheck("the program is called by another name")
def test_an_upgrade():
    """The next program asks for itself."""
    port = free_port()
    a, b = Instance(0, port), Instance(1, port)
    d = Dnsmasq(qwen=[a.host, b.host])
    with Weir(text(d, f"'qwen.test:{port}'")) as w:
        c = Client(w).request(target="/long")
        c.recv_until(b"begun")
        w.signal(signal.SIGUSR2)
        eventually(lambda: "upgrade: ok, process" in w.stderr)
        assert shares(w, 4) == {"a": 2, "b": 2}
        a.gate.open()
        b.gate.open()
        c.recv_until(b"0\r\n\r\n")
        pid = int(re.search(r"process (\d+) takes over", w.stderr).group(1))
        assert w.wait() == 0
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: w.stderr.count("weir: stopped") == 2)


if __name__ == "__main__":
    main()
