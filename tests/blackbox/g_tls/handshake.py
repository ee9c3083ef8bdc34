# SPDX-License-Identifier: MIT
"""Until a client is understood: versions, names, protocols, limits; and those who are not."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
pair = ca.issue("a.example", "127.0.0.1", "IP:127.0.0.1")


def served(text="tls", **more):
    return conf(listen=listen(pair, **more), routes=f"[{{path: /, respond: {{status: 200, body: {text}}}}}]",
                ).replace("upstreams:\n  up: {servers: [$O1]}\n", "")


def subject(c):
    return dict(x[0] for x in c.sock.getpeercert()["subject"])["commonName"]


def test_versions():
    with Weir(served()) as w:
        for version in ("1.2", "1.3"):
            c = TlsClient(w, ca=ca, context=client_context(ca, version=version))
            assert c.sock.version() == "TLSv" + version
            assert c.ask().body == b"tls"
            assert c.sock.compression() is None
        old = client_context(version="1.1")
        old.set_ciphers("ALL:@SECLEVEL=0")
        assert handshake_error(w, context=old) == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_min_version():
    with Weir(served(more=", min_version: 1.3")) as w:
        assert handshake_error(w, context=client_context(version="1.2")) == "TLSV1_ALERT_PROTOCOL_VERSION"
        assert TlsClient(w, ca=ca).ask().body == b"tls"


def test_ciphers():
    with Weir(served(more=", ciphers: ECDHE-ECDSA-AES256-GCM-SHA384, ciphersuites: TLS_CHACHA20_POLY1305_SHA256")) as w:
        c = TlsClient(w, context=client_context(ca, version="1.2"))
        assert c.sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        c = TlsClient(w, context=client_context(ca, version="1.3"))
        assert c.sock.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
        other = client_context(version="1.2")
        other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert handshake_error(w, context=other) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
        eventually(lambda: re.search(r"TLS with client 127\.0\.0\.1 failed: no shared cipher", w.stderr))


def test_names():
    pairs = [ca.issue("first.example"), ca.issue("exact.wild.example", "Second.example"),
             ca.issue("*.wild.example"), ca.issue("ip.example")]
    text = served().replace(listen(pair), listen(*pairs))
    with Weir(text) as w:
        for name, want in (("first.example", "first.example"), ("second.example", "exact.wild.example"),
                           ("SECOND.example", "exact.wild.example"), ("exact.wild.example", "exact.wild.example"),
                           ("other.wild.example", "*.wild.example"), ("deep.other.wild.example", "first.example"),
                           ("wild.example", "first.example"), ("unknown.example", "first.example"),
                           (None, "first.example"), ("ip.example", "ip.example")):
            for version in ("1.2", "1.3"):
                context = client_context(ca, version=version)
                context.check_hostname = False
                c = TlsClient(w, name, context=context)
                assert subject(c) == want, (name, version, subject(c))
                assert c.ask(host=name or "x").status == 200
                c.close()


def test_two_kinds_of_key():
    """RSA and ECDSA for one name: each client gets what it can check."""
    text = served().replace(listen(pair), listen(pair, ca.issue("b.example", kind="rsa"),
                                                 ca.issue("b.example", kind="ec")))
    with Weir(text) as w:
        for kind in ("RSA", "ECDSA"):
            context = client_context(ca, version="1.2")
            context.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
            assert TlsClient(w, "b.example", context=context).ask().status == 200


def test_protocols():
    with Weir(served()) as w:
        for offered, chosen in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), ([], None),
                                (["http/1.0"], "http/1.0")):
            c = TlsClient(w, context=client_context(ca, alpn=offered))
            assert c.sock.selected_alpn_protocol() == chosen
            assert c.ask().status == 200
        assert handshake_error(w, context=client_context(alpn=["h2"])) not in ("EOF", "RESET")
        assert "failed: no application protocol" in w.stderr


def test_plain_http_is_told_so():
    with Weir(served()) as w:
        for method in ("GET", "POST", "OPTIONS", "PATCH"):
            c = Client(w).request(method, "/x")
            r = c.recv_response()
            assert r.status == 400 and b"https://" in r.body, (r, r.body)
            assert r.get("Connection") == "close" and c.wait_closed() == "fin"
        r = get(w, headers={"Accept": "application/json"})
        assert json.loads(r.body)["error"]["code"] == "plain_http"
        assert {(x["end"], x["rule"]) for x in w.log(5)} == {("bad_request", "plain_http")}


def test_no_tls_at_all():
    """Not TLS, not HTTP: the connection ends, and nothing is logged as a request."""
    with Weir(served()) as w:
        for data in (b"\x00\x01\x02", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02" + b"x" * 40,
                     b"\x16\x03\x01\xff\xff" + b"y" * 3000, b"SSH-2.0-OpenSSH\r\n", b"\xff" * 100000):
            c = Client(w)
            with contextlib.suppress(OSError):
                c.send(data)
                c.shutdown()
            c.wait_closed()
        assert TlsClient(w, ca=ca).ask().status == 200
        assert [x["target"] for x in w.log(2) if x["status"] == 200] == ["/"]


def test_byte_by_byte():
    for version in ("1.2", "1.3"):
        with Weir(served()) as w:
            m = Memory(w, context=client_context(ca, version=version))
            m.carry = lambda data: [m.raw.send(data[i:i + 1]) for i in range(len(data))]
            m.handshake()
            for part in (b"GET / HTTP/1.1\r\nHo", b"st: a.example\r\n\r\n"):
                m.carry(m.seal(part))
            assert m.read_until(b"tls").startswith(b"HTTP/1.1 200")


def test_records_in_one_packet():
    """The end of the handshake and what follows it may come together."""
    with Weir(served()) as w:
        m = Memory(w, ca=ca)
        held = []
        m.carry = lambda data: data and held.append(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            m.tls.do_handshake()
        m.raw.send(m.outgoing.read())
        while True:                 # the server's whole flight
            m.incoming.write(m.raw.recv_some())
            with contextlib.suppress(ssl.SSLWantReadError):
                m.tls.do_handshake()
                break
        finished = m.outgoing.read()
        assert finished
        m.raw.send(finished + m.seal(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"))
        m.carry = m.raw.send
        got = b""
        while got.count(b"tls") < 2:
            got += m.read()
        assert [x["target"] for x in w.log(2)] == ["/1", "/2"]


@not_under_memcheck("a handshake has 400 ms")
def test_handshake_has_a_limit():
    with Weir(served() + "client: {header_timeout: 400ms}\n") as w:
        TlsClient(w, ca=ca).ask()
        base = w.descriptors()
        silent = Client(w)
        m = Memory(w, ca=ca)
        with contextlib.suppress(ssl.SSLWantReadError):
            m.tls.do_handshake()
        hello = m.outgoing.read()
        half = m.raw
        half.send(hello[:len(hello) // 2])
        slow = Client(w)
        feed = Background(lambda: [(slow.send(hello[i:i + 1]), time.sleep(0.05)) for i in range(len(hello))])
        unfinished = Client(w)
        unfinished.send(hello)
        for c in (silent, half, slow):
            c.wait_closed()
        unfinished.recv_all()
        with contextlib.suppress(OSError):
            feed.result()
        eventually(lambda: w.descriptors() <= base)
        assert TlsClient(w, ca=ca).ask().status == 200
        assert len(w.log(2)) == 2, "a handshake is no request"


def test_clients_that_leave_in_the_handshake():
    with Weir(served()) as w:
        TlsClient(w, ca=ca).ask()
        base = w.descriptors()
        m = Memory(w, ca=ca)
        with contextlib.suppress(ssl.SSLWantReadError):
            m.tls.do_handshake()
        hello = m.outgoing.read()
        for cut in (0, 1, 5, 100, len(hello)):
            for how in ("close", "reset", "shutdown"):
                c = Client(w)
                c.send(hello[:cut])
                getattr(c, how)()
                if how == "shutdown":
                    c.wait_closed()
        eventually(lambda: w.descriptors() <= base + 1)
        assert "TLS with client" not in w.stderr


def test_handshakes_count_as_connections():
    with Weir(served() + "client: {max_connections: 4}\n") as w:
        waiting = [Client(w) for _ in range(4)]
        late = Background(lambda: TlsClient(w, ca=ca).ask().status)
        steady(w.descriptors, quiet=0.3)
        assert late.is_alive()
        waiting[0].close()
        assert late.result() == 200


def test_stop_with_handshakes_under_way():
    w = Weir(served())
    silent = Client(w)
    TlsClient(w, ca=ca).ask()
    w.signal(signal.SIGTERM)
    silent.wait_closed()
    assert w.wait() == 0
    w.stop()


def test_a_handshake_during_the_drain_is_served():
    w = Weir(served())
    m = Memory(w, ca=ca)
    with contextlib.suppress(ssl.SSLWantReadError):
        m.tls.do_handshake()
    m.raw.send(m.outgoing.read())
    m.incoming.write(m.raw.recv_some())
    w.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in w.stderr)
    m.handshake()
    m.carry(m.seal(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    got = m.read_until(b"tls")
    assert got.startswith(b"HTTP/1.1 200") and b"Connection: close" in got
    assert w.wait() == 0
    w.stop()


def test_renegotiation_is_off():
    with Weir(served()) as w:
        out = s_client(w, "-tls1_2", "-CAfile", ca.cert, stdin=b"R\n", ok=False)
        assert "Verification: OK" in out and "RENEGOTIATING" in out, out
        assert re.search(r"no renegotiation|ssl handshake failure|closed|unexpected eof", out), out
        assert "Compression: NONE" in out
        assert TlsClient(w, ca=ca).ask().status == 200


def test_a_record_sent_twice():
    """It is no valid record: the session ends at once, whatever follows."""
    for version in ("1.2", "1.3"):
        with Weir(served()) as w:
            m = Memory(w, context=client_context(ca, version=version)).handshake()
            record = m.seal(b"GET / HTTP/1.1\r\n")
            m.raw.send(record)
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    m.raw.send(record)
            m.raw.wait_closed()
            assert TlsClient(w, ca=ca).ask().status == 200


def test_early_data_is_off():
    with Weir(served()) as w, folder() as d:
        session = os.path.join(d, "session")
        s_client(w, "-tls1_3", "-ign_eof", "-sess_out", session,
                 stdin=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert "Max Early Data: 0" in openssl("sess_id", "-in", session, "-noout", "-text")


def test_many_at_once_and_a_stream_between():
    gate = Gate()

    def handler(c, r):
        if r.target != "/stream":
            c.answer("x")
            return
        c.chunked_head("text/event-stream")
        while not gate.event.is_set():
            c.chunk(b"data: 1\n\n")
            time.sleep(0.01)
        c.last_chunk()
    with Weir(conf(listen=listen(pair)), Origin(handler)) as w:
        stream = TlsClient(w, ca=ca).request(target="/stream")
        stream.recv_until(b"data: 1\n\n")
        crowd = [Background(lambda: [TlsClient(w, ca=ca).ask().status for _ in range(10)]) for _ in range(12)]
        assert {s for b in crowd for s in b.result()} == {200}
        stream.recv_until(b"data: 1\n\n")
        gate.open()
        stream.recv_until(b"0\r\n\r\n")


def test_unix_socket():
    with folder() as d:
        path = os.path.join(d, "s")
        with Weir(served().replace('"127.0.0.1:$PORT"', f'"unix:{path}"'), ready="unix:" + path) as w:
            w.addr = "unix:" + path
            assert TlsClient("unix:" + path, ca=ca).ask().status == 200


if __name__ == "__main__":
    main()
