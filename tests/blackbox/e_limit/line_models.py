# SPDX-License-Identifier: MIT
"""The line in front of the demo's model instances, which go on computing for clients that left."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from line_tools import *  # noqa: E402,F403

QUESTION = json.dumps({"messages": [{"role": "user", "content": "why wait?"}]}).encode()
JSON = {"Content-Type": "application/json"}


class Model:
    def __init__(self, **settings):
        self.addr = f"127.0.0.1:{free_port()}"
        options = [f"--{k.replace('_', '-')}={v}" for k, v in settings.items()]
        self.process = subprocess.Popen([os.path.join(BUILD, "model"), "--listen", self.addr, *options],
                                        stdout=subprocess.DEVNULL, env=environment())
        eventually(self.listens)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(address_of(self.addr)[1]) == 0

    def stats(self):
        return json.loads(get(self.addr, "/stats").body)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == 0


@contextlib.contextmanager
def models(n, **settings):
    made = [Model(**settings) for _ in range(n)]
    try:
        yield made
    finally:
        for m in made:
            m.stop()


def ask(w):
    return ask_and_wait(w, "/v1/chat/completions", "POST", headers=JSON, body=QUESTION)


def total(ms, key):
    return sum(m.stats()[key] for m in ms)


def settled(ms):
    eventually(lambda: total(ms, "in_flight") == total(ms, "waiting") == 0, 20, "nothing is computed any more")


def run(text, takes, slow):
    """Twenty ask, all but the first four leave; (tokens, tokens for nobody, asked) of two instances."""
    with models(2, ttft=takes, rate=0, tokens=8, lanes=1, on_leave="finish", hang=int(slow)) as ms, \
            Weir(text, *[m.addr for m in ms]) as w:
        clients = [ask(w) for _ in range(20)]
        for c in clients[4:]:
            c.close()
        if slow:
            w.log(16)
            for m in ms:
                get(m.addr, "/control?hang=0", method="POST", body=b"")
        assert [c.recv_response().status for c in clients[:4]] == [200] * 4
        w.log(20)
        settled(ms)
        return total(ms, "tokens"), total(ms, "tokens_for_nobody"), total(ms, "asked")


def test_who_left_the_line_is_not_computed():
    up = "balance: least_requests, queue: {size: 100, timeout: 60s}"
    got = run(slots(2, up=up), 20, True)
    assert got == (4 * 8, 0, 4), got


@not_under_memcheck("the model is to be faster than those who leave")
def test_without_a_line_they_are():
    """What the line is for; and that the test above would see it."""
    tokens, for_nobody, asked = run(conf(2, up="balance: least_requests"), 300, False)
    assert tokens == 20 * 8 and asked == 20 and for_nobody > 0, (tokens, for_nobody, asked)


def test_an_instance_has_one_at_a_time():
    up = "balance: least_requests, queue: {size: 100, timeout: 60s}"
    with models(2, ttft=30, rate=0, tokens=2, lanes=1) as ms, Weir(slots(2, up=up), *[m.addr for m in ms]) as w:
        clients = [ask(w) for _ in range(12)]
        most = 0
        while len(w.lines()) < 12:
            most = max([most, *(m.stats()["waiting"] for m in ms)])
        assert most == 0, "somebody waited in an instance"
        assert [c.recv_response().status for c in clients] == [200] * 12
        answered = [m.stats()["answered"] for m in ms]
        assert sum(answered) == 12 and min(answered) > 0, answered


if __name__ == "__main__":
    main()
