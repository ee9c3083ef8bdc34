# SPDX-License-Identifier: MIT
# limit: 90
"""What is counted is what happened: each family against what the test did, and the access log."""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403
from dns_tools import ADDRESSES, Dnsmasq  # noqa: E402
from prometheus import Scrape  # noqa: E402

ADMIN = "admin: {listen: $PORT2}\n"


READER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps([(x.name, x.labels, x.value) for f in text_string_to_metric_families(sys.stdin.buffer.read().decode())
                  for x in f.samples]))
"""


def page(w):
    return f"127.0.0.1:{w.names['PORT2']}"


def look(w):
    return Scrape(page(w))


def until(w, want, what=None):
    """The first scrape of which want() is so."""
    return eventually(lambda: (s := look(w)) and want(s) and s, what=what or "the numbers are so")


def status(w):
    return json.loads(get(page(w), "/status").body)


def server(w, i=0, upstream=0):
    return status(w)["upstreams"][upstream]["servers"][i]


def check_log(w, n):
    """Exchanges, bytes and times are those of the log's n lines."""
    lines = w.log(n)
    assert len(lines) == n, len(lines)
    s = look(w)
    want = collections.Counter()
    for x in lines:
        code = f"{x['status'] // 100}xx" if x["status"] else "none"
        want[(x.get("route") or "", code, x["end"])] += 1
    got = {(d.get("route", ""), d["code"], d["end"]): n
           for key, n in s.all("weir_exchanges_total").items() if (d := dict(key)) and n > 0}
    assert got == dict(want), (got, want)
    for route in {x.get("route") for x in lines}:
        labels = {"route": route} if route else {}
        mine = [x for x in lines if x.get("route") == route]
        for name, key in (("received", "bytes_in"), ("sent", "bytes_out")):
            assert s(f"weir_{name}_bytes_total", **labels) == sum(x[key] for x in mine), (route, name)
    for up in {x["upstream"] for x in lines if x.get("upstream")}:
        mine = [x for x in lines if x.get("upstream") == up]
        for name, key in (("exchange", "total_ms"), ("first_byte", "first_byte_ms"), ("queue", "queue_ms")):
            times = [x[key] for x in mine if x[key] is not None]
            name = f"weir_{name}_seconds"
            assert s(name + "_count", upstream=up) == len(times), (name, times)
            assert abs(s(name + "_sum", upstream=up) - sum(times) / 1000) < 1e-6, (name, times)
            for key, n in s.all(name + "_bucket", upstream=up).items():
                bound = float(dict(key)["le"]) * 1000
                assert n == sum(t <= bound for t in times), (name, key, n, times)
        assert s("weir_retries_total", upstream=up) == sum(max(x["tries"] - 1, 0) for x in mine)
    return s


# --- exchanges -------------------------------------------------------------------------------------

def test_each_end_is_a_line_of_the_log():
    gate = Gate()

    def answer(conn, r):
        how = r.target.rpartition("/")[2]
        if how == "cut":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            conn.close()
        elif how == "wait":
            conn.chunked_head()
            conn.chunk(b"first")
            gate.wait()
        elif how.isdigit():
            conn.answer("x" * int(how), f"{how} Some Words")
        else:
            conn.answer("fine")

    routes = "[{path: /a, upstream: up, name: '\"é\\\"'}, {path: /b, upstream: up, host: x.example}, " \
             "{path: /b, upstream: up, methods: [GET]}, {exact: /own, respond: {body: own}}]"
    with Weir(conf(up="max_fails: 0", routes=routes, extra=ADMIN), Origin(answer)) as w:
        for target in ("/a/fine", "/a/200", "/a/204", "/a/301", "/a/404", "/a/500", "/b/fine", "/own", "/none", "/a/cut"):
            get(w, target)
        assert get(w, "/b/fine", method="POST", body=b"12345").status == 405
        assert get(w, "/a/fine", method="POST", body=b"12345").status == 200
        assert raw(w, b"GET / HTTP/1.1\r\n\r\n").status == 400
        assert raw(w, b"GET / HTTP/3.1\r\nHost: a\r\n\r\n").status == 505
        assert raw(w, b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n").status == 400
        c = Client(w).request(target="/a/wait")
        c.recv_head()
        s = look(w)
        assert s("weir_exchanges_in_flight", step="respond") == s.sum("weir_exchanges_in_flight") == 1
        assert s("weir_server_inflight", upstream="up", server=w.names["O1"]) == 1
        steps = status(w)["exchanges"]
        assert steps["in_flight"] == steps["steps"]["respond"]["n"] == 1, steps
        assert steps["steps"]["respond"]["oldest_ms"] >= 0
        c.close()
        s = until(w, lambda s: s.sum("weir_exchanges_in_flight") == 0)
        gate.open()
        s = check_log(w, 16)
        assert s("weir_exchanges_total", route='"é\\"', code="4xx", end="client_abort") == 1
        assert s("weir_exchanges_total", route='"é\\"', code="2xx", end="body_cut") == 1
        assert s("weir_exchanges_total", code="4xx", end="no_route") == 2
        assert s("weir_requests_refused_total", code="400") == 2
        assert s("weir_requests_refused_total", code="505") == 1
        assert s.sum("weir_requests_refused_total") == 3
        # Both routes called /b are one.
        assert s("weir_exchanges_total", route="/b", code="2xx", end="ok") == 1
        assert s("weir_server_failures_total", upstream="up", server=w.names["O1"], reason="body_cut") == 1
        assert s("weir_server_failures_total", upstream="up", server=w.names["O1"], reason="status") is None
        idle = Client(w)
        s = until(w, lambda s: s("weir_client_connections", state="open") == 1)
        assert s("weir_client_connections", state="greeting") == 0
        idle.close()


def test_failures_retries_and_ejection():
    bad = Origin(lambda conn, r: conn.answer("no", "503 Busy"))
    gone = f"127.0.0.1:{free_port()}"
    text = conf(up="max_fails: 2, fail_timeout: 1h, retry: {tries: 2, on: [error, 503]}, "
                f"servers: [$O1, $O2, {gone}, {{address: 127.0.0.1:1, down: true}}]", extra=ADMIN)
    good = Origin()
    with Weir(text, good, bad) as w:
        for _ in range(12):
            assert get(w).status in (200, 502, 503)
        s = check_log(w, 12)
        labels = {"upstream": "up", "server": bad.addr}
        assert s("weir_server_failures_total", **labels, reason="status") == \
            s("weir_server_picked_total", **labels) == len(bad.requests) == 2
        assert s("weir_server_failures_total", upstream="up", server=gone, reason="connect_failed") == 2
        assert s.sum("weir_server_failures_total") == 4
        assert s("weir_server_picked_total", upstream="up", server=good.addr) == len(good.requests)
        for name, want in (("up", (1, 0, 0)), ("ejected", (0, 1, 1)), ("ejections_total", (0, 1, 1)),
                           ("inflight", (0, 0, 0)), ("idle_connections", (1, None, 0))):
            got = [s(f"weir_server_{name}", upstream="up", server=x) for x in (good.addr, bad.addr, gone)]
            assert all(b in (a, None) for a, b in zip(got, want)), (name, got)
        assert s("weir_server_health", upstream="up", server=good.addr) is None
        assert s("weir_server_connections_total", upstream="up", server=good.addr, kind="opened") == len(good.conns)
        assert s("weir_server_connections_total", upstream="up", server=good.addr, kind="reused") == \
            len(good.requests) - len(good.conns)
        assert s("weir_upstream_servers", upstream="up") == 4
        # Who is down by intent is nobody's alarm.
        assert s("weir_server_up", upstream="up", server="127.0.0.1:1") is None
        assert s("weir_server_picked_total", upstream="up", server="127.0.0.1:1") == 0
        assert server(w, 3)["state"] == "down"
        x = server(w, 1)
        assert (x["state"], x["last_failure"], x["failures"]) == ("ejected", "status 503", 2), x
        assert 0 < x["ejected_for_ms"] <= 3600000
        assert server(w, 2)["last_failure"].startswith("connect_failed") and server(w)["state"] == "up"
        # Another pool, another count; what is the server's own is its own under both names.
        w.reload(text.replace("routes: [", f"  two: {{servers: [$O2]}}\nroutes: [{{exact: /two, upstream: two}}, "))
        assert get(w, "/two").status == 503
        s = look(w)
        assert s("weir_server_picked_total", upstream="two", server=bad.addr) == 1
        assert s("weir_server_picked_total", **labels) == 2
        assert s("weir_server_ejected", upstream="two", server=bad.addr) == 1
        assert s("weir_exchanges_total", route="/two", code="5xx", end="ok") == 1


def test_addresses_of_a_name():
    """Each is a server; who left keeps his numbers until his last request is over, then has none."""
    gate = Gate()

    def answer(conn, r):
        if r.target == "/wait":
            gate.wait()
        conn.answer("x")

    port = free_port()
    origins = [Origin(answer, host=a, port=port) for a in ADDRESSES[:3]]
    d = Dnsmasq(qwen=ADDRESSES[:2])
    with Weir(conf(up=f"servers: ['qwen.test:{port}']", extra=ADMIN + f"resolver: {{servers: ['{d.addr}']}}\n")) as w:
        assert [get(w).status for _ in range(4)] == [200] * 4
        s = check_log(w, 4)
        assert s("weir_upstream_servers", upstream="up") == 2
        assert {dict(k)["server"]: n for k, n in s.all("weir_server_picked_total").items()} == \
            {o.addr: 2 for o in origins[:2]}
        waiting = [Client(w).request(target="/wait") for _ in range(2)]
        until(w, lambda s: s("weir_exchanges_in_flight", step="send") == 2)
        d.set(qwen=ADDRESSES[1:3])
        s = until(w, lambda s: s("weir_server_up", upstream="up", server=origins[2].addr) == 1)
        assert s("weir_upstream_servers", upstream="up") == 2
        assert s("weir_server_inflight", upstream="up", server=origins[0].addr) == 1
        assert s("weir_server_up", upstream="up", server=origins[0].addr) is None
        assert {x["address"]: x["state"] for x in status(w)["upstreams"][0]["servers"]} == \
            {origins[0].addr: "leaving", origins[1].addr: "up", origins[2].addr: "up"}
        gate.open()
        assert [c.recv_response().status for c in waiting] == [200] * 2
        until(w, lambda s: not s.all("weir_server_picked_total", server=origins[0].addr))


def test_health_checks():
    state = {"status": "503 Loading"}
    o = Origin(lambda conn, r: conn.answer("x", state["status"]))
    check = "health_check: {path: /h, interval: 100ms, down_interval: 100ms, rise: 1, fall: 1}"
    with Weir(conf(up=check, extra=ADMIN), o) as w:
        labels = {"upstream": "up", "server": o.addr}
        s = until(w, lambda _: "check_says" in server(w))
        assert s("weir_server_health", **labels) == s("weir_server_up", **labels) == 0
        assert (server(w)["state"], server(w)["check_says"]) == ("starting", "status 503")
        state["status"] = "200 OK"
        s = until(w, lambda s: s("weir_server_health", **labels) == 1)
        assert s("weir_server_up", **labels) == 1
        assert server(w)["state"] == "up" and "check_says" not in server(w)
        state["status"] = "500 Broken"
        until(w, lambda s: s("weir_server_health", **labels) == 0)
        assert (server(w)["state"], server(w)["check_says"]) == ("check_failed", "status 500")
        # Checks are nobody's requests.
        s = look(w)
        assert s("weir_server_picked_total", **labels) == 0 and s.sum("weir_exchanges_total") == 0


def test_the_line():
    gates = [Gate() for _ in range(3)]

    def answer(conn, r):
        gates[int(r.target[1:])].wait()
        conn.answer("done")

    o = Origin(answer)
    up = "servers: [{address: $O1, max_inflight: 1}], queue: {size: 3, timeout: 1h}"
    with Weir(conf(up=up, extra=ADMIN), o) as w:
        first = Client(w).request(target="/0")
        o.wait()
        second = Client(w).request(target="/1")
        until(w, lambda s: s("weir_line_length", upstream="up") == 1)
        more = [Client(w).request(target="/2") for _ in range(2)]
        s = until(w, lambda s: s("weir_line_length", upstream="up") == 3)
        assert s("weir_exchanges_in_flight", step="pick") == 3
        assert status(w)["upstreams"][0]["line"] == {"length": 3, "longest": 3, "size": 3}
        assert [get(w).status for _ in range(3)] == [503] * 3
        for c in more:
            c.close()
        s = until(w, lambda s: s("weir_line_length", upstream="up") == 1)
        gates[0].open()
        assert first.recv_response().body == b"done"
        gates[1].open()
        assert second.recv_response().body == b"done"
        s = check_log(w, 7)
        outcomes = {dict(k)["outcome"]: n for k, n in s.all("weir_line_requests_total").items()}
        assert outcomes == {"served": 1, "timeout": 0, "left": 2, "full": 3}, outcomes
        assert s("weir_exchanges_total", route="/", code="5xx", end="queue_full") == 3
        w.reload(conf(up=up.replace("1h", "50ms"), extra=ADMIN))
        first = Client(w).request(target="/2")
        o.wait(3)
        assert get(w).status == 503
        assert look(w)("weir_line_requests_total", upstream="up", outcome="timeout") == 1
        gates[2].open()
        assert first.recv_response().status == 200


# --- limits and caches -------------------------------------------------------------------------------

def test_limits():
    text = conf(routes="[{path: /a, upstream: up, limit: a}, {path: /b, upstream: up, limit: b}, "
                "{path: /c, upstream: up, limit: c}]",
                extra=ADMIN + "limits: {a: {rate: 1/h, burst: 2}, b: {rate: 50/s, burst: 5, delay: true}, "
                "c: {rate: 1/h, dry_run: true}}\n")
    with Weir(text, Origin()) as w:
        assert [get(w, "/a").status for _ in range(5)] == [200, 200, 200, 429, 429]
        c = Client(w)
        assert [c.ask(target="/b").status for _ in range(3)] == [200] * 3
        assert [get(w, "/c").status for _ in range(3)] == [200] * 3
        s = check_log(w, 11)
        delayed = sum(x.get("limit") == "delayed" for x in w.log(11))
        for name, want in (("a", (3, 0, 2, 0)), ("b", (3 - delayed, delayed, 0, 0)), ("c", (1, 0, 0, 2))):
            got = [s("weir_limit_requests_total", limit=name, outcome=x)
                   for x in ("passed", "delayed", "refused", "dry_run")]
            assert got == list(want), (name, got)
            assert s("weir_limit_keys_evicted_total", limit=name) == 0
        assert status(w)["limits"][0] == {"name": "a", "passed": 3, "delayed": 0, "refused": 2, "dry_run": 0}


def test_the_cache():
    gate = Gate()
    down = []

    def answer(conn, r):
        if r.target == "/slow":
            conn.chunked_head(headers=[("Cache-Control", "max-age=100")])
            conn.chunk(b"first")
            gate.wait()
            conn.last_chunk()
        elif down:
            conn.close()
        elif r.target == "/short":
            conn.answer("short", headers=[("Cache-Control", "max-age=1"), ("ETag", '"x"')])
        elif r.target == "/no":
            conn.answer("no", headers=[("Cache-Control", "no-store")])
        elif r.target == "/big":
            conn.answer("x" * 5000, headers=[("Cache-Control", "max-age=100")])
        else:
            conn.answer("kept", headers=[("Cache-Control", "max-age=100")])

    extra = ADMIN + "caches: {c: {size: 16MB, max_object: 4KB, stale: [error]}}\n"
    o = Origin(answer)
    with Weir(conf(up="max_fails: 0", route="cache: c", extra=extra), o) as w:
        empty = look(w)("weir_cache_bytes", cache="c")
        for _ in range(3):
            assert get(w, "/kept").body == b"kept"
        assert get(w, "/no").body == b"no"
        assert len(get(w, "/big").body) == 5000
        assert get(w, "/kept", method="DELETE").status == 200
        assert get(w, "/short").body == b"short"
        first = Client(w).request(target="/slow")
        first.recv_head()
        second = Client(w).request(target="/slow")
        second.recv_head()
        gate.open()
        assert [c.recv_until(b"0\r\n\r\n") for c in (first, second)]
        eventually(lambda: get(w, "/short", headers=[("Cache-Control", "only-if-cached, max-stale=0")]).status == 504,
                   what="it expires")
        down.append(1)
        assert get(w, "/short").body == b"short"
        n = look(w).sum("weir_exchanges_total")
        s = check_log(w, int(n))
        words = collections.Counter(x["cache"] for x in w.log())
        got = {dict(k)["result"]: n for k, n in s.all("weir_cache_answers_total").items()}
        assert {k: n for k, n in got.items() if n} == dict(words), (got, words)
        assert {"hit", "miss", "pass", "bypass", "stale", "collapsed"} <= set(words), words
        assert words["stale"] == words["collapsed"] == 1
        assert s("weir_cache_stored_total", cache="c") == 3
        assert s("weir_cache_not_stored_total", cache="c", reason="uncacheable") >= 1
        assert s("weir_cache_not_stored_total", cache="c", reason="too_large") == 1
        assert s("weir_cache_entries", cache="c") >= 2         # DELETE took /kept out
        assert empty < s("weir_cache_bytes", cache="c") < s("weir_cache_size_bytes", cache="c") == 16 << 20
        x = status(w)["caches"][0]
        assert (x["name"], x["size"], x["answers"]["collapsed"]) == ("c", 16 << 20, 1), x
        # What a reload keeps it keeps with its numbers.
        w.reload()
        assert look(w)("weir_cache_answers_total", cache="c", result="hit") == words["hit"]


def test_evictions():
    with Weir(conf(route="cache: c", extra=ADMIN + "caches: {c: {size: 1MB, max_object: 200KB, valid: {200: 1h}}}\n"),
              Origin(lambda conn, r: conn.answer("x" * 100000))) as w:
        for i in range(20):
            assert get(w, f"/{i}").status == 200
        s = look(w)
        evicted = s("weir_cache_removed_total", cache="c", reason="evicted")
        assert evicted > 8 and s("weir_cache_stored_total", cache="c") == 20
        assert s("weir_cache_entries", cache="c") == 20 - evicted
        assert s("weir_cache_bytes", cache="c") <= 1 << 20


# --- clients ---------------------------------------------------------------------------------------

def seconds(cert):
    """The end of a certificate as openssl tells it."""
    out = openssl("x509", "-in", cert, "-noout", "-enddate").strip().partition("=")[2]
    return datetime.datetime.strptime(out, "%b %d %H:%M:%S %Y %Z").replace(
        tzinfo=datetime.timezone.utc).timestamp()


def test_tls_and_certificates():
    ca = Authority()
    one, two, own = ca.issue("a.example", days=90), ca.issue("b.example", days=30), ca.issue("weir", days=10)
    o = TlsOrigin(ca.issue("IP:127.0.0.1", subject="/CN=x"))
    text = conf(listen=listen(one, two, one),
                up=f"servers: [\"$O1\"], tls: {{ca: {ca.cert}, certificate: {{cert: {own.cert}, key: {own.key}}}}}",
                extra=ADMIN + f"client: {{header_timeout: {300 * SLOW}ms}}\n")
    with Weir(text, o) as w:
        # Who only connects, as wait_ready did.
        s = until(w, lambda s: s("weir_tls_handshakes_total", outcome="failed") > 0)
        had = s("weir_tls_handshakes_total", outcome="failed")
        c = TlsClient(w, context=client_context(ca))
        assert c.ask().status == 200
        assert handshake_error(w, ca=Authority("Another CA")) != "SERVED"
        late = Client(w)
        s = until(w, lambda s: s("weir_tls_handshakes_total", outcome="timeout") == 1)
        assert late.wait_closed()
        assert s("weir_tls_handshakes_total", outcome="ok") == 1
        assert s("weir_tls_handshakes_total", outcome="failed") == had + 1
        certificates = {tuple(sorted(k)): n for k, n in s.all("weir_certificate_not_after_seconds").items()}
        want = {(("file", one.cert), ("listener", w.addr), ("name", "a.example")): seconds(one.leaf),
                (("file", two.cert), ("listener", w.addr), ("name", "b.example")): seconds(two.leaf),
                (("file", own.cert), ("name", "weir"), ("upstream", "up")): seconds(own.leaf)}
        assert certificates == want, (certificates, want)
        days = {x["file"]: x["days_left"] for x in status(w)["certificates"]}
        for pair, about in ((one, 90), (two, 30), (own, 10)):
            assert days[str(pair.cert)] in (about - 1, about), days
        assert int((seconds(one.leaf) - time.time()) // 86400) == days[str(one.cert)]
        # A new one in its place is seen at the next reload.
        newer = ca.issue("a.example", days=200)
        shutil.copy(newer.cert, one.cert)
        shutil.copy(newer.key, one.key)
        w.reload()
        assert look(w)("weir_certificate_not_after_seconds", file=one.cert, listener=w.addr, name="a.example") == \
            seconds(newer.leaf)


def test_proxy_headers():
    proxied = '{address: "127.0.0.1:$PORT", proxy_protocol: true}'
    with Weir(conf(listen=proxied, extra=ADMIN + "trusted_proxies: [127.0.0.2]\nclient: {header_timeout: 300ms}\n"),
              Origin()) as w:
        s = until(w, lambda s: s("weir_proxy_headers_total", outcome="untrusted") > 0)     # wait_ready's own
        had = s("weir_proxy_headers_total", outcome="untrusted")
        assert Client(w).wait_closed()
        c = Client(w, source="127.0.0.2")
        c.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n")
        assert c.ask().status == 200
        for _ in range(2):
            c = Client(w, source="127.0.0.2")
            c.send(b"PROXY nonsense\r\n")
            assert c.wait_closed()
        c = Client(w, source="127.0.0.2")
        c.send(b"PROXY TC")
        c.shutdown()
        assert c.wait_closed()
        assert Client(w, source="127.0.0.2").wait_closed()
        s = look(w)
        got = {dict(k)["outcome"]: n for k, n in s.all("weir_proxy_headers_total").items()}
        got["untrusted"] -= had
        assert got == {"ok": 1, "untrusted": 1, "malformed": 2, "cut": 1, "timeout": 1}, got


# --- reloads and the process -----------------------------------------------------------------------

def test_reloads():
    gate = Gate()

    def answer(conn, r):
        if r.target.endswith("wait"):
            gate.wait()
        conn.answer("x")

    o = Origin(answer)
    first = conf(routes="[{path: /a, upstream: up}, {path: /b, upstream: up}]", extra=ADMIN)
    with Weir(first, o) as w:
        assert get(w, "/a").status == get(w, "/b").status == 200
        s = look(w)
        taken = s("weir_config_last_success_timestamp_seconds")
        assert s("weir_config_last_reload_successful") == 1 and abs(taken - time.time()) < 60
        w.reload(first + "x: 1\n", ok=False)
        s = look(w)
        assert s("weir_reloads_total", outcome="failed") == 1 and s("weir_reloads_total", outcome="ok") == 0
        assert s("weir_config_last_reload_successful") == 0
        assert s("weir_config_last_success_timestamp_seconds") == taken
        # /b goes, and its server; a request of it is still under way.
        slow = Client(w).request(target="/b/wait")
        o.wait(3)
        other = Origin()
        second = first.replace("upstreams:\n  up:", "upstreams:\n  next:").replace("$O1", other.addr) \
            .replace("{path: /a, upstream: up}, {path: /b, upstream: up}", "{path: /a, upstream: next}")
        w.reload(second)
        s = look(w)
        assert s("weir_reloads_total", outcome="ok") == 1 and s("weir_generations") == 2
        assert s("weir_config_last_reload_successful") == 1
        assert s("weir_config_last_success_timestamp_seconds") > taken
        assert s("weir_exchanges_total", route="/a", code="2xx", end="ok") == 1
        assert s("weir_exchanges_total", route="/b", code="2xx", end="ok") == 1
        assert s("weir_server_inflight", upstream="up", server=o.addr) == 1
        assert s("weir_server_picked_total", upstream="next", server=other.addr) == 0
        gate.open()
        assert slow.recv_response().status == 200
        s = until(w, lambda s: s("weir_generations") == 1)
        assert not s.all("weir_exchanges_total", route="/b") and not s.all("weir_server_up", upstream="up")
        assert not s.all("weir_exchange_seconds_count", upstream="up")
        assert s("weir_exchanges_total", route="/a", code="2xx", end="ok") == 1
        x = status(w)["configuration"]
        assert (x["reloads_ok"], x["reloads_failed"], x["last_reload_failed"]) == (1, 1, False), x


def test_names_that_change_do_not_pile_up():
    o = Origin()
    text = "listen: [\"127.0.0.1:$PORT\"]\n" + ADMIN + \
        "upstreams: {u%d: {servers: [$O1]}}\nlimits: {l%d: {rate: 9/s}}\nroutes: [{path: /%d, upstream: u%d, limit: l%d}]\n"
    with Weir(text % ((0,) * 5), o) as w:
        get(w, "/0")
        first = len(look(w).text)
        for i in range(1, 101 if not VALGRIND else 10):
            w.reload(text % ((i,) * 5))
            assert get(w, f"/{i}").status == 200
        s = look(w)
        assert len(s.text) < first * 1.1 and s.sum("weir_exchanges_total") == 1


def test_the_process():
    with Weir(conf(extra=ADMIN), Origin()) as w:
        began = time.time()
        get(w)
        s = look(w)
        with open(f"/proc/{w.pid}/statm", encoding="ascii") as f:
            rss = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        assert abs(s("process_resident_memory_bytes") - rss) < rss / 2
        assert abs(s("process_open_fds") - w.descriptors()) <= 2
        # Valgrind keeps some for itself.
        assert VALGRIND or s("process_max_fds") == resource.prlimit(w.pid, resource.RLIMIT_NOFILE)[0]
        assert abs(s("process_start_time_seconds") - began) < 60
        assert 0 < s("process_cpu_seconds_total") <= w.ticks() / os.sysconf("SC_CLK_TCK") + 1
        version = run_weir("--version")[1].split()
        assert s("weir_build_info", version=version[1], libevent=version[3],
                 openssl=version[version.index("openssl") + 1]) == 1
        assert status(w)["pid"] == w.pid and status(w)["version"] == version[1]


def test_all_families_by_another_reader():
    """What Prometheus's own library makes of it."""
    extra = ADMIN + "caches: {c: {}}\nlimits: {l: {rate: 1/s}}\n"
    with Weir(conf(route='cache: c, limit: l, name: \'a \\ "b" ä\'', extra=extra), Origin()) as w:
        get(w)
        raw(w, b"GET / HTTP/1.1\r\n\r\n")
        s = look(w)
        ours = {(name, labels): n for f in s.families.values() for (name, labels), n in f.samples.items()}
        # Debian's python has it, whichever runs this.
        p = subprocess.run(["/usr/bin/python3", "-c", READER], input=s.text.encode(), stdout=subprocess.PIPE,
                           timeout=30, check=True)
        theirs = {(name, tuple(sorted(labels.items()))): n for name, labels, n in json.loads(p.stdout)}
        assert ours == theirs
        assert s("weir_exchanges_total", route='a \\ "b" ä', code="2xx", end="ok") == 1


if __name__ == "__main__":
    main()
