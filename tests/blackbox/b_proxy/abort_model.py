# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model  # noqa: E402

# limit: 120
# A client leaves a model instance that computes a token at a time: nothing is computed for nobody.
RATE = 20               # tokens a second
TOKENS = 2000           # a hundred seconds of them
FIN, RST = (lambda c: c.close()), (lambda c: c.reset())
WAYS = [("FIN", FIN), ("RST", RST)]


def ask(w, stream, tokens=TOKENS):
    body = json.dumps({"model": "m", "stream": stream, "max_tokens": tokens,
                       "messages": [{"role": "user", "content": "hello"}]}).encode()
    return Client(w).request("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, body)


def stats(m, **want):
    """The instance's counts, once they are these."""
    def right():
        s = m.stats()
        return s if all(s[k] == v for k, v in want.items()) else None
    return eventually(right, what=f"stats of the model: {want}, has {m.stats()}")


class Computed:
    """How much is computed between an abort and the instance's hearing of it: at most a second's worth."""

    def __init__(self, m):
        self.m = m
        self.before = m.stats()

    def check(self):
        s = stats(self.m, abandoned=self.before["abandoned"] + 1, in_flight=0)
        assert s["tokens_for_nobody"] == 0 and s["answered"] == self.before["answered"], s
        late = s["tokens"] - self.before["tokens"]
        assert late <= RATE * SLOW, f"{late} tokens for nobody"
        # And it stays like that.
        assert steady(lambda: self.m.stats()["tokens"], quiet=0.3) == s["tokens"]


def aborted(w, n):
    line = w.last(n)
    assert (line["status"], line["end"]) == (499, "client_abort"), line


def test_before_the_first_byte():
    m = Model(ttft=100000, rate=RATE)
    with Weir(conf(), m.addr) as w:
        n = 0
        for _, way in WAYS:
            for stream in (False, True):
                n += 1
                c = ask(w, stream)
                stats(m, asked=n, in_flight=1)
                seen = Computed(m)
                way(c)
                seen.check()
                aborted(w, n)


def test_while_a_plain_answer_is_computed():
    m = Model(ttft=0, rate=RATE)
    with Weir(conf(), m.addr) as w:
        for n, (_, way) in enumerate(WAYS, 1):
            had = m.stats()["tokens"]
            c = ask(w, False)
            eventually(lambda: m.stats()["tokens"] > had + 2)
            seen = Computed(m)
            way(c)
            seen.check()
            aborted(w, n)


def test_mid_stream():
    m = Model(ttft=0, rate=RATE)
    with Weir(conf(), m.addr) as w:
        for n, (_, way) in enumerate(WAYS, 1):
            c = ask(w, True)
            for _ in range(3):
                c.recv_until(b"}\n\n")
            seen = Computed(m)
            way(c)
            seen.check()
            aborted(w, n)


def test_in_the_instances_own_line():
    """It has one lane: who waits there and leaves is never computed."""
    m = Model(ttft=0, rate=RATE, lanes=1)
    with Weir(conf(), m.addr) as w:
        first = ask(w, True)
        first.recv_until(b"}\n\n")
        for n, (_, way) in enumerate(WAYS, 1):
            c = ask(w, n == 1)
            stats(m, asked=n + 1, waiting=1)
            way(c)
            s = stats(m, abandoned=n, waiting=0, in_flight=1)
            assert s["tokens_for_nobody"] == 0
            aborted(w, n)
        first.recv_until(b"}\n\n")
        first.close()
        stats(m, abandoned=3, in_flight=0)


def test_while_the_question_is_sent():
    m = Model(ttft=0, rate=RATE)
    with Weir(conf(), m.addr) as w:
        for n, (_, way) in enumerate(WAYS, 1):
            open_before = m.stats()["connections_open"]
            c = Client(w)
            c.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"messages\":")
            eventually(lambda: m.stats()["connections_open"] > open_before)
            way(c)
            aborted(w, n)
            eventually(lambda: m.stats()["connections_open"] <= open_before)
        s = m.stats()
        assert (s["asked"], s["tokens"]) == (0, 0), s


def test_many_at_a_time():
    """Half of a crowd leaves, one way or the other; the others get all of their answers."""
    m = Model(ttft=50, rate=200, lanes=50)
    with Weir(conf(), m.addr) as w:
        crowd = [ask(w, i % 4 < 2, 100) for i in range(40)]
        stats(m, in_flight=40)
        for i, c in enumerate(crowd):
            if i % 2:
                WAYS[i // 2 % 2][1](c)
        stats(m, abandoned=20)
        for i, c in enumerate(crowd):
            if i % 2 == 0:
                r = c.recv_response()
                assert r.status == 200 and r.complete, r
        s = stats(m, answered=20, in_flight=0)
        assert s["tokens_for_nobody"] == 0
        ends = [x["end"] for x in w.log(40)]
        assert (ends.count("ok"), ends.count("client_abort")) == (20, 20), ends


def test_finish():
    """The upstream's on_client_abort: finish: the answer is computed to its end and read."""
    m = Model(ttft=50, rate=200)
    with Weir(conf(up="on_client_abort: finish"), m.addr) as w:
        n = 0
        for _, way in WAYS:
            for stream in (False, True):
                n += 1
                c = ask(w, stream, 30)
                if stream:
                    c.recv_until(b"}\n\n")
                else:
                    stats(m, asked=n)
                way(c)
                s = stats(m, answered=n, in_flight=0)
                assert (s["abandoned"], s["tokens"], s["tokens_for_nobody"]) == (0, 30 * n, 0), s
                aborted(w, n)
        assert m.stats()["connections"] < 100


if __name__ == "__main__":
    main()
