# SPDX-License-Identifier: MIT
"""Servers that speak TLS: believed when they are who they should be, and said why not."""
# limit: 120
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
middle = Authority("Middle CA", issuer=ca)
other = Authority("Other CA")
ADDRESS = ("IP:127.0.0.1", "localhost")
good = ca.issue(*ADDRESS, subject="/CN=good")
UP = f"tls: {{ca: {ca.cert}}}, retry: {{tries: 1}}"


def ask(w, *args, **more):
    return get(w, *args, **more)


def test_believed():
    for pair in (good, middle.issue(*ADDRESS)):
        o = TlsOrigin(pair)
        with Weir(conf(up=UP), o) as w:
            for _ in range(3):
                assert ask(w).body == b"origin"
            assert len(o.conns) == 1, "kept alive"
            assert w.last(3)["server"] == o.addr and o.addr.startswith("https://")
            assert o.requests[0].get("Host") == "test.example"


def test_who_is_named_is_believed():
    """An authority that is no root, or the one certificate itself."""
    deep = middle.issue(*ADDRESS)
    for trust, ok in ((middle.cert, True), (deep.leaf, True), (good.leaf, False), (other.cert, False)):
        o = TlsOrigin(deep)
        with Weir(conf(up=f"tls: {{ca: {trust}}}, retry: {{tries: 1}}"), o) as w:
            assert ask(w).status == (200 if ok else 502), trust


def test_names():
    """By its address, by its name, by what it is said to be called; and asked for by SNI."""
    named = ca.issue("models.example", "*.wild.example")
    for server_name, ok in (("models.example", True), ("a.wild.example", True), ("b.example", False), ("", False),
                            ("a.b.wild.example", False), ("127.0.0.1", False)):
        o = TlsOrigin(named)
        tls = f"{{ca: {ca.cert}" + (f", server_name: {server_name}}}" if server_name else "}")
        with Weir(conf(up=f"tls: {tls}, retry: {{tries: 1}}"), o) as w:
            r = ask(w)
            assert r.status == (200 if ok else 502), (server_name, r.status)
            asked = o.names[0] if o.names else None
            assert asked == (server_name if server_name and server_name[0].isalpha() else None), o.names
            if not ok:
                assert (w.last()["end"], "mismatch" in w.last()["rule"]) == ("tls_verify", True), w.last()
    o = TlsOrigin(good)
    with Weir(conf(up=f"servers: [\"https://localhost:{o.port}\"], " + UP)) as w:
        assert ask(w).status == 200 and o.names == ["localhost"]


def test_not_believed():
    """Each for its reason, which the log has; 502 to the client, who is told nothing of it."""
    cases = [(ca.issue(*ADDRESS, start=-9, days=-2), "certificate has expired"),
             (ca.issue(*ADDRESS, start=2, days=9), "certificate is not yet valid"),
             (other.issue(*ADDRESS), "unable to get local issuer certificate"),
             (ca.issue("elsewhere.example", "IP:127.0.0.2"), "IP address mismatch"),
             (Pair(middle.issue(*ADDRESS).leaf, None, None), "unable to get local issuer certificate"),
             (ca.issue(*ADDRESS, extensions="extendedKeyUsage=clientAuth"), "unsuitable certificate purpose")]
    cases[4][0].key = cases[4][0].cert.replace(".leaf", ".key")
    for pair, why in cases:
        o = TlsOrigin(pair)
        with Weir(conf(up=UP), o) as w:
            r = ask(w, headers={"Accept": "application/json"})
            assert r.status == 502 and json.loads(r.body)["error"]["code"] == "tls_verify", (r, r.body)
            assert why.encode() not in r.body
            x = w.last()
            assert (x["end"], x["rule"]) == ("tls_verify", why), x
            assert not o.requests
            assert eventually(lambda: o.handshakes), "the server is told"


def test_self_signed():
    own = Authority("models.example")
    pair = Pair(own.cert, own.cert, own.key)
    o = TlsOrigin(pair)
    with Weir(conf(up=UP), o) as w:
        assert ask(w).status == 502
        assert "self-signed" in w.last()["rule"]
        w.reload(conf(up="tls: {verify: false}"))
        assert ask(w).status == 200


def test_verified_by_default():
    """Against the system's authorities, which here are those of SSL_CERT_FILE."""
    o = TlsOrigin(good)
    with Weir(conf(up="retry: {tries: 1}"), o) as w:
        assert ask(w).status == 502 and w.last()["end"] == "tls_verify"
    with Weir(conf(), o, env={"SSL_CERT_FILE": ca.cert}) as w:
        assert ask(w).status == 200


def test_a_machine_without_authorities():
    """As a slim container is without ca-certificates: nobody would be believed, which -t says."""
    with folder() as d:
        path, empty = os.path.join(d, "weir.yaml"), os.path.join(d, "empty")
        os.mkdir(empty)
        none = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": empty}

        def check(tls, env, server="https://a.example"):
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"listen: 8080\nupstreams:\n  up:\n    servers: ['{server}']\n{tls}")
            return run_weir("-t", "-c", path, env=env)
        for tls in ("", "    tls: {}\n", "    tls: {server_name: b.example}\n"):
            code, _, err = check(tls, none)
            assert code == 0 and re.search(r"weir\.yaml:\d:\d+: upstreams\.up\.tls\.ca: warning: this machine knows no "
                                           "authorities.*install ca-certificates", err), (tls, err)
            assert check(tls, {"SSL_CERT_FILE": ca.cert, "SSL_CERT_DIR": empty})[2] == ""
            assert check(tls, {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": ca.dir.path})[2] == ""
        for tls, server in (("    tls: {verify: false}\n", "https://a.example"), ("", "http://a.example"),
                            (f"    tls: {{ca: {ca.cert}}}\n", "https://a.example")):
            assert check(tls, none, server)[2] == ""
        code, _, err = run_weir("-t", "--listen", "8080", "--to", "https://a.example", env=none)
        assert code == 0 and "upstreams" in err and "no authorities" in err, err


def test_a_failure_like_others():
    """It counts, and another server is asked whatever the method."""
    bad, fine = TlsOrigin(other.issue(*ADDRESS), name="bad"), TlsOrigin(good, name="fine")
    with Weir(conf(2, up=f"tls: {{ca: {ca.cert}}}, max_fails: 2, fail_timeout: 60s"), bad, fine) as w:
        for _ in range(6):
            r = ask(w, method="POST", body=b"x")
            assert (r.status, r.body) == (200, b"fine")
        assert len(bad.conns) == 2, "left out after two"
        assert re.search(r"server https://\S+: left out .*tls_verify: unable to get local issuer", w.stderr)


def test_no_tls_there():
    for answer, words in ((b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "plain HTTP"),
                          (b"SSH-2.0-x\r\n", "plain HTTP"), (b"\x15\x03\x03\x00\x02\x02\x28", "handshake failure"),
                          (b"", "closed in the handshake")):
        s = socket.create_server(("127.0.0.1", free_port()))

        def serve(s=s, answer=answer):
            peer = s.accept()[0]
            peer.recv(65536)
            peer.sendall(answer)
            peer.close()
        server = Background(serve)
        with Weir(conf(up=f'servers: ["https://127.0.0.1:{s.getsockname()[1]}"], ' + UP)) as w:
            assert ask(w).status == 502
            server.result()
            x = w.last()
            assert x["end"] == "tls_failed" and words in x["rule"], x
        s.close()
    # And TLS where plain is expected: no answer that anybody could take for one.
    o = TlsOrigin(good)
    with Weir(conf(up=f"servers: [{o.tcp_addr}], retry: {{tries: 1}}")) as w:
        assert ask(w).status == 502


def test_handshake_that_takes_too_long():
    s = socket.create_server(("127.0.0.1", free_port()))
    port = s.getsockname()[1]
    with Weir(conf(up=f'servers: ["https://127.0.0.1:{port}"], timeouts: {{connect: 300ms}}, ' + UP)) as w:
        assert ask(w).status == 504 and w.last()["end"] == "connect_timeout"
    s.close()


def test_client_leaves_during_the_handshake():
    s = socket.create_server(("127.0.0.1", free_port()))
    port = s.getsockname()[1]
    with Weir(conf(up=f'servers: ["https://127.0.0.1:{port}"], ' + UP)) as w:
        c = Client(w).request()
        server = s.accept()[0]
        server.settimeout(10)
        assert server.recv(65536)[:1] == b"\x16"
        c.close()
        with contextlib.suppress(ConnectionError):
            assert server.recv(65536) == b""
        assert w.last()["end"] == "client_abort"
    s.close()


def test_own_certificate():
    clients = Authority("Clients")
    mine = clients.issue("weir", extensions="extendedKeyUsage=clientAuth")
    o = TlsOrigin(good, client_ca=clients)
    with Weir(conf(up=UP), o) as w:
        assert ask(w).status == 502
        eventually(lambda: o.handshakes)
        assert w.last()["end"] in ("tls_failed", "server_closed") and w.last()["rule"], w.last()
        w.reload(conf(up=f"tls: {{ca: {ca.cert}, certificate: {mine}}}"))
        assert ask(w).status == 200
        assert o.certificates[-1]["subject"] == ((("commonName", "weir"),),)
        assert re.search(r"certificate \S+ for weir: 90 days left", w.stderr)


def test_sessions_are_taken_up():
    for version in ("1.2", "1.3"):
        context = server_context(good)
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
        o = TlsOrigin(good, lambda c, r: c.answer("x", headers=[("Connection", "close")]), context=context)
        with Weir(conf(up=UP), o) as w:
            for _ in range(5):
                assert ask(w).status == 200
            assert o.resumed == [False] + [True] * 4, (version, o.resumed)
            # What was believed is looked at again when the configuration is.
            w.reload()
            assert ask(w).status == 200 and o.resumed[-1] is False
            assert ask(w).status == 200 and o.resumed[-1] is True


def test_a_session_is_no_way_around():
    """Its authority is gone from the file: the next connection is refused."""
    trust = ca.dir / "trust.pem"
    shutil.copy(ca.cert, trust)
    o = TlsOrigin(good, lambda c, r: c.answer("x", headers=[("Connection", "close")]))
    with Weir(conf(up=f"tls: {{ca: {trust}}}, retry: {{tries: 1}}"), o) as w:
        assert [ask(w).status for _ in range(2)] == [200, 200]
        shutil.copy(other.cert, trust)
        w.reload()
        assert ask(w).status == 502


def test_ends_that_are_not_said():
    """A body that only the end of the connection ends is whole only behind close_notify."""
    def handler(c, r):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbody")
        if r.target == "/said":
            c.sock.settimeout(1)
            with contextlib.suppress(ssl.SSLError, OSError):
                c.sock.unwrap()
        c.ours = True
        c.sock.settimeout(None)
        os.close(c.sock.detach())
    o = TlsOrigin(good, handler)
    with Weir(conf(up=UP), o) as w:
        c = Client(w).request(target="/said")
        r = c.recv_response()
        assert r.complete and r.body == b"body", r
        c = Client(w).request(target="/cut")
        r = c.recv_response()
        assert not r.complete and r.body == b"body", r
        assert [x["end"] for x in w.log(2)] == ["ok", "body_cut"]


def test_counted_answers_need_no_last_word():
    def handler(c, r):
        c.answer("x" * 1000)
        c.ours = True
        os.close(c.sock.detach())
    with Weir(conf(up=UP), TlsOrigin(good, handler)) as w:
        for _ in range(3):
            r = ask(w)
            assert r.complete and len(r.body) == 1000


def test_idle_connections_end_by_close_notify():
    """A server that closes between two requests is no failure."""
    def handler(c, r):
        c.answer("x")
        if r.target == "/last":
            time.sleep(0.05)
            with contextlib.suppress(ssl.SSLError, OSError):
                c.sock.settimeout(1)
                c.sock.unwrap()
            c.close()
    o = TlsOrigin(good, handler)
    with Weir(conf(up=UP), o) as w:
        for target in ("/last", "/x", "/last", "/x"):
            assert ask(w, target).status == 200
            eventually(lambda: target != "/last" or o.conns[-1].gone)
        assert {x["end"] for x in w.log(4)} == {"ok"}


def test_big_bodies_both_ways():
    data = os.urandom(1 << 16) * 200
    o = TlsOrigin(good, lambda c, r: c.answer(r.body))
    front = ca.issue("a.example")
    with Weir(conf(listen=listen(front) + ', "127.0.0.1:$PORT2"', up=UP), o) as w:
        # Each connects when it is its turn: who says nothing for long is not waited for.
        for connect in (lambda: TlsClient(w, ca=ca), lambda: Client(f"127.0.0.1:{w.names['PORT2']}")):
            c = connect()
            assert c.ask("POST", body=data).body == data
            assert c.ask("POST", body=[data], chunked=True).body == data


def test_streams_and_abort():
    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        assert c.wait_gone()
    o = TlsOrigin(good, handler)
    with Weir(conf(up=UP), o) as w:
        c = Client(w).request()
        c.recv_until(b"data: 1\n\n")
        c.close()
        eventually(lambda: o.conns[0].gone)
        assert o.conns[0].eof == "fin", "close_notify, then FIN"


def test_back_pressure():
    data = b"x" * (48 << 20)
    o = TlsOrigin(good, lambda c, r: c.answer(data), sndbuf=65536)
    with Weir(conf(up=UP), o) as w:
        c = Client(w, rcvbuf=65536).request()
        eventually(lambda: o.conns and o.conns[0].sent > 0)
        # What the kernel keeps on both sides of weir grows: some MB each.
        assert steady(lambda: o.conns[0].sent) < 24 << 20
        assert len(c.recv_response().body) == len(data)


def test_tunnel():
    def echo(c, r):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        while True:
            c.send(c.recv_some())
    o = TlsOrigin(good, echo)
    with Weir(conf(up=UP), o) as w:
        c = Client(w)
        c.request(headers={"Connection": "upgrade", "Upgrade": "x"})
        assert c.recv_response().status == 101
        for i in range(100):
            c.send(b"%04d" % i)
            assert c.recv_exactly(4) == b"%04d" % i
        c.shutdown()
        eventually(lambda: o.conns[0].eof)
        assert o.conns[0].eof == "fin"


def test_addresses():
    o = TlsOrigin(good)
    with Weir(args=["--listen", "127.0.0.1:$PORT", "--to", f"https://localhost:{o.port}"], PORT=free_port(),
              env={"SSL_CERT_FILE": ca.cert}) as w:
        assert ask(w).status == 200
    with folder() as d:
        path = os.path.join(d, "weir.yaml")

        def check(servers, more=""):
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"listen: 8080\nupstreams: {{up: {{servers: {servers}{more}}}}}\n")
            return run_weir("-T", "-c", path)
        code, out, _ = check('["https://a.example", "https://[::1]", "http://b.example", "https://c.example:8443"]')
        assert code == 0
        assert re.findall(r'address: "(\S+)"', out)[-4:] == ["https://a.example:443", "https://[::1]:443",
                                                             "b.example:80", "https://c.example:8443"], out
        for servers, more, words in (
                ('["https://a.example/v1"]', "", "without a path"), ('["https://"]', "", "no address"),
                ('["https://unix:/x"]', "", "without a path"), ('["ftp://x:1"]', "", "no address"),
                ('["https://a:1", "https://a:1"]', "", "is there twice"),
                ('["a:1"]', ", tls: {verify: false}", "begins with https://"),
                ('["https://a:1"]', ", tls: {ca: /no}", "up.tls.ca: /no: there is no such file"),
                ('["https://a:1"]', ", tls: {verify: false, ca: /no}", "no effect with verify"),
                ('["https://a:1"]', ', tls: {server_name: "a b"}', "up.tls.server_name"),
                ('["https://a:1"]', f", tls: {{certificate: {{cert: {good.cert}}}}}", "certificate.key: missing"),
                ('["https://a:1"]', f", tls: {{certificate: {{cert: {good.cert}, key: {ca.key}}}}}", "does not belong"),
        ):
            code, out, err = check(servers, more)
            assert code == 1 and words in err, (servers, more, err)


def test_one_address_two_ideas_of_it():
    """Another idea of who has to be there is another server: no connection is shared."""
    o = TlsOrigin(good)
    text = (f"listen: '127.0.0.1:$PORT'\nupstreams:\n  a: {{servers: [$O1], {UP}}}\n"
            "  b: {servers: [$O1], tls: {verify: false}}\n"
            "routes: [{path: /a, upstream: a}, {path: /, upstream: b}]\n" + DEFAULTS)
    with Weir(text, o) as w:
        for target in ("/a", "/b", "/a", "/b"):
            assert ask(w, target).status == 200
        assert [len(c.requests) for c in o.conns] == [2, 2]


def test_reload_keeps_idle_connections():
    o = TlsOrigin(good)
    with Weir(conf(up=UP + ", keepalive: {timeout: 60s}"), o) as w:
        for _ in range(3):
            ask(w)
            w.reload()
        assert len(o.conns) == 1
        text = w.fill(conf(up=UP + ", keepalive: {timeout: 60s}"))
        w.reload(text.replace(ca.cert, "/nowhere.pem"), ok=False)
        assert ask(w).status == 200 and len(o.conns) == 1


if __name__ == "__main__":
    main()
