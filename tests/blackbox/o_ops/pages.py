# SPDX-License-Identifier: MIT
"""Our own pages: where they are, who gets them, and what becomes of them at a reload and a stop."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from prometheus import Scrape  # noqa: E402

ADMIN = "admin: {listen: $PORT2}\n"


def admin(w, n=2):
    return f"127.0.0.1:{w.names[f'PORT{n}']}"


def test_pages_and_nothing_else():
    with Weir(conf(extra=ADMIN), Origin()) as w:
        a = admin(w)
        assert f"metrics and status on {a}\n" in w.stderr
        r = get(a, "/healthz")
        assert (r.status, r.body, r.get("Content-Type")) == (200, b"OK\n", "text/plain; charset=utf-8")
        assert r.get("Cache-Control") == "no-store"
        head = get(a, "/metrics?x=y", method="HEAD")
        assert head.status == 200 and int(head.get("Content-Length")) > 1000
        assert json.loads(get(a, "/status").body)["state"] == "serving"
        assert not get(a, "/metrics", headers=[("Accept-Encoding", "gzip, zstd")]).has("Content-Encoding")
        for target in ("/", "/metrics/", "/Metrics", "/healthz/x", "//metrics", "/%6detrics"):
            r = get(a, target)
            assert r.status == 404 and b"no such page" in r.body, (target, r)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            r = get(a, "/metrics", method=method, body=b"x")
            assert (r.status, r.get("Allow")) == (405, "GET, HEAD"), (method, r)
        # Everything else about HTTP is as it is for clients.
        assert raw(a, b"GET /metrics HTTP/1.1\r\n\r\n").status == 400
        assert raw(a, b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n").status == 400
        assert raw(a, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").status == 414
        c = Client(a)
        assert [c.ask(target="/healthz").status for _ in range(3)] == [200] * 3
        # Clients are served by the routes alone, and those who watch leave no trace.
        assert get(w, "/metrics").body == get(w, "/healthz").body == b"origin"
        assert [line["target"] for line in w.log(2)] == ["/metrics", "/healthz"]
        s = Scrape(a)
        assert s.sum("weir_exchanges_total") == 2 and s.sum("weir_requests_refused_total") == 0


def test_without_it_there_is_none():
    for extra in ("", "admin: {}\n", "admin: {listen: []}\n"):
        with Weir(conf(extra=extra), Origin()) as w:
            assert get(w, "/metrics").body == b"origin"
            assert "metrics and status" not in w.stderr


def test_addresses():
    """A port alone is one of loopback; several, IPv6 and a path can be had."""
    with Weir(conf(extra='admin: {listen: [$PORT2, "[::1]:$PORT3", "unix:$DIR/a b.sock"]}\n'), Origin()) as w:
        for a in (admin(w), f"[::1]:{w.names['PORT3']}", f"unix:{w.dir}/a b.sock"):
            assert get(a, "/healthz").body == b"OK\n"
        with open("/proc/net/tcp", encoding="ascii") as f:
            places = [line.split()[1] for line in f if line.split()[3] == "0A"]
        assert [p for p in places if p.endswith(f":{w.names['PORT2']:04X}")] == \
            [f"0100007F:{w.names['PORT2']:04X}"]
    assert not os.path.exists(f"{w.dir}/a b.sock")


def test_who_may_connect_to_a_path():
    """The mode of a unix socket, also after a reload."""
    def modes(w):
        return ["%04o" % (os.stat(f"{w.dir}/{x}").st_mode & 0o7777) for x in "ab"]

    text = conf(listen='"127.0.0.1:$PORT", "unix:$DIR/b"', extra='admin: {listen: "unix:$DIR/a"}\n')
    with Weir(text, Origin()) as w:
        assert modes(w) == ["0660", "0666"]
        w.reload(text.replace('/a"}', '/a", mode: 0600}').replace('"unix:$DIR/b"', '{address: "unix:$DIR/b", mode: 640}'))
        assert modes(w) == ["0600", "0640"]
        assert get(f"unix:{w.dir}/a", "/healthz").status == get(f"unix:{w.dir}/b").status == 200


def test_one_that_is_taken():
    with socket.socket() as s:
        port = free_port()
        s.bind(("127.0.0.1", port))
        s.listen()
        with folder() as d:
            path = os.path.join(d, "w.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"listen: [\"127.0.0.1:{free_port()}\"]\nroutes: [{{path: /, respond: {{}}}}]\n"
                        f"admin: {{listen: {port}}}\n")
            code, _, err = run_weir("-c", path)
            assert code == 3 and f"cannot listen on 127.0.0.1:{port}: Address already in use" in err, err
        # At a reload nothing changes.
        with Weir(conf(extra=ADMIN), Origin()) as w:
            err = w.reload(conf(extra=f"admin: {{listen: {port}}}\n"), ok=False)
            assert f"cannot listen on 127.0.0.1:{port}" in err
            assert get(admin(w), "/healthz").status == 200


def test_reloads_keep_it():
    with Weir(conf(extra=ADMIN), Origin(), PORT3=free_port()) as w:
        c = Client(admin(w))
        assert c.ask(target="/healthz").status == 200
        w.reload()
        assert c.ask(target="/healthz").status == 200
        # Elsewhere; who is connected stays so.
        w.reload(conf(extra="admin: {listen: $PORT3}\n"))
        assert get(admin(w, 3), "/healthz").status == 200
        assert c.ask(target="/metrics").status == 200
        refuses(admin(w))
        # What was for clients is for who watches, and back.
        text = conf(listen='"127.0.0.1:$PORT3"', extra="admin: {listen: $PORT}\n")
        w.reload(text)
        assert get(w, "/healthz").body == b"OK\n" and get(admin(w, 3), "/healthz").body == b"origin"
        w.reload(conf())
        refuses(admin(w, 3))
        assert get(w, "/healthz").body == b"origin"


def refuses(address):
    with socket.socket() as s:
        host, port = address.rsplit(":", 1)
        assert s.connect_ex((host, int(port))) == 111, address


def test_it_is_there_when_clients_are_too_many():
    """And they do not count as clients; of those who watch there is a bound too."""
    with Weir(conf(extra=ADMIN + "client: {max_connections: 3}\n"), Origin()) as w:
        clients = [Client(w) for _ in range(5)]
        assert clients[0].ask().status == 200
        s = eventually(lambda: (s := Scrape(admin(w)))("weir_client_connections", state="open") == 3 and s)
        assert s("weir_client_connections_max") == 3
        assert s("weir_accept_pauses_total", reason="max_connections") >= 1
        assert s("weir_accepted_connections_total", listener=w.addr) == 4       # and the one of wait_ready
        watchers = [Client(admin(w)) for _ in range(32)]
        for c in watchers:
            assert c.ask(target="/healthz").status == 200
        # One more takes the place of who was idle for longest.
        more = Client(admin(w))
        assert more.ask(target="/healthz").status == 200
        assert watchers[0].wait_closed() and watchers[1].ask(target="/healthz").status == 200


def test_pages_are_made_in_turn():
    """Many who ask at once for long ones do not hold up clients."""
    routes = "[" + ", ".join(f"{{path: /{i}, upstream: up, name: {'r' * 500}{i}}}" for i in range(1000)) + "]"
    with Weir(conf(routes=routes, extra=ADMIN), Origin()) as w:
        watchers = [Client(admin(w)) for _ in range(30)]
        for c in watchers:
            assert c.ask(target="/healthz").status == 200
        client = Client(w)
        assert client.ask(target="/1").status == 200
        os.kill(w.pid, signal.SIGSTOP)
        for c in watchers:
            c.request(target="/metrics")
        client.request(target="/1")
        os.kill(w.pid, signal.SIGCONT)
        assert client.recv_response().status == 200
        told = len(select.select([c.sock for c in watchers], [], [], 0)[0])
        assert told < 25, told
        pages = [Background(c.recv_response) for c in watchers]
        assert all(b.result().complete for b in pages)


def test_who_holds_on_shuts_nobody_out():
    """Idle ones, half requests, and readers of last answers who do not read: bounded, and no client's loss."""
    routes = "[" + ", ".join(f"{{path: /{i}, upstream: up, name: {'r' * 500}{i}}}" for i in range(1000)) + "]"
    with Weir(conf(routes=routes, extra=ADMIN + "client: {max_connections: 40}\n"), Origin()) as w:
        asked = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
        clients = []
        for data, reads in ((b"", False), (asked, False), (asked + b"Connection: close\r\n\r\n", True),
                            (asked + b"\r\n", True)):
            for _ in range(50):
                clients.append(Client(admin(w), rcvbuf=4096))
                clients[-1].send(data)
                if reads:
                    clients[-1].recv_exactly(10)
            assert get(admin(w), "/healthz").status == 200 and get(w, "/1").status == 200
            s = Scrape(admin(w))
            assert s("weir_client_connections", state="closing") <= 1, data
            assert s("process_open_fds") < 32 + 40, data
            assert s("weir_accept_pauses_total", reason="max_connections") == 0


def test_it_says_that_it_stops():
    """Until the last request is over: 503 at /healthz, and numbers."""
    gate = Gate()

    def slow(conn, _):
        gate.wait()
        conn.answer("late")

    o = Origin(slow)
    w = Weir(conf(extra=ADMIN + "drain_timeout: 30s\n").replace("drain_timeout: 5s\n", ""), o)
    watcher = Client(admin(w))
    assert watcher.ask(target="/healthz").status == 200
    c = Client(w).request()
    o.wait()
    w.signal(signal.SIGTERM)
    eventually(lambda: get(admin(w), "/healthz").status == 503, what="it says so")
    r = get(admin(w), "/healthz")
    assert (r.body, r.get("Connection")) == (b"draining\n", "close")
    s = Scrape(admin(w))
    assert s("weir_draining") == 1 and s("weir_exchanges_in_flight", step="send") == 1
    status = json.loads(get(admin(w), "/status").body)
    assert status["state"] == "draining" and status["exchanges"]["steps"]["send"]["n"] == 1
    idle = Client(admin(w))         # who only stays connected does not hold it up
    gate.open()
    assert c.recv_response().body == b"late"
    assert w.wait() == 0
    assert idle.wait_closed()
    w.stop()


def test_the_next_program_has_it():
    """USR2: at once that of the new process, also while the old one ends; who asks the old one still
    is not told to send nobody here."""
    gate = Gate()

    def slow(conn, r):
        if r.target == "/slow":
            gate.wait()
        conn.answer("done")

    o = Origin(slow)
    w = Weir(conf(extra=ADMIN), o)
    c = Client(w).request(target="/slow")
    o.wait()
    watcher = Client(admin(w))
    assert json.loads(watcher.ask(target="/status").body)["pid"] == w.pid
    w.signal(signal.SIGUSR2)
    m = eventually(lambda: re.search(r"upgrade: ok, process (\d+) takes over", w.stderr), 30, "it takes over")
    r = watcher.ask(target="/healthz")
    assert (r.status, r.body) == (200, b"OK\n") and w.process.poll() is None
    for _ in range(20):
        assert json.loads(get(admin(w), "/status").body)["pid"] == int(m.group(1))
    gate.open()
    assert c.recv_response().body == b"done"
    assert w.wait() == 0
    os.kill(int(m.group(1)), signal.SIGTERM)
    eventually(lambda: has_ended(m.group(1)), 20, "the new program ends")
    assert "books" not in w.stderr and w.stderr.rstrip().endswith("stopped"), w.stderr
    w.check_stderr()
    w.stopped = True


def test_a_socket_that_systemd_holds():
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen(64)
        with Weir(conf(extra=ADMIN), Origin(), PORT2=port, sockets=[s]) as w:
            assert get(admin(w), "/healthz").body == b"OK\n"
            assert "not name it" not in w.stderr


def test_a_watcher_that_does_not_read():
    """Its answers are bounded, and clients are served; it does not hold up the end."""
    routes = "[" + ", ".join(f"{{path: /{i}, upstream: up, name: {'r' * 500}{i}}}" for i in range(300)) + "]"
    with Weir(conf(routes=routes, extra=ADMIN), Origin()) as w:
        c = Client(admin(w), rcvbuf=4096)
        c.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        for _ in range(20):
            assert get(w, "/1").status == 200
        with open(f"/proc/{w.pid}/status", encoding="ascii") as f:
            kept = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        assert VALGRIND or kept < 200 * 1024, kept
        r = c.recv_response()
        assert r.complete and len(r.body) > 300 * 500 * 3




if __name__ == "__main__":
    main()
