# SPDX-License-Identifier: MIT
"""Reloads with new certificates while clients ask, TLS at both ends; and records that are damaged on their way."""
# limit: 120
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
pairs = [ca.issue("a.example") for _ in range(3)]
server = ca.issue("IP:127.0.0.1", subject="/CN=server")


class Load:
    """Clients that ask and ask again, some on new connections, until told to stop."""

    def __init__(self, w, n=4):
        self.w = w
        self.stop = threading.Event()
        self.wrong, self.count = [], [0] * n
        self.threads = [Background(self.work, i) for i in range(n)]

    def work(self, i):
        context = client_context(ca)
        c, session = None, None
        while not self.stop.is_set():
            n = self.count[i]
            try:
                if c is None:
                    c = TlsClient(self.w, context=context, session=session if i % 2 else None)
                body = b"%d/%d" % (i, n) * (1 if n % 5 else 20000)
                r = c.ask("POST", "/", body=body)
                if r.status != 200 or r.body != body or not r.complete:
                    self.wrong.append((i, n, r.status, len(r.body)))
                session = c.sock.session
                if r.get("Connection") == "close" or n % (3 + i) == 0:
                    c.close()
                    c = None
            except (Closed, OSError) as e:
                self.wrong.append((i, n, repr(e)[:200]))
                c = None
            self.count[i] += 1

    def more(self, n):
        want = sum(self.count) + n
        eventually(lambda: sum(self.count) >= want or self.wrong, 30)

    def finish(self):
        self.stop.set()
        for t in self.threads:
            t.result()
        assert not self.wrong, self.wrong[:5]


def text_of(pair, up=""):
    return conf(2, listen=listen(pair), up=f"tls: {{ca: {ca.cert}}}, retry: {{non_idempotent: true}}{up}")


def test_reloads():
    servers = [TlsOrigin(server, lambda c, r: c.answer(r.body), name=str(i)) for i in range(2)]
    with Weir(text_of(pairs[0]), *servers) as w:
        load = Load(w)
        for i in range(12):
            w.reload(text_of(pairs[i % 3], ", balance: least_requests" if i % 2 else ""))
            load.more(10)
        w.reload(text_of(Pair("/nowhere", "", pairs[0].key)), ok=False)
        load.more(10)
        load.finish()
        assert {x["end"] for x in w.log(sum(load.count))} == {"ok"}


def test_term_under_load():
    o = Origin(lambda c, r: c.answer(r.body))
    w = Weir(conf(listen=listen(pairs[0])), o)
    load = Load(w)
    load.more(40)
    load.stop.set()
    w.signal(signal.SIGTERM)
    for t in load.threads:
        with contextlib.suppress(ConnectionError, AssertionError):
            t.result()
    assert w.wait() == 0
    w.stop()
    assert {x["end"] for x in w.log(1)} <= {"ok"}, [x for x in w.log(1) if x["end"] != "ok"][:3]


def test_damaged_records():
    """One byte changed, lost, doubled or made up, anywhere: the connection ends, and nothing else."""
    rng = random.Random(7)
    o = Origin(lambda c, r: c.answer(r.body))
    with Weir(conf(listen=listen(pairs[0])) + "client: {header_timeout: 300ms, body_timeout: 300ms}\n", o) as w:
        base = None
        for i in range(60):
            m = Memory(w, context=client_context(ca, version=("1.2", "1.3")[i % 2]))
            m.raw.sock.settimeout(0.4)
            flight, at = [0], i // 2 % 4

            def carry(data, m=m, flight=flight, at=at):
                if flight[0] == at and data:
                    k = rng.randrange(len(data))
                    data = [data[:k] + bytes([data[k] ^ 1 << rng.randrange(8)]) + data[k + 1:], data[:k] + data[k + 1:],
                            data[:k] + data[k:k + 1] * 2 + data[k + 1:], data[:k], os.urandom(k + 1)][i % 5]
                flight[0] += bool(data)
                if data:
                    m.raw.send(data)
            m.carry = carry
            with contextlib.suppress(ssl.SSLError, Closed, OSError):
                m.handshake()
                for n in range(3):
                    m.carry(m.seal(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + b"%05d" % n))
                    m.read_until(b"%05d" % n)
            m.raw.close()
            if base is None:
                TlsClient(w, ca=ca).ask("POST", body=b"x")
                base = w.descriptors()
        assert TlsClient(w, ca=ca).ask("POST", body=b"fine").body == b"fine"
        eventually(lambda: w.descriptors() <= base + 2)


if __name__ == "__main__":
    main()
