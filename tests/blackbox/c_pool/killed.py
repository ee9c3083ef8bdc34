# SPDX-License-Identifier: MIT
"""Servers killed and started again under load: who only reads never sees it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model, Wrk  # noqa: E402

# limit: 120
ROUNDS = 5


def serves(w, m):
    """It answers requests again, of those that come from now on."""
    had = m.stats()["paths"]["/bytes"]
    eventually(lambda: m.stats()["paths"]["/bytes"] > had + 20, 20, f"{m.name} serves again")


def kill_and_restart(balance):
    models = [Model(f"m{i}") for i in range(4)]
    w = Weir(conf(4, up=f"balance: {balance}, fail_timeout: 300ms, keepalive: {{timeout: 500ms}}"),
             *models)
    get(w, "/bytes?n=1")
    base = eventually(lambda: w.descriptors() if not any(m.stats()["connections_open"] > 1 for m in models)
                      else 0, what="idle connections are let go")
    wrk = Wrk(w, "/bytes?n=200", connections=24)
    for m in models:
        serves(w, m)
    for i in range(ROUNDS):
        m = models[i % 4]
        m.kill()
        # Meanwhile the others do the work.
        serves(w, models[(i + 1) % 4])
        m.start()
        serves(w, m)
    got = wrk.stop()
    assert [got[k] for k in ("connect", "read", "write", "timeout", "status")] == [0] * 5, got["text"]
    eventually(lambda: w.descriptors() <= base, 20, f"descriptors go back to {base}")
    w.stop()
    lines = [json.loads(x) for x in w.lines()]
    wrong = [x for x in lines if x["end"] not in ("ok", "client_abort")]
    assert not wrong, wrong[:5]
    assert sum(x["end"] == "client_abort" for x in lines) <= 24
    again = sum(x["tries"] > 1 for x in lines)
    print(f"# {got['requests']} requests, {again} of them asked twice")
    assert again > 0, "no request ever met a dead server"


def test_round_robin():
    kill_and_restart("round_robin")


def test_least_requests():
    kill_and_restart("least_requests")


def test_mid_answer_is_told():
    """A GET whose answer had begun cannot be asked again: it is cut, and only those are."""
    models = [Model(f"m{i}") for i in range(2)]
    with Weir(conf(2, up="fail_timeout: 300ms"), *models) as w:
        streams = [Client(w).request(target="/events?n=1000000&ms=20") for _ in range(10)]
        for c in streams:
            c.recv_until(b"id: 3\n")
        cut = models[0].stats()["connections_open"] - 1
        assert cut == 5, cut
        models[0].kill()
        ended = eventually(lambda: [c for c in streams if c.is_closed()], 10)
        eventually(lambda: len([c for c in streams if c.is_closed()]) == 5, 10)
        for c in [c for c in streams if c.is_closed()]:
            assert b"event: error\n" in c.buf and not c.buf.endswith(b"0\r\n\r\n"), c.buf[-300:]
        for c in [c for c in streams if c not in ended and not c.is_closed()]:
            had = c.received
            eventually(lambda c=c, had=had: (c.is_closed() or True) and c.received > had)


if __name__ == "__main__":
    main()
