# SPDX-License-Identifier: MIT
# limit: 100
"""Active health checks: who is up, starting or down, and what follows for who asks."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import Authority, TlsOrigin  # noqa: E402

FAST = "interval: 100ms, timeout: 5s"


class Model(Origin):
    """Answers /health as told, everything else with its name."""

    def __init__(self, name, **more):
        self.health = lambda c, r: c.answer("fine")
        super().__init__(self.serve, name, **more)

    def serve(self, c, r):
        if r.target.startswith("/health"):
            return self.health(c, r)
        return c.answer(self.name)

    def probes(self):
        return [r for r in list(self.heads) if r.target.startswith("/health")]

    def asked(self):
        return [r for r in list(self.heads) if not r.target.startswith("/health")]

    def says(self, status):
        self.health = lambda c, r: c.answer("x", status)


def check(more="", balance="", up=""):
    return ", ".join(x for x in (balance, f"health_check: {{path: /health?x=1, {FAST}{more and ', ' + more}}}",
                                 "fail_timeout: 60s", up) if x)


def says(w, *words):
    """A line of the daemon's that has them all."""
    return any(all(word in line for word in words) for line in w.stderr.split("\n"))


def count(w, *words):
    return sum(all(word in line for word in words) for line in w.stderr.split("\n"))


def wait_up(w, *models):
    for m in models:
        eventually(lambda: says(w, m.addr, ": up,"), what=f"{m.name} is up")


def names(w, n=6):
    return {get(w).body.decode() for _ in range(n)}


def test_what_is_asked():
    a = Model("a")
    with Weir(conf(1, check()), a) as w:
        wait_up(w, a)
        r = a.probes()[0]
        assert r.start == "GET /health?x=1 HTTP/1.1", r.start
        assert r.get("Host") == a.addr and r.get("Connection") == "close", r.headers
        eventually(lambda: len(a.probes()) >= 4)
        assert len(a.conns) >= 4, "each on its own connection"
        assert w.lines() == [], "no line for a check"
    with Weir(conf(1, check("host: models.example")), a) as w:
        eventually(lambda: a.probes()[-1].get("Host") == "models.example")


def test_unix_and_status_of_the_service():
    with folder() as d, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(d + "/notify")
        manager.settimeout(PATIENCE * SLOW)
        a = Model("a", path=d + "/a")
        with Weir(conf(1, check("fall: 1")), a, env={"NOTIFY_SOCKET": d + "/notify"}) as w:
            def wait_status(text):
                while text not in manager.recv(4096).decode():
                    pass
            wait_up(w, a)
            wait_status("1 of 1 servers up")
            assert a.probes()[0].get("Host") == "localhost"
            a.says("500 Oops")
            wait_status("0 of 1 servers up")


def test_presets():
    for preset, path in (("vllm", "/health"), ("llamacpp", "/health"), ("ollama", "/api/version"),
                         ("tgi", "/health"), ("openai", "/v1/models")):
        o = Origin()
        with Weir(conf(1, f"health_check: {preset}"), o):
            assert o.wait().target == path


def test_down_and_up_again():
    a, b = Model("a"), Model("b")
    with Weir(conf(2, check("fall: 2, rise: 2")), a, b) as w:
        wait_up(w, a, b)
        assert names(w) == {"a", "b"}
        a.says("503 Loading")
        eventually(lambda: says(w, a.addr, "down", "status 503"))
        seen = len(a.asked())
        assert names(w) == {"b"} and len(a.asked()) == seen
        n = len(a.probes())
        eventually(lambda: len(a.probes()) > n + 4)
        assert count(w, a.addr) == 2, w.stderr     # on change only
        a.says("200 OK")
        eventually(lambda: count(w, a.addr, ": up,") == 2)
        assert names(w) == {"a", "b"}


def test_another_interval_while_down():
    a, b = Model("a"), Model("b")
    a.says("503 Loading")
    with Weir(conf(2, "health_check: {path: /health, interval: 1h, down_interval: 100ms, rise: 3}"), a, b) as w:
        eventually(lambda: len(a.probes()) > 5)
        a.says("200 OK")
        wait_up(w, a, b)
        # Who is up is asked in an hour, who is not time and again.
        n = steady(lambda: len(a.probes()))
        assert n > 5 and len(b.probes()) == 1
        # The other way round: who is down is let be for an hour.
        a.says("503 Down")
        w.reload(conf(2, "health_check: {path: /health, interval: 100ms, down_interval: 1h, rise: 3}"))
        eventually(lambda: says(w, a.addr, "down"))
        n = steady(lambda: len(a.probes()))
        eventually(lambda: len(b.probes()) > 6)
        assert len(a.probes()) == n


def test_refusal():
    a, b = Model("a"), Model("b")
    with Weir(conf(2, check("fall: 2")), a, b) as w:
        wait_up(w, a, b)
        a.stop()
        eventually(lambda: says(w, a.addr, "down", "refused"))
        assert names(w) == {"b"} and w.log()[-1]["tries"] == 1
        a.start()
        eventually(lambda: count(w, a.addr, ": up,") == 2)
        assert names(w) == {"a", "b"}


def test_starting_gets_nothing_while_another_is_up():
    a, b = Model("a"), Model("b")
    a.says("503 Loading")
    with Weir(conf(2, check()), a, b) as w:
        wait_up(w, b)
        eventually(lambda: says(w, a.addr, "starting", "status 503"))
        seen = len(a.asked())
        assert names(w) == {"b"} and len(a.asked()) == seen
        n = len(a.probes())
        eventually(lambda: len(a.probes()) > n + 4)
        assert count(w, a.addr) == 1, w.stderr
        a.says("200 OK")
        wait_up(w, a)
        assert names(w) == {"a", "b"}


def test_all_down_fails_open():
    a, b = Model("a"), Model("b")
    a.says("404 Not Found")
    b.says("404 Not Found")
    with Weir(conf(2, check()), a, b) as w:
        eventually(lambda: says(w, a.addr, "starting") and says(w, b.addr, "starting"))
        assert names(w) == {"a", "b"}, "the balancer goes on"
        a.says("200 OK")
        b.says("200 OK")
        wait_up(w, a, b)
        a.says("404 Not Found")
        b.says("404 Not Found")
        eventually(lambda: says(w, a.addr, "down") and says(w, b.addr, "down"))
        assert names(w) == {"a", "b"}


def test_slow_is_not_dead():
    """Timeouts with an answer between them never take a server down, nor with bad ones that are too few;
    so many in a row do."""
    a, b = Model("a"), Model("b")
    n = [0]

    def pattern(*words):
        def health(c, r):
            word = words[n[0] % len(words)]
            n[0] += 1
            if word != "late":
                c.answer("x", word)
        n[0] = 0
        return health

    with Weir(conf(2, check("fall: 4").replace("timeout: 5s", "timeout: 1s")), a, b) as w:
        wait_up(w, a, b)
        # Two good ones: on a busy machine one may be late itself.
        for words in (("late", "200 OK"), ("200 OK", "200 OK", "503 Busy", "503 Busy", "late", "late")):
            a.health = pattern(*words)
            eventually(lambda: n[0] > 8, 30)
            assert not says(w, a.addr, "down"), w.stderr
        a.health = lambda c, r: None
        eventually(lambda: says(w, a.addr, "down", "in time"))
        assert names(w) == {"b"}


def test_body():
    a, b = Model("a"), Model("b")

    def chunks(c, r):
        c.chunked_head()
        for part in (b"x" * 1000, b"re", b"ady"):
            c.chunk(part)
        c.last_chunk()

    def until_close(c, r):
        c.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nnot yet rea")
        c.send(b"dy")
        c.close()

    a.health, b.health = chunks, until_close
    with Weir(conf(2, check("body: ready, fall: 1")), a, b) as w:
        wait_up(w, a, b)
        a.health = lambda c, r: c.answer("read")
        b.health = lambda c, r: c.answer("x" * 70000 + "ready")
        eventually(lambda: says(w, a.addr, "down", "not in its answer"))
        eventually(lambda: says(w, b.addr, "down", "first 64 KB"))


def test_garbage_and_cuts():
    a = Model("a")
    with Weir(conf(1, check("body: ready, fall: 1, rise: 1")), a) as w:
        for health in (lambda c, r: c.send(b"what?\r\n\r\n"), lambda c, r: c.close(),
                       lambda c, r: c.reset(), lambda c, r: c.send(b"HTTP/1.1 200 OK\r\nContent-Le") or c.close(),
                       lambda c, r: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nread") or c.reset(),
                       lambda c, r: c.send(b"HTTP/1.1 103 X\r\n\r\n" * 50) or c.close(),
                       lambda c, r: c.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nready")):
            a.health = lambda c, r: c.answer("ready")
            ups, downs = count(w, ": up,"), count(w, ": down,")
            eventually(lambda: count(w, ": up,") > downs)
            a.health = health
            eventually(lambda: count(w, ": down,") > downs)
            assert count(w, ": up,") <= ups + 1


def test_tcp():
    a, b = Model("a"), Model("b")
    a.says("503 Whatever")
    with Weir(conf(2, f"health_check: {{tcp: true, {FAST}, fall: 1}}"), a, b) as w:
        wait_up(w, a, b)
        assert names(w) == {"a", "b"} and a.probes() == []
        a.stop()
        eventually(lambda: says(w, a.addr, "down"))


def test_https():
    ca = Authority()
    good, bad = TlsOrigin(ca.issue("IP:127.0.0.1"), name="good"), TlsOrigin(ca.issue("x.example"), name="bad")
    for how in ("path: /health", "tcp: true"):
        with Weir(conf(2, f"tls: {{ca: {ca.cert}}}, health_check: {{{how}, {FAST}}}"), good, bad) as w:
            wait_up(w, good)
            eventually(lambda: says(w, bad.addr, "starting", "mismatch"))
            assert names(w) == {"good"}
    assert good.requests[0].get("Host") == f"127.0.0.1:{good.port}", good.requests[0].headers


def test_who_waits_in_line_is_served_when_one_comes_up():
    a, b = Model("a"), Model("b")
    gate = Gate()
    b.handler = lambda c, r: c.answer("fine") if r.target.startswith("/health") else (gate.wait(), c.answer("b"))[1]
    a.says("503 Loading")
    up = "servers: [{address: $O1, max_inflight: 1}, {address: $O2, max_inflight: 1}], queue: {size: 9}"
    with Weir(conf(2, check(up=up)), a, b) as w:
        wait_up(w, b)
        eventually(lambda: says(w, a.addr, "starting"))
        first = Background(get, w)
        eventually(lambda: len(b.asked()) == 1)
        second = Background(get, w)
        eventually(lambda: w.descriptors() and second.is_alive())
        a.says("200 OK")
        assert second.result().body == b"a"
        gate.open()
        assert first.result().body == b"b"


def test_reload():
    a, b, c = Model("a"), Model("b"), Model("c")
    a.says("503 Loading")
    text = conf(2, check())
    with Weir(text, a, b) as w:
        wait_up(w, b)
        eventually(lambda: says(w, a.addr, "starting"))
        w.reload(text.replace("interval: 100ms", "interval: 101ms"))
        assert names(w) == {"b"}, "starting is still starting, up is still up"
        # Who is new starts; who was there goes on.
        c.says("503 Loading")
        w.set_origins(a, b, c)
        w.reload(conf(3, check()))
        eventually(lambda: says(w, c.addr, "starting"))
        assert names(w) == {"b"}
        c.says("200 OK")
        wait_up(w, c)
        # Without checks all are equal, and nobody is asked.
        w.reload(conf(3))
        assert names(w) == {"a", "b", "c"}
        n = steady(lambda: len(a.probes()) + len(b.probes()))
        # With them again who served is taken to be well, until it is seen that it is not.
        w.reload(conf(3, check("fall: 1")))
        eventually(lambda: says(w, a.addr, "down"))
        assert names(w) == {"b", "c"} and len(a.probes()) + len(b.probes()) > n


def test_two_upstreams_of_one_server():
    a = Model("a")
    text = f"""listen: ["127.0.0.1:$PORT"]
upstreams:
  one: {{servers: [$O1], health_check: {{path: /health/one, {FAST}}}}}
  two: {{servers: [$O1], health_check: {{path: /health/two, {FAST}}}}}
  three: {{servers: [$O1]}}
routes: [{{path: /1, upstream: one}}, {{path: /2, upstream: two}}, {{path: /, upstream: three}}]
""" + DEFAULTS
    with Weir(text, a) as w:
        assert says(w, "upstreams.two.health_check", f"{a.addr} is checked as one says"), w.stderr
        eventually(lambda: len(a.probes()) > 3)
        assert {r.target for r in a.probes()} == {"/health/one"}


def test_slow_start():
    """Who comes back begins with a tenth; who starts with weir does not."""
    a, b = Model("a"), Model("b")
    with Weir(conf(2, check("fall: 1, rise: 1", up="slow_start: 1h")), a, b) as w:
        wait_up(w, a, b)
        got = [get(w).body for _ in range(22)]
        assert got.count(b"a") == 11, got
        a.says("503 Down")
        eventually(lambda: says(w, a.addr, "down"))
        a.says("200 OK")
        eventually(lambda: count(w, a.addr, ": up,") == 2)
        got = [get(w).body for _ in range(22)]
        assert 1 <= got.count(b"a") <= 3, got


if __name__ == "__main__":
    main()
