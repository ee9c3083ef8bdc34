# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""What a service manager hears: sd_notify(3), on a socket that the test opens."""


class Manager:
    def __init__(self, d, abstract=False):
        self.path = f"@weir-test-{os.getpid()}-{id(self)}" if abstract else os.path.join(d, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + self.path[1:] if abstract else self.path)
        self.sock.setblocking(False)
        self.words = []

    def heard(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.words.append(dict(line.split("=", 1) for line in
                                       self.sock.recv(65536).decode().split("\n") if line))
        return self.words

    def wait(self, **want):
        """The first word that says all of this, from those heard since the last wait."""
        def found():
            for i, word in enumerate(self.heard()):
                if all(re.fullmatch(v, word.get(k, "")) for k, v in want.items()):
                    self.words = self.words[i + 1:]
                    return word
            return None
        return eventually(found, what=f"{want} among {self.words}")

    def close(self):
        self.sock.close()


def weir(m, *args, env=None, **more):
    return Weir(*args, env={"NOTIFY_SOCKET": m.path, **(env or {})}, **more)


def test_life():
    for abstract in (False, True):
        with folder() as d:
            m = Manager(d, abstract)
            o = Origin()
            with weir(m, conf(), o) as w:
                ready = m.wait(READY="1")
                assert ready["STATUS"] == "0 requests in flight, 1 of 1 servers up", ready
                assert ready["MAINPID"] == str(w.pid)
                w.reload()
                assert int(m.wait(RELOADING="1")["MONOTONIC_USEC"]) > 0
                m.wait(READY="1")
                w.write("listen: nonsense")
                w.reload(ok=False)
                m.wait(RELOADING="1")
                m.wait(READY="1", STATUS="reload failed, nothing has changed: .*weir.yaml:1:1: routes: missing.*")
                w.write(conf(listen='"192.0.2.1:9"'))
                w.reload(ok=False)
                m.wait(RELOADING="1")
                m.wait(READY="1", STATUS="reload failed, .*: cannot listen on 192.0.2.1:9.*")
                w.stop()
                # drain_timeout, the last words, and some time to give everything back.
                assert m.wait(STOPPING="1")["EXTEND_TIMEOUT_USEC"] == "16000000"
            m.close()


def test_status_follows():
    with folder() as d:
        m, gate = Manager(d), Gate()
        o = Origin(lambda c, r: (gate.wait(), c.answer("x")))
        with weir(m, conf(n=2, up="max_fails: 1, balance: round_robin"), o, "127.0.0.1:1") as w:
            cs = [Client(w).request() for _ in range(2)]
            m.wait(STATUS="2 requests in flight, 1 of 2 servers up")
            gate.open()
            for c in cs:
                c.recv_response()
            m.wait(STATUS="0 requests in flight, 1 of 2 servers up")
        m.close()


def test_watchdog():
    with folder() as d:
        m = Manager(d)
        with weir(m, conf(), Origin(), env={"WATCHDOG_USEC": "400000"}):
            for _ in range(4):
                m.wait(WATCHDOG="1")
        m.close()


def test_watchdog_of_another():
    with folder() as d:
        m = Manager(d)
        with weir(m, conf(), Origin(), env={"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}) as w:
            m.wait(READY="1")
            get(w)
            steady(lambda: len(m.heard()))
            assert not any("WATCHDOG" in x for x in m.words)
        m.close()


@not_under_memcheck("it is the shell's stderr that is named")
def test_the_journal():
    """Priorities when standard error is the journal's, and only then."""
    for stream, prefixed in (("$(stat -Lc %d:%i /proc/self/fd/2)", True), ("1:2", False), ("nonsense", False)):
        prefix = ["sh", "-c", f'JOURNAL_STREAM="{stream}" exec "$@"', "sh"]
        with Weir(conf(), Origin(), prefix=prefix) as w:
            w.write("listen: nonsense")
            w.reload(ok=False)
            started, failed = (next(line for line in w.stderr.split("\n") if word in line)
                               for word in ("started: ", "reload: failed"))
            assert (started[:3], failed[:3]) == (("<6>", "<3>") if prefixed else ("wei", "wei")), w.stderr


def test_nobody_listens():
    for path in ("/nonexistent/notify", "relative", "@", "", "/" + "x" * 200):
        with Weir(conf(), Origin(), env={"NOTIFY_SOCKET": path}) as w:
            assert get(w).status == 200


main()
