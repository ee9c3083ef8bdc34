# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 90
# Names of servers, with a resolver of our own under the daemon (resolver.c).
SHIM = os.path.join(tempfile.mkdtemp(prefix="weir-test."), "resolver.so")


def build():
    if not os.path.exists(SHIM):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resolver.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", SHIM + ".new", source, "-ldl"], check=True)
        os.rename(SHIM + ".new", SHIM)


class Names:
    def __init__(self, **names):
        build()
        fd, self.path = tempfile.mkstemp(prefix="weir-test.names.")
        os.close(fd)
        self.set(**names)

    def set(self, **names):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.writelines(f"{n}.test {a}\n" for n, a in names.items())
        os.rename(self.path + ".new", self.path)

    @property
    def env(self):
        options = environment()["ASAN_OPTIONS"]
        return {"LD_PRELOAD": SHIM, "WEIR_TEST_NAMES": self.path,
                "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}


def pair(**more):
    """Two servers on one port of two addresses of this machine."""
    a = Origin(name="a", host="127.0.0.2", **more)
    return a, Origin(name="b", host="127.0.0.3", port=a.port, **more)


def test_down_until_a_reload_finds_it():
    n = Names(one="-")
    o = Origin()
    text = conf(up=f"servers: ['one.test:{o.port}'], retry: {{tries: 1}}")
    with Weir(text, o, env=n.env) as w:
        assert f"one.test:{o.port}" in w.stderr and "down until a reload" in w.stderr, w.stderr
        r = get(w)
        assert r.status == 503 and w.last()["end"] == "no_backend", r
        n.set(one="127.0.0.1")
        assert get(w).status == 503
        w.reload()
        assert get(w).body == b"origin"
        assert w.last(3)["server"] == f"one.test:{o.port}"
        n.set(one="-")
        said = w.reload()
        assert "down until a reload" in said and get(w).status == 503


def test_one_that_does_not_resolve_beside_others():
    n = Names(one="-")
    o = Origin()
    with Weir(conf(up=f"servers: ['one.test:{o.port}', $O1]"), o, env=n.env) as w:
        assert [get(w, method="POST", body=b"x").body for _ in range(6)] == [b"origin"] * 6
        assert all(x["tries"] == 1 for x in w.log(6))


def test_a_reload_follows_the_name():
    """Idle connections to the old address are not used any more; exchanges under way end there."""
    n = Names(one="127.0.0.2")
    gate = Gate()

    def handler(c, r):
        if r.target == "/long":
            gate.wait()
        c.answer(c.origin.name)
    a = Origin(handler, "a", host="127.0.0.2")
    b = Origin(handler, "b", host="127.0.0.3", port=a.port)
    with Weir(conf(up=f"servers: ['one.test:{a.port}']"), a, env=n.env) as w:
        assert get(w).body == b"a"
        c = Client(w).request(target="/long")
        a.wait(2)
        assert get(w).body == b"a"
        n.set(one="127.0.0.3")
        assert get(w).body == b"a", "names are resolved at a reload only"
        w.reload()
        assert [get(w).body for _ in range(3)] == [b"b"] * 3
        gate.open()
        assert c.recv_response().body == b"a"
        # The same answer in another reload leaves the connection alone.
        had = len(b.conns)
        w.reload()
        assert get(w).body == b"b" and len(b.conns) == had


def test_the_other_addresses_of_a_name():
    """One that refuses is passed over before anybody hears of it, and not asked first again."""
    n = Names(one="127.0.0.2 127.0.0.3")
    a, b = pair()
    a.stop()
    with Weir(conf(up=f"servers: ['one.test:{a.port}'], max_fails: 1, keepalive: {{idle: 0}}"), a, env=n.env) as w:
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
    n = Names(one="127.0.0.2 127.0.0.3")
    full = FullListener("127.0.0.2")
    b = Origin(name="b", host="127.0.0.3", port=full.port)
    up = f"servers: ['one.test:{b.port}'], max_fails: 0, retry: {{tries: 1}}, timeouts: {{connect: 300ms}}"
    with Weir(conf(up=up), b, env=n.env) as w:
        assert get(w).status == 504
        assert get(w).body == b"b"


def test_ipv6_and_ipv4():
    n = Names(one="::1 127.0.0.1")
    o = Origin()
    with Weir(conf(up=f"servers: ['one.test:{o.port}'], max_fails: 1"), o, env=n.env) as w:
        assert get(w).body == b"origin" and "left out" not in w.stderr


def test_a_slow_resolver_holds_nothing_up():
    n = Names(one="127.0.0.1")
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.chunk(b"data: 2\n\n")
        c.last_chunk()
    o = Origin(handler)
    quick = Origin(name="quick")
    routes = "[{path: /q, upstream: quick}, {path: /, upstream: up}]"
    text = conf(up=f"servers: ['one.test:{o.port}']", routes=routes).replace(
        "routes:", "  quick: {servers: [$O2]}\nroutes:", 1)
    with Weir(text, o, quick, env=n.env) as w:
        c = Client(w).request()
        c.recv_until(b"data: 1\n\n")
        n.set(one="...")
        w.signal(signal.SIGHUP)
        assert [get(w, "/q").body for _ in range(20)] == [b"quick"] * 20
        gate.open()
        c.recv_until(b"data: 2\n\n")
        # A file that came meanwhile is the one that counts.
        w.write(text.replace("/q,", "/z,"))
        w.signal(signal.SIGHUP)
        assert get(w, "/q").body == b"quick" and "reload:" not in w.stderr
        n.set(one="127.0.0.1")
        eventually(lambda: "reload: ok" in w.stderr)
        assert get(w, "/z").body == b"quick"
        assert w.stderr.count("reload:") == 1, w.stderr


@not_under_memcheck("a thread that hangs keeps what it has")
def test_stopped_while_the_resolver_hangs():
    n = Names(one="127.0.0.1")
    o = Origin()
    w = Weir(conf(up=f"servers: ['one.test:{o.port}']"), o, env=n.env)
    assert get(w).body == b"origin"
    n.set(one="...")
    w.signal(signal.SIGHUP)
    assert get(w).body == b"origin"
    w.stop()


def test_a_broken_file_while_the_resolver_hangs():
    n = Names(one="127.0.0.1")
    o = Origin()
    text = conf(up=f"servers: ['one.test:{o.port}']")
    with Weir(text, o, env=n.env) as w:
        n.set(one="...")
        w.signal(signal.SIGHUP)
        assert get(w).body == b"origin"
        w.write(text.replace("routes:", "rutes:"))
        w.signal(signal.SIGHUP)
        n.set(one="127.0.0.1")
        eventually(lambda: "reload: failed" in w.stderr)
        assert get(w).body == b"origin"


if __name__ == "__main__":
    main()
