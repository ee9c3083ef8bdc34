# SPDX-License-Identifier: MIT
"""Clients whose greeting is odd, wrong, endless or meant for another port."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca, clients = Authority(), Authority("Clients")
pair, second = ca.issue("a.example"), ca.issue("b.example")
alice = clients.issue("alice", extensions="extendedKeyUsage=clientAuth")
BODY = "routes: [{path: /, respond: {body: tls}}]\n" + DEFAULTS
HANDSHAKE, ALERT = 22, 21
DECODE_ERROR, UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 50, 112, 120


def vector(data, size=2):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return kind.to_bytes(2, "big") + vector(data)


def hello(*extensions):
    """The records of a ClientHello of TLS 1.2 (RFC 5246 7.4.1.2) with these, and what it needs."""
    usual = (extension(10, vector(b"\x00\x1d\x00\x17")), extension(11, b"\x01\x00"), extension(13, vector(b"\x04\x03\x08\x04")))
    body = (b"\x03\x03" + os.urandom(32) + vector(b"", 1) + vector(b"\xc0\x2b\xc0\x2f") + vector(b"\x00", 1) +
            vector(b"".join((*usual, *extensions))))
    message = b"\x01" + vector(body, 3)
    return b"".join(b"\x16\x03\x01" + vector(message[i:i + 16384]) for i in range(0, len(message), 16384))


def sni(name):
    return extension(0, vector(b"\x00" + vector(name)))


def alpn(names):
    return extension(16, vector(names))


def answer(w, data, pieces=None):
    """HANDSHAKE when weir goes on, else the number of its alert."""
    c = Client(w)
    for i in range(0, len(data), pieces or len(data)):
        c.send(data[i:i + (pieces or len(data))])
    got = c.recv_exactly(7)
    c.close()
    return got[6] if got[0] == ALERT else got[0]


def test_names_that_are_none():
    with Weir(f"listen: [{listen(pair, second)}]\n" + BODY) as w:
        for name in (b"a.example", b"B.EXAMPLE.", b"", b".", b"." * 255, b"a" * 255, b"*.example", b"-", "ü.example".encode(),
                     b"\xff\xfe", b"127.0.0.1", b"a.example:443", b"../../etc/passwd", b"%s%n"):
            assert answer(w, hello(sni(name))) == HANDSHAKE, name
        for name in (b"a" * 256, b"x" * 60000, b"a.exam\x00ple", b"a.example\x00"):
            assert answer(w, hello(sni(name))) == UNRECOGNIZED_NAME, name
        assert answer(w, hello(extension(0, b"\x00\x05\x00\x00"))) == DECODE_ERROR
        assert TlsClient(w, ca=ca).ask().status == 200


def test_protocols_that_nobody_speaks():
    with Weir(f"listen: [{listen(pair)}]\n" + BODY) as w:
        for names in (b"\x08http/1.1", b"\x02h2\x08http/1.1", b"\x08http/1.0", b"\x01x" * 200 + b"\x08http/1.1"):
            assert answer(w, hello(alpn(names))) == HANDSHAKE, names
        for names in (b"\x02h2", b"\x08HTTP/1.1", b"\x08http/1.2", b"\x07http/1.", b"\xff" + b"x" * 255):
            assert answer(w, hello(alpn(names))) == NO_APPLICATION_PROTOCOL, names
        for names in (b"", b"\x00", b"\x09http/1.1", b"\x08http/1.1\x00"):
            assert answer(w, hello(alpn(names))) == DECODE_ERROR, names


def test_a_long_hello_in_single_bytes():
    """Padding (RFC 7685) to as much as one record takes, then to more than anybody needs."""
    with Weir(f"listen: [{listen(pair)}]\n" + BODY) as w:
        data = hello(sni(b"a.example"), extension(21, b"\x00" * 16100))
        assert len(data) > 16200 and answer(w, data, 1) == HANDSHAKE
        assert answer(w, hello(extension(21, b"\x00" * 60000))) == HANDSHAKE
        c = Client(w)
        with contextlib.suppress(OSError):   # a message that says that it is 16 MB
            c.send(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\x00" * 16380)
            for _ in range(100):
                c.send(b"\x16\x03\x01\x40\x00" + b"\x00" * 16384)
        c.wait_closed()
        assert TlsClient(w, ca=ca).ask().status == 200


def arrived(sock):
    """When the kernel got the first byte of what is there to be read."""
    sock.settimeout(30)
    _, told, _, _ = sock.recvmsg(1, 64)
    seconds, nanoseconds = struct.unpack("qq", told[0][2])
    return seconds * 10**9 + nanoseconds


def test_a_crowd_of_handshakes_lets_others_pass():
    """Each costs some milliseconds with such a key: who asks behind forty does not wait for all."""
    slow = ca.issue("a.example", kind="slow")
    timestamps = 35     # SO_TIMESTAMPNS
    with Weir(f'listen: [{listen(slow)}, "127.0.0.1:$PORT2"]\n' + BODY) as w:
        w.signal(signal.SIGSTOP)
        crowd = [Client(w) for _ in range(40)]
        for c in crowd:
            c.send(hello(extension(43, b"\x02\x03\x03")))
        other = Client(f"127.0.0.1:{w.names['PORT2']}")
        other.request()
        for c in (*crowd, other):
            c.sock.setsockopt(socket.SOL_SOCKET, timestamps, 1)
        w.signal(signal.SIGCONT)
        answered = arrived(other.sock)
        before = [t for t in map(arrived, (c.sock for c in crowd)) if t < answered]
        assert len(before) < 20, f"{len(before)} of 40 went first"


def test_tls_on_a_plain_port():
    with Weir('listen: ["127.0.0.1:$PORT"]\n' + BODY) as w:
        out = openssl("s_client", "-connect", w.addr, ok=False)
        assert "wrong version number" in out, out
        p = subprocess.run(["curl", "-sS", f"https://{w.addr}/"], capture_output=True, timeout=20, check=False)
        assert p.returncode == 35, p
        c = Client(w)
        c.send(hello())
        r = c.recv_response()
        assert r.status == 400 and b"looks like TLS" in r.body and b"http://" in r.body, r.body
        assert {(x["status"], x["end"], x["rule"]) for x in w.log(3)} == {(400, "bad_request", "speaks_tls")}


def test_sessions_of_another_listener():
    """What is asked of clients there is asked here too, whatever they were given elsewhere."""
    required, optional = f", client_ca: {clients.cert}", f", client_ca: {clients.cert}, verify_client: optional"
    ports = ["PORT", "PORT2", "PORT3"]
    entries = [listen(pair, port="$" + p, more=m) for p, m in zip(ports, ("", required, optional))]
    with Weir(f"listen: [{', '.join(entries)}]\n" + BODY) as w, folder() as d:
        def visit(i, version, *args):
            out = openssl("s_client", "-connect", f"127.0.0.1:{w.names[ports[i]]}", "-servername", "a.example", "-ign_eof",
                          version, *args, stdin=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ok=False)
            kind = re.findall(r"^(New|Reused), ", out, re.M)
            return kind[-1] if " 200 OK" in out else "refused"
        session = os.path.join(d, "session")
        for version in ("-tls1_2", "-tls1_3"):
            for i in range(3):
                mine = ("-cert", alice.cert, "-key", alice.key) if i == 1 else ()
                assert visit(i, version, *mine, "-sess_out", session) == "New"
                for j in range(3):
                    got = visit(j, version, "-sess_in", session)
                    assert got == ("Reused" if i == j else "refused" if j == 1 else "New"), (version, i, j, got)


def test_a_session_under_another_name():
    """RFC 6066 3, RFC 8446 4.6.1: it is for the name that it was made for."""
    with Weir(f"listen: [{listen(pair, second)}]\n" + BODY) as w, folder() as d:
        session = os.path.join(d, "session")
        for version in ("-tls1_2", "-tls1_3"):
            for name, kind in (("a.example", "New"), ("a.example", "Reused"), ("b.example", "New")):
                args = ("-sess_in", session) if os.path.exists(session) else ("-sess_out", session)
                out = s_client(w, version, "-ign_eof", *args, name=name,
                               stdin=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert re.search(rf"^{kind}, ", out, re.M), (version, name, kind, out)
                assert f"CN = {name}" in out or kind == "Reused", out
            os.unlink(session)


if __name__ == "__main__":
    main()
