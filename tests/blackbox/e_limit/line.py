# SPDX-License-Identifier: MIT
"""max_inflight and the line: who waits, who is served when, who is refused."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from line_tools import *  # noqa: E402,F403


# --- slots ---------------------------------------------------------------------------------------

def test_max_inflight_is_kept():
    counts = [Counting() for _ in range(3)]
    os_ = [Origin(c.handler) for c in counts]
    up = ("balance: least_requests, servers: [{address: $O1, max_inflight: 1}, {address: $O2, max_inflight: 2}, "
          "{address: $O3, max_inflight: 3}]")
    with Weir(conf(up=up), *os_) as w:
        asked = [Background(get, w) for _ in range(40)]
        assert [a.result().status for a in asked] == [200] * 40
        assert [c.most for c in counts] == [1, 2, 3], [c.most for c in counts]


def test_without_a_limit_nobody_waits():
    o = Held()
    with Weir(conf(), o) as w:
        clients = [ask_and_wait(w, f"/{i}") for i in range(100)]
        o.wait(100)
        o.release_all()
        assert [c.recv_response().status for c in clients] == [200] * 100
        assert {x["queue_ms"] for x in w.log(100)} == {0}


def test_goes_to_whichever_frees_first():
    a, b = Held("a"), Held("b")
    with Weir(slots(2), a, b) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(4)]
        a.wait(), b.wait()
        b.release("/1")
        assert c[1].recv_response().body == b"b"
        assert b.wait(2).target == "/2"
        b.release("/2")
        assert b.wait(3).target == "/3"
        assert len(a.requests) == 1
        a.release_all(), b.release_all()
        assert [c[i].recv_response().body for i in (0, 2, 3)] == [b"a", b"b", b"b"]
        waited = {x["target"]: x["queue_ms"] for x in w.log(4)}
        assert waited["/0"] == waited["/1"] == 0 and waited["/2"] > 0 and waited["/3"] > 0, waited


def test_who_does_not_wait_for_a_slot_is_not_held_up():
    o = Held()
    routes = "[{exact: /healthz, respond: {status: 200}}, {path: /free, upstream: free}, {path: /, upstream: up}]"
    text = conf(up="servers: [{address: $O1, max_inflight: 1}]", routes=routes).replace(
        "routes:", "  free: {servers: [$O2]}\nroutes:", 1)
    with Weir(text, o, Origin(name="other")) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        assert get(w, "/healthz").status == 200
        assert get(w, "/free").body == b"other"
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 3


def test_requests_of_all_upstreams_count():
    """Two upstreams name one server; their lines take turns."""
    o = Held()
    text = conf(up="servers: [{address: $O1, max_inflight: 1}]",
                routes="[{path: /x, upstream: other}, {path: /, upstream: up}]").replace(
        "routes:", "  other: {servers: [{address: $O1, max_inflight: 1}]}\nroutes:", 1)
    with Weir(text, o) as w:
        c = [ask_and_wait(w, t) for t in ("/0", "/1", "/2", "/3", "/x/1", "/x/2")]
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 6
        assert o.targets() == ["/0", "/1", "/x/1", "/2", "/x/2", "/3"], o.targets()


def test_an_upstream_without_a_limit_passes_by():
    o = Held()
    text = conf(up="servers: [{address: $O1, max_inflight: 1}]",
                routes="[{path: /, methods: [POST], upstream: up}, {path: /, upstream: pages}]").replace(
        "routes:", "  pages: {servers: [$O1]}\nroutes:", 1)
    with Weir(text, o) as w:
        c = [ask_and_wait(w, t, "POST", body=b"x") for t in ("/0", "/1")]
        c += [ask_and_wait(w, f"/page/{i}") for i in range(3)]
        o.wait(4)
        o.release("/0")
        assert o.wait(5).target == "/1", "pages hold no slot"
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 5


def test_backups_have_slots_too():
    a, b = Held("a"), Held("b")
    up = "servers: [{address: $O1, max_inflight: 1}, {address: $O2, max_inflight: 1, backup: true}]"
    with Weir(conf(up=up), a, b) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        assert (a.wait().target, b.wait().target) == ("/0", "/1")
        steady(lambda: len(a.requests) + len(b.requests))
        assert (len(a.requests), len(b.requests)) == (1, 1)
        b.release("/1")
        assert b.wait(2).target == "/2"
        a.release_all(), b.release_all()
        assert [x.recv_response().body for x in c] == [b"a", b"b", b"b"]


def test_a_sticky_key_goes_to_its_next_choice_then_waits():
    for balance in ("ip_hash", "{hash: path}", "{hash: path, bound: 1.25}"):
        a, b = Held("a"), Held("b")
        with Weir(slots(2, up=f"balance: {balance}"), a, b) as w:
            c = [ask_and_wait(w, "/key", headers={"X-N": str(i)}) for i in range(3)]
            eventually(lambda: len(a.requests) + len(b.requests) == 2)
            first = a if any(r.get("X-N") == "0" for r in a.requests) else b
            first.release("/key")
            assert first.wait(2).get("X-N") == "2"
            first.release("/key"), a.release_all(), b.release_all()
            assert [x.recv_response().status for x in c] == [200] * 3


def test_a_tunnel_and_a_stream_hold_their_slot():
    def handler(c, r):
        if r.target == "/tunnel":
            c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            c.wait_gone()
        elif r.target == "/stream":
            c.chunked_head("text/event-stream")
            c.chunk(b"data: 1\n\n")
            c.wait_gone()
        else:
            c.answer("x")
    o = Origin(handler)
    with Weir(slots(1), o) as w:
        t = Client(w).request(target="/tunnel", headers={"Connection": "upgrade", "Upgrade": "x"})
        assert t.recv_response().status == 101
        s = ask_and_wait(w, "/stream")
        n = ask_and_wait(w, "/next")
        assert o.targets() == ["/tunnel"]
        t.close()
        s.recv_until(b"data: 1\n\n")
        assert o.targets() == ["/tunnel", "/stream"]
        s.close()
        assert n.recv_response().body == b"x"


# --- order and fairness --------------------------------------------------------------------------

def test_first_in_first_out():
    o = Held()
    with Weir(slots(1), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(10)]
        for i in range(10):
            o.wait(i + 1)
            o.release(f"/{i}")
            assert c[i].recv_response().status == 200
        assert o.targets() == [f"/{i}" for i in range(10)]


def test_clients_take_turns():
    """One with fifty waiting, then one with one and one with two: served within one round."""
    o = Held()
    with Weir(slots(1), o) as w:
        many = [ask_and_wait(w, f"/many/{i}", source="127.0.0.1") for i in range(51)]
        one = ask_and_wait(w, "/one", source="127.0.0.2")
        two = [ask_and_wait(w, f"/two/{i}", source="127.0.0.3") for i in range(2)]
        o.release_all()
        assert [c.recv_response().status for c in [*many, one, *two]] == [200] * 54
        assert o.targets()[:7] == ["/many/0", "/many/1", "/one", "/two/0", "/many/2", "/two/1", "/many/3"], \
            o.targets()[:10]
        assert o.targets()[7:] == [f"/many/{i}" for i in range(4, 51)]


def test_a_client_of_ipv6_is_a_network():
    o = Held()
    with Weir(slots(1, extra="trusted_proxies: [127.0.0.0/8]"), o) as w:
        def ask(target, address):
            return ask_and_wait(w, target, headers={"X-Forwarded-For": address})
        c = [ask("/0", "2001:db8::1"), ask("/a1", "2001:db8::1"), ask("/a2", "2001:db8::2:3"),
             ask("/a3", "2001:db8:0:0:ffff::"), ask("/b1", "2001:db8:0:1::1"), ask("/c1", "192.0.2.1"),
             ask("/d1", "192.0.2.2")]
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 7
        assert o.targets() == ["/0", "/a1", "/b1", "/c1", "/d1", "/a2", "/a3"], o.targets()


def test_a_client_is_what_the_limit_says():
    """Two users behind one address, told apart by the key of the route's limit."""
    o = Held()
    extra = "limits: {all: {key: route, rate: 1000/s, burst: 1000}, user: {key: header:X-User, rate: 1000/s, burst: 1000}}"
    with Weir(slots(1, route="limit: [all, user]", extra=extra), o) as w:
        def ask(target, user):
            return ask_and_wait(w, target, headers={"X-User": user})
        c = [ask("/0", "a"), ask("/a1", "a"), ask("/a2", "a"), ask("/b1", "b"), ask("/b2", "b")]
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 5
        assert o.targets() == ["/0", "/a1", "/b1", "/a2", "/b2"], o.targets()


# --- bounds --------------------------------------------------------------------------------------

def test_full():
    o = Held()
    with Weir(slots(1, up="queue: {size: 2, timeout: 30s}"), o) as w:
        c = [ask_and_wait(w, f"/{i}") for i in range(3)]
        r = get(w, "/3", headers={"Accept": "application/json"})
        assert r.status == 503 and 1 <= int(r.get("Retry-After")) <= 300, r
        assert not r.has("Connection"), "it may ask again on the same connection"
        error = json.loads(r.body)["error"]
        assert (error["code"], error["type"]) == ("queue_full", "server_error"), error
        line = w.last()
        assert (line["end"], line["status"], line["tries"], line["upstream"]) == ("queue_full", 503, 0, "up"), line
        for body, h in ((b"abc", {}), (None, {"Expect": "100-continue", "Content-Length": "3"})):
            r = get(w, "/3", h, "POST", body)
            assert (r.status, r.get("Connection")) == (503, "close" if h else None), r
        o.release("/0")
        assert o.wait(2).target == "/1"
        late = ask_and_wait(w, "/4")
        o.release_all()
        assert [x.recv_response().status for x in [*c, late]] == [200] * 4
        assert o.targets() == ["/0", "/1", "/2", "/4"]


def test_no_places_at_all():
    o = Held()
    with Weir(slots(1, up="queue: {size: 0}"), o) as w:
        c = ask_and_wait(w, "/0")
        assert get(w, "/1").status == 503
        o.release_all()
        assert c.recv_response().status == 200
        assert get(w, "/2").status == 200


def test_timeout():
    o = Held()
    with Weir(slots(1, up="queue: {size: 5, timeout: 300ms}"), o) as w:
        first = ask_and_wait(w, "/0")
        r = get(w, "/1")
        assert r.status == 503 and int(r.get("Retry-After")) >= 1, r
        line = w.last()
        assert line["end"] == "queue_timeout" and 299 <= line["queue_ms"] <= line["total_ms"], line
        assert line["tries"] == 0 and not line["server"], line
        o.release_all()
        assert first.recv_response().status == 200
        assert o.targets() == ["/0"]


def test_retry_after_follows_the_rate():
    """One at a time, each for at least 0.4 s: one more behind eleven has at least five seconds to go."""
    o = Held()
    with Weir(slots(1, up="queue: {size: 11, timeout: 300s}"), o) as w:
        for i in range(2):
            c = ask_and_wait(w, f"/{i}")
            o.wait(i + 1)
            time.sleep(0.4)
            o.release(f"/{i}")
            c.recv_response()
        c = [ask_and_wait(w, "/x") for _ in range(12)]
        r = int(get(w).get("Retry-After"))
        took = max(x["total_ms"] for x in w.log(3) if x["status"] == 200) / 1000
        assert 5 <= r <= 12 * took + 2, (r, took)
        o.release_all()
        assert [x.recv_response().status for x in c] == [200] * 12


def test_total_timeout_in_line():
    o = Held()
    text = slots(1, routes="[{path: /x, upstream: other}, {path: /, upstream: up}]").replace(
        "routes:", "  other: {servers: [{address: $O1, max_inflight: 1}], timeouts: {total: 300ms}}\nroutes:", 1)
    with Weir(text, o) as w:
        first = ask_and_wait(w, "/0")
        r = get(w, "/x")
        assert r.status == 504 and not r.has("Retry-After"), r
        line = w.last()
        assert (line["end"], line["tries"]) == ("total_timeout", 0) and line["queue_ms"] >= 299, line
        o.release_all()
        assert first.recv_response().status == 200 and o.targets() == ["/0"]


# --- leaving -------------------------------------------------------------------------------------

def test_who_leaves_is_out_at_once():
    o = Held()
    with Weir(slots(1), o) as w:
        first = ask_and_wait(w, "/0")
        for i, way in enumerate((lambda c: c.close(), lambda c: c.reset())):
            c = [ask_and_wait(w, f"/gone/{i}/{k}") for k in range(3)]
            stays = ask_and_wait(w, f"/stays/{i}")
            for x in c:
                way(x)
            lines = [x for x in w.log(3 * i + 3 + i) if x["target"].startswith(f"/gone/{i}")]
            assert [(x["end"], x["status"], x["tries"]) for x in lines] == [("client_abort", 499, 0)] * 3, lines
            assert all(x["queue_ms"] > 0 for x in lines), lines
            o.release(f"/{i}" if i == 0 else "/stays/0")
            assert o.wait(i + 2).target == f"/stays/{i}"
        o.release_all()
        assert first.recv_response().status == 200
        assert stays.recv_response().status == 200
        assert not any("gone" in t for t in o.targets())


def test_who_left_makes_room_in_the_line():
    o = Held()
    with Weir(slots(1, up="queue: {size: 1}"), o) as w:
        first = ask_and_wait(w, "/0")
        gone = ask_and_wait(w, "/gone")
        assert get(w).status == 503
        gone.close()
        w.log(2)
        stays = ask_and_wait(w, "/stays")
        o.release_all()
        assert [first.recv_response().status, stays.recv_response().status] == [200, 200]


def test_leaving_with_a_body():
    """Up to retry.keep_body it is read at once, so that a plain close behind it is seen."""
    o = Held()
    with Weir(slots(1), o) as w:
        ask_and_wait(w, "/0")
        c = Client(w).request("POST", "/gone", body=b"x" * 1000000)
        c.close()
        assert w.last()["end"] == "client_abort"
        c = Client(w)
        c.send(b"POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        fill_up(c)
        c.reset()
        assert w.last(2)["end"] == "client_abort"
        o.release_all()
        get(w)
        assert o.targets() == ["/0", "/"]


# --- bodies --------------------------------------------------------------------------------------

def test_a_body_waits_too():
    """Small ones are there when the turn comes, large ones are held at the client."""
    o = Held()
    with Weir(slots(1), o) as w:
        first = ask_and_wait(w, "/0")
        small = ask_and_wait(w, "/small", "POST", body=b"abc" * 1000)
        large = Client(w)
        large.send(b"POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        before = memory(w)
        sent = fill_up(large)
        assert sent < 20000000
        assert memory(w) - before < 5000, "kilobytes"
        rest = Background(large.send, b"x" * (50000000 - sent))
        o.release_all()
        assert first.recv_response().status == 200 and small.recv_response().status == 200
        rest.result()
        assert large.recv_response().status == 200
        assert [len(r.body) for r in o.requests] == [0, 3000, 50000000]


def test_a_body_that_comes_slowly_while_it_waits():
    o = Held()
    with Weir(slots(1), o) as w:
        first = ask_and_wait(w, "/0")
        c = Client(w)
        c.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wait_read(c)
        c.send(b"3\r\ndef\r\n")
        wait_read(c)
        o.release("/0")
        assert first.recv_response().status == 200
        eventually(lambda: len(o.heads) == 2)
        c.send(b"3\r\nghi\r\n0\r\n\r\n")
        o.release_all()
        assert c.recv_response().status == 200
        assert o.requests[1].body == b"abcdefghi"


def test_expect_waits_longer_than_a_body_may():
    def handler(c, r):
        if r.target == "/0":
            gate.wait()
            c.answer("x")
            return
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.answer(c.read_body(r))
    gate = Gate()
    o = Origin(handler, read_body=False)
    with Weir(slots(1, extra="client: {body_timeout: 200ms}"), o) as w:
        first = ask_and_wait(w, "/0")
        c = Client(w)
        c.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        gone = Client(w)
        gone.send(b"POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        slow = Client(w)
        slow.send(b"POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        assert slow.recv_response().status == 408, "a body that does not come is timed in the line too"
        gone.close()
        eventually(lambda: "client_abort" in [x["end"] for x in w.log(2)])
        gate.open()
        assert first.recv_response().status == 200
        assert c.recv_head().status == 100
        c.send(b"abc")
        assert c.recv_response().body == b"abc"


def test_pipelined():
    o = Held()
    with Weir(slots(1), o) as w:
        first = ask_and_wait(w, "/0")
        c = Client(w)
        c.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in (1, 2)))
        wait_read(c)
        between = ask_and_wait(w, "/between", source="127.0.0.2")
        o.release_all()
        assert [c.recv_response().status for _ in range(2)] == [200, 200]
        assert first.recv_response().status == between.recv_response().status == 200
        assert o.targets() == ["/0", "/1", "/between", "/2"], o.targets()


# --- the file ------------------------------------------------------------------------------------

def test_errors_in_the_file():
    for up, says in (
            ("servers: [\"127.0.0.1:1\"], queue: {size: 5}", "queue: has no effect, give servers a max_inflight"),
            ("servers: [{address: \"127.0.0.1:1\", max_inflight: -1}]", "max_inflight"),
            ("servers: [{address: \"127.0.0.1:1\", max_inflight: 1}], queue: {size: 100001}", "0 to 100000"),
            ("servers: [{address: \"127.0.0.1:1\", max_inflight: 1}], queue: {timeout: 0}", "1ms to 24h"),
            ("servers: [{address: \"127.0.0.1:1\", max_inflight: 1}], queue: {sice: 1}", "did you mean size"),
            ("servers: [{address: \"127.0.0.1:1\", max_inflight: 1}], queue: 5", "mapping")):
        with folder() as d:
            path = os.path.join(d, "f.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"listen: 8080\nupstreams:\n  up: {{{up}}}\n")
            code, _, err = run_weir("-t", "-c", path)
            assert code == 1 and says in err and ":3:" in err, (up, err)


if __name__ == "__main__":
    main()
