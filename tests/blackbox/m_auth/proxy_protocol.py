# SPDX-License-Identifier: MIT
"""PROXY protocol: who connects says whose connection it is, if he is believed; and servers are told."""
import os
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import Authority  # noqa: E402

V2 = b"\r\n\r\n\0\r\nQUIT\n"
LISTEN = '{address: "127.0.0.1:$PORT", proxy_protocol: true}'
TRUST = "trusted_proxies: [127.0.0.1]\n"


def v2(source="192.0.2.7", dest="198.51.100.1", sport=4711, dport=443, tlvs=b"", command=1):
    body = socket.inet_aton(source) + socket.inet_aton(dest) + struct.pack("!HH", sport, dport) + tlvs
    return V2 + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(body)) + body


def v1(source="192.0.2.7", dest="198.51.100.1", sport=4711, dport=443):
    return f"PROXY TCP4 {source} {dest} {sport} {dport}\r\n".encode()


def daemon(o, extra=TRUST, listen=LISTEN, **more):
    return Weir(conf(listen=listen, extra=extra, **more), o)


def ask(w, header, pieces=1, source=None, headers=()):
    """A header, cut into pieces, with a request right behind it."""
    c = Client(w, source=source)
    data = header + b"GET / HTTP/1.1\r\nHost: a\r\n" + \
        b"".join(f"{n}: {v}\r\n".encode() for n, v in headers) + b"Connection: close\r\n\r\n"
    for i in range(pieces):
        c.send(data[len(data) * i // pieces:len(data) * (i + 1) // pieces])
    return c.recv_response()


def test_v1_and_v2():
    o = Origin()
    with daemon(o) as w:
        for n, header in enumerate([v1(), v2(), v2(tlvs=b"\x01\0\x02h2\x05\0\0")], 1):
            assert ask(w, header).status == 200
            r = o.wait(n)
            assert r.get("X-Forwarded-For") == r.get("X-Real-IP") == "192.0.2.7", r
            assert r.get("X-Forwarded-Port") == "443", r
            assert w.last(n)["client"] == "192.0.2.7"
        for pieces in (2, 7, 40, 100):
            assert ask(w, v1(), pieces).status == 200
            assert ask(w, v2(tlvs=b"\x04\0\x20" + b"x" * 32), pieces).status == 200


def test_v6_and_the_whole_life():
    o = Origin()
    head = V2 + b"\x21\x21\0\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + \
        socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!HH", 1, 2)
    with daemon(o, route="response_headers: {set: {X-Peer: $peer_ip}}") as w:
        c = Client(w)
        c.send(head)
        for _ in range(3):
            assert c.ask().get("X-Peer") == "2001:db8::9"
        assert [x["client"] for x in w.log(3)] == ["2001:db8::9"] * 3
        c = Client(w)
        c.send(b"PROXY TCP6 2001:db8::8 ::1 1 2\r\n")
        assert c.ask().get("X-Peer") == "2001:db8::8"


def test_who_does_not_say():
    """LOCAL, UNSPEC, UNKNOWN and a unix socket: the address of who connects."""
    o = Origin()
    unix = V2 + b"\x21\x31\0\xd8" + b"/run/x".ljust(108, b"\0") * 2
    with daemon(o) as w:
        for n, header in enumerate([V2 + b"\x20\0\0\0", v2(command=0), V2 + b"\x21\0\0\x03\x01\0\0",
                                    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c\r\n", unix], 1):
            assert ask(w, header).status == 200, header
            assert o.wait(n).get("X-Forwarded-For") == "127.0.0.1"


def test_what_it_says_is_the_peer():
    """X-Forwarded-For is believed when the announced address may send it, not for who announced it."""
    o = Origin()
    with daemon(o, extra="trusted_proxies: [127.0.0.1, 10.0.0.0/8]\n") as w:
        assert ask(w, v2(), headers=[("X-Forwarded-For", "203.0.113.5")]).status == 200
        assert o.wait(1).get("X-Real-IP") == "192.0.2.7"
        assert ask(w, v2(source="10.1.1.1"), headers=[("X-Forwarded-For", "203.0.113.5")]).status == 200
        r = o.wait(2)
        assert r.get("X-Real-IP") == "203.0.113.5", r
        assert r.get("X-Forwarded-For") == "203.0.113.5, 10.1.1.1", r


def test_limits_are_of_the_announced():
    with daemon(Origin(), extra=TRUST + "limits: {l: {rate: 1/h}}\n", route="limit: l") as w:
        assert ask(w, v2()).status == 200
        assert ask(w, v1()).status == 429
        assert ask(w, v2(source="192.0.2.8")).status == 200


def refused(w, data, shut=False, source=None):
    """Closed without a word."""
    c = Client(w, source=source)
    with contextlib.suppress(OSError):
        c.send(data)
        if shut:
            c.shutdown()
    got = c.recv_all()
    assert got == b"", got
    c.close()


def test_who_is_not_believed():
    o = Origin()
    with daemon(o) as w:
        for data in (v1(), v2(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01"):
            refused(w, data, source="127.0.0.2")
        assert "PROXY header of client 127.0.0.2 failed: it is not in trusted_proxies" in w.stderr
        assert w.stderr.count("PROXY header") == 1, "once in a while"
        assert ask(w, v2()).status == 200
        assert len(o.requests) == 1


def test_what_is_none():
    o = Origin()
    with daemon(o) as w:
        whole = v2()
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n",
                     b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\n", b"PROXY " + b"x" * 200,
                     whole.replace(b"\0\x0c", b"\0\x0b"), whole.replace(b"\0\x0c", b"\0\x0d") + b"GET",
                     whole.replace(b"\x21\x11", b"\x31\x11"), V2 + b"\x21\x11\xff\xff"):
            refused(w, data)
        for n in range(1, len(whole), 5):
            refused(w, whole[:n], shut=True)
        refused(w, b"PROXY TCP4 1.2", shut=True)
        assert "PROXY header of client 127.0.0.1 failed: it does not begin like one" in w.stderr
        Client(w).close()           # who only looks is no news
        assert ask(w, whole).status == 200
        assert len(w.log()) == 1 and len(o.requests) == 1


def test_all_are_counted():
    with daemon(Origin(), extra=TRUST + "client: {header_timeout: 300ms}\nadmin: {listen: $PORT2}\n") as w:
        assert ask(w, v1()).status == ask(w, v2(command=0)).status == 200
        refused(w, v2(), source="127.0.0.2")
        refused(w, b"GET / HTTP/1.1\r\n\r\n")
        refused(w, v2().replace(b"\0\x0c", b"\0\x0b"))
        refused(w, v2()[:20], shut=True)
        refused(w, v2()[:20])
        Client(w).close()
        text = eventually(lambda: get(f"127.0.0.1:{w.names['PORT2']}", "/metrics").body.decode())
        got = {k: int(n) for k, n in re.findall(r'^weir_proxy_headers_total\{outcome="(\w+)"\} (\d+)', text, re.M)}
        assert got == {"ok": 2, "untrusted": 1, "malformed": 2, "cut": 1, "timeout": 1}, got


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_checksum():
    empty = v2(tlvs=b"\x03\0\x04\0\0\0\0")
    good = empty[:-4] + struct.pack("!I", crc32c(empty))
    assert crc32c(b"123456789") == 0xe3069283
    with daemon(Origin()) as w:
        assert ask(w, good).status == 200
        assert ask(w, good, len(good) + 1).status == 200, "byte by byte"
        refused(w, good.replace(socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.8")))
        refused(w, empty)
        assert "failed: its checksum is wrong" in w.stderr


def test_its_length_lies():
    """More bytes are announced than come: what would be a request is not taken for one."""
    with daemon(Origin(), extra=TRUST + "client: {header_timeout: 300ms}\n") as w:
        refused(w, v2().replace(b"\0\x0c", b"\x03\x0c") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert "PROXY header of client 127.0.0.1 failed: it did not come in time" in w.stderr


def test_too_slow():
    with daemon(Origin(), extra=TRUST + "client: {header_timeout: 300ms}\n") as w:
        refused(w, b"")
        refused(w, V2)
        assert ask(w, v2()).status == 200


def test_tls_behind_it():
    ca = Authority()
    leaf = ca.issue("a.example")
    listen = f'{{address: "127.0.0.1:$PORT", proxy_protocol: true, tls: {{certificates: [{leaf}]}}}}'
    o = Origin()
    with daemon(o, listen=listen) as w:
        context = ssl.create_default_context(cafile=str(ca.cert))
        for n, header in enumerate((v1(), v2()), 1):
            # Header and ClientHello in one segment.
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
            c = Client(w)
            first = header
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    c.send(first + outgoing.read())
                    first = b""
                    incoming.write(c.recv_some())
            tls.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            c.send(outgoing.read())
            answer = b""
            while b"\r\n\r\n" not in answer:
                incoming.write(c.recv_some())
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += tls.read()
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert o.wait(n).get("X-Real-IP") == "192.0.2.7"
            c.close()


def test_request_and_end_in_one():
    """The FIN may be there before anybody looks at the request."""
    with daemon(Origin()) as w:
        for n in range(1, 6):
            c = Client(w)
            c.send(v2() + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            c.shutdown()
            assert w.last(n)["client"] == "192.0.2.7"
        c = Client(w)
        c.send(v2() + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        assert [c.recv_response().status for _ in range(3)] == [200] * 3


def test_a_unix_peer_is_believed():
    listen = '{address: "127.0.0.1:$PORT"}, {address: "unix:$DIR/s", proxy_protocol: true}'
    o = Origin()
    with daemon(o, listen=listen, extra="") as w:
        assert ask(f"unix:{w.dir}/s", v2()).status == 200
        assert o.wait(1).get("X-Real-IP") == "192.0.2.7"
        assert get(w).status == 200, "the other listener is as ever"


# --- to servers ----------------------------------------------------------------------------------

class Told(Origin):
    """A server that wants a header first; what it was told is in told."""

    def __init__(self, context=None, **more):
        self.told, self.context = [], context
        super().__init__(**more)

    def _serve(self, conn):
        def take(n):                # not a byte more: what is behind it may be TLS
            return conn.sock.recv(n, socket.MSG_WAITALL) if n else b""

        with contextlib.suppress(Closed):
            assert take(12) == V2
            command, family, n = struct.unpack("!BBH", take(4))
            body = take(n)
            size = {0: 0, 1: 4, 2: 16}[family >> 4]
            ips = [socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, body[i:i + size])
                   for i in (0, size)] if size else []
            self.told.append((command, *ips, *struct.unpack("!HH", body[2 * size:] or b"\0" * 4)))
            if self.context:
                conn.sock = self.context.wrap_socket(conn.sock, server_side=True)
            super()._serve(conn)


def test_servers_are_told():
    o = Told()
    with Weir(conf(up="proxy_protocol: v2", extra=TRUST), o) as w:
        c = Client(w)
        port = c.sock.getsockname()[1]
        assert [c.ask(body=b"x" * n, method="POST").status for n in (1, 100000)] == [200, 200]
        assert o.told == [(0x21, "127.0.0.1", "127.0.0.1", port, w.port)] * 2
        eventually(lambda: not o.open_conns)
        assert len(o.conns) == 2, "no connection serves two requests"
        assert get(w, headers={"X-Forwarded-For": "192.0.2.9"}).status == 200
        assert o.told[2] == (0x21, "192.0.2.9", "127.0.0.1", 0, w.port)
        assert get(w, headers={"X-Forwarded-For": "2001:db8::1"}).status == 200
        assert o.told[3] == (0x21, "2001:db8::1", "::ffff:127.0.0.1", 0, w.port)


def test_servers_that_speak_tls_are_told_before():
    ca = Authority()
    leaf = ca.issue("a.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.cert, leaf.key)
    o = Told(context)
    up = f"servers: ['https://$O1'], proxy_protocol: v2, tls: {{ca: {ca.cert}, server_name: a.example}}"
    with Weir(conf(up=up), o) as w:
        assert [get(w).status for _ in range(3)] == [200] * 3
        assert [t[:3] for t in o.told] == [(0x21, "127.0.0.1", "127.0.0.1")] * 3


def test_health_checks_speak_for_themselves():
    o = Told()
    with Weir(conf(up="proxy_protocol: v2, health_check: {interval: 100ms}"), o) as w:
        eventually(lambda: len(o.told) >= 2)
        assert set(o.told) == {(0x20, 0, 0)}, o.told
        assert get(w).status == 200
        assert (0x21, "127.0.0.1", "127.0.0.1") in [t[:3] for t in o.told]


def test_through_and_through():
    o = Told()
    with daemon(o, up="proxy_protocol: v2") as w:
        assert ask(w, v1()).status == 200
        assert o.told == [(0x21, "192.0.2.7", "198.51.100.1", 4711, 443)]


def test_another_try_is_told_too():
    dead, o = Origin(), Told()
    dead.stop()
    with Weir(conf(2, up="proxy_protocol: v2"), dead, o) as w:
        assert [get(w).status for _ in range(2)] == [200, 200]
        assert len(o.told) == 2


def test_configuration():
    with folder() as d:
        path = os.path.join(d, "a.yaml")
        for text, words in (
                ("listen: [{address: 80, proxy_protocol: true}]\n",
                 "listen[0].proxy_protocol: nobody is believed, name those who send it in trusted_proxies"),
                ("listen: [{address: 80, proxy_protocol: v1}]\n", "is neither true nor false"),
                ('listen: ["unix:/tmp/x", {address: "unix:/tmp/y", proxy_protocol: true}]\n', None)):
            with open(path, "w", encoding="ascii") as f:
                f.write(text + "routes: [{path: /, respond: {}}]\n")
            code, out, err = run_weir("-t", "-c", path)
            assert (code, words is None or words in out + err) == (1 if words else 0, True), out + err


if __name__ == "__main__":
    main()
