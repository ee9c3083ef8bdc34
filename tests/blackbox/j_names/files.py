# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 90
# /etc/hosts and /etc/resolv.conf: in namespaces of the test's own, where it may write them and have a name
# server at port 53.
INSIDE = "WEIR_TEST_NAMESPACE"


class Etc:
    """Files of ours in the place of the machine's."""

    def __init__(self):
        self.dir = os.environ[INSIDE]
        with socket.socket() as s:          # the loopback of a new namespace is down
            request = struct.pack("16sh", b"lo", 1)
            fcntl.ioctl(s, 0x8914, request)

    def write(self, name, text):
        """In place: another file would not be the one that is mounted."""
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
            f.write(text)


def alone(function):
    """The test runs in a mount and a network namespace, as root there."""
    def inside():
        if INSIDE in os.environ:
            function(Etc())
            return
        with folder() as d:
            for name in ("hosts", "resolv.conf"):
                with open(os.path.join(d, name), "w", encoding="ascii"):
                    pass
            script = "; ".join(f"mount --bind {d}/{n} /etc/{n}" for n in ("hosts", "resolv.conf"))
            argv = ["unshare", "--mount", "--net", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
                    "sh", "-ec", script + '; exec "$@"', "sh"]
            can = subprocess.run([*argv, "true"], capture_output=True, timeout=20, check=False)
            if can.returncode != 0:
                raise Skip(f"no namespaces here, so nothing of /etc/hosts and resolv.conf was tested: {can.stderr}")
            done = subprocess.run([*argv, sys.executable, os.path.abspath(__file__), inside.__name__],
                                  env={**os.environ, INSIDE: d, "TMPDIR": d}, capture_output=True, text=True,
                                  timeout=60 * SLOW, check=False)
            assert done.returncode == 0 and f"ok {inside.__name__}\n" in done.stdout, done.stdout + done.stderr

    inside.__name__ = function.__name__
    return inside


def serve(port):
    return [Origin(name=a, host=a, port=port) for a in ADDRESSES[:3]]


def bodies(w, n):
    return sorted(get(w).body.decode() for _ in range(n))


@alone
def test_hosts(etc):
    """Before name servers; read again when its time is over and on a reload."""
    etc.write("hosts", f"{ADDRESSES[0]} one two\n{ADDRESSES[1]}\tother one # and so on\n::1 one\n\nnonsense\n")
    port = free_port()
    serve(port)
    t = conf(up=f"servers: ['one:{port}']", extra="resolver: {servers: [127.0.0.1], max_ttl: 1h}")
    with Weir(t) as w:
        assert bodies(w, 4) == [ADDRESSES[0]] * 2 + [ADDRESSES[1]] * 2
        etc.write("hosts", f"{ADDRESSES[2]} one\n")
        assert bodies(w, 4) == [ADDRESSES[0]] * 2 + [ADDRESSES[1]] * 2
        w.reload()
        assert bodies(w, 2) == [ADDRESSES[2]] * 2
        w.reload(w.fill(t.replace("1h", "1s")))
        etc.write("hosts", f"{ADDRESSES[0]} one\n")
        eventually(lambda: bodies(w, 2) == [ADDRESSES[0]] * 2)
        # Gone there and unknown elsewhere: kept.
        etc.write("hosts", "")
        eventually(lambda: "what it was stays in use" in w.stderr)
        assert bodies(w, 2) == [ADDRESSES[0]] * 2


@alone
def test_resolv_conf(etc):
    """Its name servers and search domains; others after a reload."""
    port = free_port()
    serve(port)
    etc.write("resolv.conf", "nameserver 127.0.2.1\nsearch there.test test\n")
    first = Dnsmasq(host="127.0.2.1", port=53, one=ADDRESSES[:1])
    second = Dnsmasq(host="127.0.2.2", port=53, one=ADDRESSES[1:2])
    with Weir(conf(up=f"servers: ['one:{port}']", extra="resolver: {max_ttl: 1s}")) as w:
        assert bodies(w, 2) == [ADDRESSES[0]] * 2
        assert first.asked("one.there.test") and first.asked("one.test")
        etc.write("resolv.conf", "nameserver 127.0.2.2\nsearch test\n")
        w.reload()
        assert bodies(w, 2) == [ADDRESSES[1]] * 2 and not second.asked("one.there.test")
        # The next one when the first is gone.
        etc.write("resolv.conf", "nameserver 127.0.2.3\nnameserver 127.0.2.1\nsearch test\n")
        w.reload()
        assert bodies(w, 2) == [ADDRESSES[0]] * 2
        # resolver.servers instead of them.
        w.reload(w.fill(conf(up=f"servers: ['one:{port}']", extra="resolver: {servers: [127.0.2.2], max_ttl: 1s}")))
        assert bodies(w, 2) == [ADDRESSES[1]] * 2


@alone
def test_ipv6_alone(etc):
    """Where there is no way out by IPv4 its addresses are not what is meant."""
    port = free_port()
    etc.write("hosts", f"{ADDRESSES[0]} one\n::1 one\n{ADDRESSES[0]} two\n")
    d = Dnsmasq(host="127.0.2.1", port=53, both=[ADDRESSES[0], "::1"], four=ADDRESSES[:1])
    Origin(name="4", host=ADDRESSES[0], port=port)
    Origin(name="6", host="::1", port=port)
    t = conf(up="servers: ['$NAME:$P']", extra=f"resolver: {{servers: [{d.host}]}}")
    for step, one in (("", "4"), ("ip -6 addr add fd00:1::1/128 dev lo; ip -6 route add default dev lo", "6"),
                      ("ip route add default dev lo", "4")):
        subprocess.run(["sh", "-ec", step], check=True, timeout=20)
        for name, who in (("one", one), ("two", "4"), ("both.test", one), ("four.test", "4")):
            with Weir(t, NAME=name, P=port) as w:
                assert bodies(w, 2) == [who] * 2, (step, name)


@alone
def test_a_reload_that_fails_asks_whom_it_asked(etc):
    port = free_port()
    serve(port)
    first = Dnsmasq(host="127.0.2.1", port=53, one=ADDRESSES[:1])
    Dnsmasq(host="127.0.2.2", port=53, one=ADDRESSES[1:2])
    t = conf(up=f"servers: ['one.test:{port}']", extra="resolver: {servers: [127.0.2.1], max_ttl: 1s}")
    with Weir(t) as w, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = t.replace("127.0.2.1]", "127.0.2.2]").replace(
            '"127.0.0.1:$PORT"', f'"127.0.0.1:$PORT", "127.0.0.1:{taken.getsockname()[1]}"')
        w.reload(w.fill(other), ok=False)
        had = first.asked("one.test")
        eventually(lambda: first.asked("one.test") > had + 1)
        assert bodies(w, 2) == [ADDRESSES[0]] * 2


if __name__ == "__main__":
    main()
