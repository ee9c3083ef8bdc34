# SPDX-License-Identifier: MIT
"""The line over reloads and at the stop."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from line_tools import *  # noqa: E402,F403


def statuses(clients):
    return [c.recv_response().status for c in clients]


def test_who_waits_is_kept_in_order_and_the_new_stand_behind():
    o = Held()
    with Weir(slots(1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        w.reload(slots(1, route="response_headers: {set: {X-Rules: new}}"))
        c += [ask_and_wait(w, f"/{i}") for i in range(3, 5)]
        w.reload(slots(1, route="response_headers: {set: {X-Rules: newer}}"))
        c += [ask_and_wait(w, f"/{i}") for i in range(5, 7)]
        o.release_all()
        got = [x.recv_response() for x in c]
        assert [r.status for r in got] == [200] * 7
        assert [r.get("X-Rules") for r in got] == [None] * 3 + ["new"] * 2 + ["newer"] * 2
        assert o.targets() == [f"/{i}" for i in range(7)], o.targets()


def test_slots_taken_before_a_reload_count_after_it():
    o = Held()
    with Weir(slots(1, each=2), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(2)]
        w.reload(slots(1, each=2))
        c.append(ask_and_wait(w, "/2"))
        steady(lambda: len(o.requests))
        assert len(o.requests) == 2
        o.release_all()
        assert statuses(c) == [200] * 3


def test_a_new_limit_is_for_those_who_wait_too():
    o = Held()
    with Weir(slots(1, each=1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(6)]
        w.reload(slots(1, each=3))
        o.wait(3)
        steady(lambda: len(o.requests))
        assert sorted(o.targets()) == ["/0", "/1", "/2"]
        w.reload(conf())
        o.wait(6)
        o.release_all()
        assert statuses(c) == [200] * 6


def test_a_limit_that_is_new():
    o = Held()
    with Weir(conf(), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        o.wait(3)
        w.reload(slots(1, each=2))
        c += [ask_and_wait(w, f"/{i}") for i in range(3, 5)]
        o.release("/0")
        steady(lambda: len(o.requests))
        assert len(o.requests) == 3, "two of the old ones fill it"
        o.release("/1")
        assert o.wait(4).target == "/3"
        o.release_all()
        assert statuses(c) == [200] * 5


def test_new_servers_and_removed_ones():
    """The old go to the old file's servers, the new to the new one's; the common one in their order."""
    a, b, c = Held("a"), Held("b"), Held("c")
    with Weir(slots(2), a, b, c) as w:
        x = [ask_and_wait(w, f"/{i}") for i in range(2)]
        a.wait(), b.wait()
        old = ask_and_wait(w, "/old")
        w.reload(conf(up="servers: [{address: $O2, max_inflight: 1}, {address: $O3, max_inflight: 1}]"))
        new = [ask_and_wait(w, f"/new/{i}") for i in range(2)]
        assert c.wait().target == "/new/0", "what is of no use to the old is for the new"
        b.release("/1")
        assert b.wait(2).target == "/old"
        b.release("/old")
        assert b.wait(3).target == "/new/1"
        a.release_all(), b.release_all(), c.release_all()
        assert statuses([*x, old, *new]) == [200] * 5


def test_a_removed_server_serves_who_waited_for_it():
    a, b = Held("a"), Held("b")
    with Weir(slots(1), a, b) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        w.reload(conf(up="servers: [{address: $O2, max_inflight: 1}]"))
        b.release_all()
        assert get(w).body == b"b"
        a.release_all()
        assert [x.recv_response().body for x in c] == [b"a"] * 3


def test_an_upstream_that_is_gone():
    o = Held()
    with Weir(slots(1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        w.reload('listen: ["127.0.0.1:$PORT"]\nroutes: [{path: /, respond: {status: 200, body: none}}]\n' + DEFAULTS)
        assert get(w).body == b"none"
        o.release_all()
        assert statuses(c) == [200] * 3


def test_a_smaller_line():
    o = Held()
    with Weir(slots(1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(5)]
        w.reload(slots(1, up="queue: {size: 2}"))
        assert get(w).status == 503, "four wait, two may"
        o.release("/0"), o.release("/1"), o.release("/2")
        o.wait(4)
        late = ask_and_wait(w, "/late")
        o.release_all()
        assert statuses([*c, late]) == [200] * 6


def test_a_failed_reload_changes_nothing():
    o = Held()
    with Weir(slots(1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        w.reload(slots(1, each=5, listen='"127.0.0.1:$PORT", "192.0.2.1:1"'), ok=False)
        steady(lambda: len(o.requests))
        assert len(o.requests) == 1
        o.release_all()
        assert statuses(c) == [200] * 3


def test_reloads_while_the_line_moves():
    count = Counting(0.005)
    o = Origin(count.handler)
    with Weir(slots(1, each=2, up="queue: {size: 1000}"), o) as w:
        asked = [Background(lambda: [get(w).status for _ in range(20)]) for _ in range(10)]
        for i in range(10):
            w.reload(slots(1, each=1 + i % 2, up="queue: {size: 1000}"))
        assert [a.result() for a in asked] == [[200] * 20] * 10
        assert count.most <= 2, count.most


# --- the stop ------------------------------------------------------------------------------------

def test_who_waits_is_served_before_the_stop():
    o = Held()
    w = Weir(slots(1), o)
    c = [ask_and_wait(w, f"/{i}") for i in range(4)]
    w.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in w.stderr)
    o.release_all()
    assert statuses(c) == [200] * 4
    assert w.wait() == 0
    w.stop()


def test_drain_timeout():
    o = Held()
    w = Weir(slots(1).replace("drain_timeout: 5s", "drain_timeout: 300ms"), o)
    c = [ask_and_wait(w, f"/{i}") for i in range(3)]
    w.signal(signal.SIGTERM)
    assert statuses(c) == [503] * 3
    assert w.wait() == 0
    w.stop()
    assert [x["end"] for x in w.log(3)] == ["drained"] * 3
    assert [x["tries"] for x in sorted(w.log(3), key=lambda x: x["target"])] == [1, 0, 0]
    assert o.targets() == ["/0"]


def test_second_signal():
    o = Held()
    w = Weir(slots(1), o)
    for i in range(3):
        ask_and_wait(w, f"/{i}")
    w.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in w.stderr)
    w.signal(signal.SIGTERM)
    w.wait(10)
    w.check_stderr()
    w.stopped = True
    assert w.code == 0 and o.targets() == ["/0"], w.stderr


if __name__ == "__main__":
    main()
