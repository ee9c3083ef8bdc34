# SPDX-License-Identifier: MIT
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from dns_tools import *  # noqa: E402,F403
from harness import *  # noqa: E402,F403

# limit: 120
# Name servers that lie, stammer, are silent: what was known stays in use, and weir goes on.
GOOD, EVIL = ADDRESSES[0], "127.0.9.9"
TRUNCATED = 0x200
SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 2, 3, 4, 5


def text(d, servers, up="", resolver="", **more):
    up = f"servers: [{servers}]" + (", " + up if up else "")
    resolver = f"servers: ['{d.addr}'], max_ttl: 1s" + (", " + resolver if resolver else "")
    return conf(up=up, extra=f"resolver: {{{resolver}}}", **more)


class Turns:
    """Answers as it is told to; at first as a good server would."""

    def __init__(self):
        self.now = self.good
        self.server = NameServer(lambda q, tcp: self.now(q, tcp))
        self.addr = self.server.addr

    @staticmethod
    def good(q, tcp):
        return q.answer(address(q.name, GOOD)) if q.kind == 1 else q.answer()

    def change(self, how, n=2):
        """Until that was said n times."""
        count = []

        def answer(q, tcp):
            said = how(q, tcp)
            count.append(q)
            return said
        self.now = answer
        eventually(lambda: len(count) >= n, 30)


def lies(q, tcp):
    """What is not to be believed, and then nothing."""
    other = Question(question("other.test"))
    return [b"", b"\0", os.urandom(11), os.urandom(12), os.urandom(500), q.answer(address(q.name, EVIL))[:30],
            q.answer(address(q.name, EVIL), id=q.id ^ 1), q.answer(address(q.name, EVIL), id=(q.id + 1) & 0xffff),
            other.answer(address("other.test", EVIL), id=q.id), q.data,
            q.answer(n=65535), q.answer(address(q.name, EVIL)[:-2])]


def loop(q, tcp):
    a, b = labels(q.name), labels("b.test")
    return q.answer(record(q.name, 5, b), record("b.test", 5, a))


def own_pointer(q, tcp):
    """A name that is compressed into itself."""
    at = 12 + len(q.asked)
    return q.answer(struct.pack(">H", 0xc000 | at) + struct.pack(">2HIH", 1, 1, 1, 4) + bytes([127, 0, 9, 9]))


def wrong_size(q, tcp):
    return q.answer(record(q.name, 1, b"\x7f\0"), record(q.name, 1, b"\x7f\0\x09\x09\0\0"))


def code(n):
    return lambda q, tcp: q.answer(code=n)


def always_more(q, tcp):
    """Over TCP nothing comes."""
    return None if tcp else q.answer(flags=TRUNCATED)


def of_another_kind(q, tcp):
    return q.answer(record(q.name, 16, b"\x04text"), record(q.name, 2, labels("ns.test")))


def test_nothing_of_it_is_believed():
    o = Origin(host=GOOD)
    evil = Origin(name="evil", host=EVIL, port=o.port)
    d = Turns()
    with Weir(text(d, f"'one.test:{o.port}'", resolver="timeout: 300ms")) as w:
        assert get(w).body == b"origin"
        for how in (lies, loop, own_pointer, wrong_size, code(SERVFAIL), code(NXDOMAIN), code(NOTIMP),
                    code(REFUSED), code(15), always_more, of_another_kind, lambda q, tcp: None,
                    lambda q, tcp: q.answer()):
            d.change(how)
            assert get(w).body == b"origin", how
        d.change(Turns.good)
        eventually(lambda: w.stderr.count("name one.test: found") >= 1)
        assert get(w).body == b"origin" and not evil.conns and w.stderr.count("+127.") == 1, w.stderr


def test_the_right_one_after_lies():
    """Sent from where the question went, but not an answer to it."""
    o = Origin(host=GOOD)
    d = Turns()
    d.now = lambda q, tcp: lies(q, tcp)[6:9] + [Turns.good(q, tcp)]
    with Weir(text(d, f"'one.test:{o.port}'")) as w:
        assert [get(w).body for _ in range(3)] == [b"origin"] * 3
        assert "name one.test: 1 address: +127.0.1.1\n" in w.stderr


def test_thousands_of_addresses():
    o = Origin(host="127.1.0.1")
    many = [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(3000)]
    d = Turns()

    def answer(q, tcp):
        records = [b"\xc0\x0c" + address(q.name, a)[len(labels(q.name)):] for a in random.sample(many, len(many))]
        return q.answer(*records) if tcp else q.answer(flags=TRUNCATED)
    d.now = answer
    with Weir(text(d, f"'one.test:{o.port}'", up="retry: {tries: 1}, max_fails: 0")) as w:
        assert "name one.test: 3000 addresses, of which 64 are used: +127.1.0.1 +127.1.0.2 " in w.stderr
        had = len(d.server.questions)
        eventually(lambda: len(d.server.questions) > had + 5, 30)
        # The same ones in another order are the same ones.
        assert w.stderr.count("addresses") == 1, w.stderr
        assert sorted(get(w).status for _ in range(64)) == [200] + [502] * 63


def test_any_ttl():
    """None, or more than there are seconds: within the bounds all the same."""
    o = Origin(host=GOOD)
    d = Turns()
    for ttl in (0, 0x7fffffff, 0x80000000, 0xffffffff):
        d.now = lambda q, tcp: q.answer(address(q.name, GOOD, ttl)) if q.kind == 1 else q.answer()
        with Weir(text(d, f"'one.test:{o.port}'")) as w:
            had, began = len(d.server.questions), time.monotonic()
            eventually(lambda: len(d.server.questions) >= had + 2)
            assert time.monotonic() - began > 0.9, ttl
            assert get(w).body == b"origin"


def srv(q, target, port=80, priority=0, weight=0):
    return record(q.name, 33, struct.pack(">3H", priority, weight, port) + target)


def test_services():
    o = Origin(host=GOOD)
    d = Turns()
    places = []

    def answer(q, tcp):
        if q.kind != 33:
            return Turns.good(q, tcp)
        return q.answer(*places) if tcp or len(places) < 5 else q.answer(flags=TRUNCATED)
    d.now = answer
    q = Question(question("_http._tcp.one.test", 33))
    places[:] = [srv(q, labels("a.test"), o.port), srv(q, b"\0"), srv(q, labels("b.test"), 0),
                 srv(q, b"\x03a\nb\x04test\0", o.port)]
    with Weir(text(d, "'srv:_http._tcp.one.test'", up="max_fails: 0, retry: {tries: 1}")) as w:
        assert get(w).body == b"origin"
        assert f"name srv:_http._tcp.one.test: 1 address: +{o.addr}\n" in w.stderr
        itself = 12 + len(q.asked) + len(labels(q.name)) + 10 + 6
        for bad in ([srv(q, b"\xc0\xff", 1)], [srv(q, struct.pack(">H", 0xc000 | itself), 1)], [srv(q, b"", 1)], [b"\0"],
                    [record(q.name, 33, b"\0\1")], [srv(q, b"\x3f" + b"x" * 63 + b"\x3f" + b"y" * 63, 1)]):
            had = len(d.server.questions)
            places[:] = bad
            eventually(lambda: sum(k == 33 for _, k, _ in d.server.questions[had:]) >= 1, 20)
            assert get(w).body == b"origin", bad
        # Two thousand places, each a name of its own, none of which is found: some are asked for.
        places[:] = [b"\xc0\x0c" + srv(q, labels(f"n{i}.test"), 1)[len(labels(q.name)):] for i in range(1500)]
        d.now = lambda q, tcp: answer(q, tcp) if q.kind == 33 else q.answer(code=NXDOMAIN)
        eventually(lambda: len({n for n, _, _ in d.server.questions if n.startswith("n")}) == 64, 30)
        eventually(lambda: w.stderr.count("there is no such name") >= 64)
        assert get(w).body == b"origin" and w.descriptors() < 50
        d.now = answer
        places[:] = [srv(q, labels("a.test"), o.port)]
        eventually(lambda: not any(n.startswith("n") for n, _, _ in d.server.questions[-5:]), 30)
        assert get(w).body == b"origin"


# --- silence -----------------------------------------------------------------------------------


class Silent(Turns):
    def __init__(self, silent=True):
        super().__init__()
        self.gate = Gate()
        self.asked = 0
        if silent:
            self.now = self.nothing

    def nothing(self, q, tcp):
        self.asked += 1


def test_the_start_waits_a_while():
    o = Origin(host=GOOD)
    d = Silent()
    with Weir(text(d, f"'one.test:{o.port}', $O1", resolver="timeout: 1s"), o) as w:
        assert get(w).body == b"origin"
        eventually(lambda: "name one.test: no name server answered in time" in w.stderr)
        code, _, err = run_weir("-t", "-c", w.file)
        assert (code, err) == (0, "")
        d.now = Turns.good
        eventually(lambda: "1 address: +127.0.1.1" in w.stderr)


def test_signals_while_the_start_waits():
    o = Origin(host=GOOD)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        d = Silent()
        w = Weir(text(d, f"'one.test:{o.port}'", resolver="timeout: 60s"), ready=False)
        eventually(lambda: d.asked > 0)
        # Clients wait for it too.
        c = Client(w).request() if number != signal.SIGTERM else None
        w.signal(number)
        if number == signal.SIGTERM:
            assert w.wait() == 0 and "started:" not in w.stderr
        else:
            d.now = Turns.good
            # The question is asked again after a third of the time it has.
            eventually(lambda: "started:" in w.stderr, 30)
            assert c.recv_response().body == b"origin"
            if number == signal.SIGHUP:
                eventually(lambda: "reload: ok" in w.stderr)
            c.close()
            w.stop()


test_signals_while_the_start_waits.limit = 80


def test_a_slow_one_holds_nothing_up():
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.chunk(b"data: 2\n\n")
        c.last_chunk()
    o = Origin(handler, host=GOOD)
    quick = Origin(name="quick")
    routes = "[{path: /q, upstream: quick}, {path: /, upstream: up}]"
    d = Silent(False)
    t = text(d, f"'one.test:{o.port}'", routes=routes, resolver="timeout: 3s").replace(
        "routes:", "  quick: {servers: [$O1]}\nroutes:", 1)
    with Weir(t, quick) as w:
        c = Client(w).request()
        c.recv_until(b"data: 1\n\n")
        d.now = d.nothing
        w.signal(signal.SIGHUP)
        eventually(lambda: d.asked > 0)
        assert [get(w, "/q").body for _ in range(20)] == [b"quick"] * 20
        gate.open()
        c.recv_until(b"data: 2\n\n")
        # A file that came meanwhile is the one that counts.
        w.write(t.replace("/q,", "/z,"))
        w.signal(signal.SIGHUP)
        assert get(w, "/q").body == b"quick" and "reload:" not in w.stderr
        d.now = Turns.good
        eventually(lambda: "reload: ok" in w.stderr)
        assert get(w, "/z").body == b"quick"
        assert w.stderr.count("reload:") == 1, w.stderr


def test_a_reload_in_the_middle_of_a_question():
    """It is asked again of those who are asked from then on, and has not failed."""
    o = Origin(host=GOOD)
    d, other = Silent(False), Silent(False)
    t = text(d, f"'one.test:{o.port}'", resolver="timeout: 60s")
    with Weir(t) as w:
        d.now = d.nothing
        eventually(lambda: d.asked > 0)
        w.reload(w.fill(t.replace(d.addr, other.addr)))
        assert get(w).body == b"origin" and other.server.questions
        assert w.stderr.count("name one.test: ") == 1, w.stderr


def test_a_broken_file_and_the_end_meanwhile():
    o = Origin(host=GOOD)
    d = Silent(False)
    t = text(d, f"'one.test:{o.port}'", resolver="timeout: 3s")
    with Weir(t) as w:
        d.now = d.nothing
        w.signal(signal.SIGHUP)
        eventually(lambda: d.asked > 0)
        w.write(t.replace("routes:", "rutes:"))
        w.signal(signal.SIGHUP)
        d.now = Turns.good
        eventually(lambda: "reload: failed" in w.stderr)
        assert get(w).body == b"origin"
        d.asked, d.now = 0, d.nothing
        w.write(t)
        w.signal(signal.SIGHUP)
        eventually(lambda: d.asked > 0)
        assert get(w).body == b"origin"


if __name__ == "__main__":
    main()
