# SPDX-License-Identifier: MIT
"""Clients that show who they are, and those who only say so."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca, clients, strangers = Authority(), Authority("Clients"), Authority("Strangers")
pair = ca.issue("a.example")
USE = "extendedKeyUsage=clientAuth"
alice = clients.issue("alice", subject="/C=DE/O=Weir, Ltd/CN=alice", extensions=USE)
SUBJECT = "CN=alice,O=Weir\\, Ltd,C=DE"


def weir(more="", extra="", plain=False, **rest):
    entry = listen(pair, more=f", client_ca: {clients.cert}{more}")
    return Weir(conf(listen=entry + (', "127.0.0.1:$PORT2"' if plain else ""), extra=extra, **rest), Origin())


def origin():
    return [x for x in harness._live if isinstance(x, Origin)][-1]


def came(field="X-Client-Subject"):
    return origin().requests[-1].all(field)


def test_required():
    for version in ("1.2", "1.3"):
        with weir() as w:
            c = TlsClient(w, context=client_context(ca, alice, version=version))
            assert c.ask().status == 200 and came() == [SUBJECT]
            n = len(origin().requests)
            bad = [None, strangers.issue("alice", subject="/CN=alice", extensions=USE),
                   clients.issue("old", start=-9, days=-2, extensions=USE),
                   clients.issue("server", extensions="extendedKeyUsage=serverAuth")]
            for cert in bad:
                reason = handshake_error(w, context=client_context(ca, cert, version=version))
                assert "ALERT" in reason or reason in ("EOF", "RESET"), reason
            assert len(origin().requests) == n
            assert "TLS with client 127.0.0.1 failed: " in w.stderr


def test_optional():
    for version in ("1.2", "1.3"):
        with weir(", verify_client: optional") as w:
            assert TlsClient(w, context=client_context(ca, version=version)).ask().status == 200
            assert came() == []
            assert TlsClient(w, context=client_context(ca, alice, version=version)).ask().status == 200
            assert came() == [SUBJECT]
            wrong = strangers.issue("alice", extensions=USE)
            assert handshake_error(w, context=client_context(ca, wrong, version=version)) != "SERVED"


def test_an_authority_below_another():
    """Who trusts it does not trust what is above it."""
    team = Authority("Team", issuer=clients)
    carol = team.issue("carol", extensions=USE)
    text = conf(listen=listen(pair, more=f", client_ca: {team.cert}"))
    with Weir(text, Origin()) as w:
        assert TlsClient(w, context=client_context(ca, carol)).ask().status == 200
        assert came() == ["CN=carol"]
        assert handshake_error(w, context=client_context(ca, alice)) != "SERVED"


def test_subject_of_a_resumed_session():
    for version in ("1.2", "1.3"):
        with weir() as w:
            context = client_context(ca, alice, version=version)
            first = TlsClient(w, context=context)
            first.ask()
            again = TlsClient(w, context=context, session=first.sock.session)
            assert again.sock.session_reused
            again.ask()
            assert came() == [SUBJECT]


def test_nobody_says_so_himself():
    """On no listener, in no spelling, not in trailers, not through a trusted proxy."""
    lies = {"X-Client-Subject": "CN=root", "x-client-SUBJECT": "CN=root"}
    with weir(", verify_client: optional", extra="trusted_proxies: [127.0.0.0/8]\n"
              "client: {underscores_in_headers: true}", plain=True) as w:
        second = f"127.0.0.1:{w.names['PORT2']}"
        for c in (TlsClient(w, ca=ca), Client(second)):
            for name in (*lies, "X_Client_Subject", "X-Client_Subject"):
                c.ask(headers={name: "CN=root"})
                r = origin().requests[-1]
                assert not [n for n, _ in r.headers if "subject" in n.lower()], r.headers
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Client-Subject\r\n\r\n"
                   b"3\r\nabc\r\n0\r\nX-Client-Subject: CN=root\r\nX-Other: 1\r\n\r\n")
            c.recv_response()
            assert origin().requests[-1].trailers == [("X-Other", "1")], origin().requests[-1].trailers
        c = TlsClient(w, context=client_context(ca, alice))
        c.ask(headers=lies)
        assert came() == [SUBJECT]


def test_name_of_the_field():
    with weir(", subject_field: X-Who", route="request_headers: {set: {X-Copy: $http_x_who}}") as w:
        TlsClient(w, context=client_context(ca, alice)).ask(headers={"X-Who": "me", "X-Client-Subject": "passes"})
        assert came("X-Who") == [SUBJECT] and came("X-Copy") == [SUBJECT] and came("X-Client-Subject") == ["passes"]


def test_the_field_changes_its_name_by_reload():
    with weir(", subject_field: X-Who") as w:
        c = TlsClient(w, context=client_context(ca, alice))
        c.ask()
        with open(w.file, encoding="utf-8") as f:
            text = f.read()
        w.reload(text.replace("X-Who", "X-Name"))
        # The connection is older: it keeps its name, and nobody may use either.
        c.ask(headers={"X-Who": "root", "X-Name": "root"})
        assert came("X-Who") == [SUBJECT] and came("X-Name") == []
        TlsClient(w, context=client_context(ca, alice)).ask(headers={"X-Name": "root"})
        assert came("X-Name") == [SUBJECT]


def test_odd_subjects():
    """What stands in a field is printable and short, whatever a certificate says."""
    with weir() as w:
        for subject in ("/CN=m\xfcller", "/CN=a\tb", '/CN="quoted" <x>;,', "/CN=" + "x" * 60 + "/O=" + "y" * 60):
            cert = clients.issue("x", subject=subject, extensions=USE)
            c = TlsClient(w, context=client_context(ca, cert))
            assert c.ask().status == 200
            assert re.fullmatch(r"[ -~]{1,1024}", came()[0]), came()


def test_limit_by_subject():
    with Weir(conf(listen=listen(pair, more=f", client_ca: {clients.cert}"), route="limit: each",
                   extra='limits: {each: {key: "header:X-Client-Subject", rate: 1/m, burst: 0}}'), Origin()) as w:
        bob = clients.issue("bob", extensions=USE)
        got = [TlsClient(w, context=client_context(ca, who)).ask(headers={"X-Client-Subject": str(i)}).status
               for i, who in enumerate((alice, alice, bob))]
        assert got == [200, 429, 200], got


def test_no_cached_answer_of_somebody_else():
    """Who shows a certificate is who asks, as with Authorization (RFC 9111 3.5)."""
    bob = clients.issue("bob", extensions=USE)
    for field in ("X-Client-Subject", "X-Who"):
        o = Origin(lambda c, r: c.answer(r.get(r.target[1:], "nobody"),
                                         headers=[("Cache-Control", "public" if r.get("X-Public") else "max-age=60")]))
        text = conf(listen=listen(pair, more=f", client_ca: {clients.cert}, verify_client: optional, subject_field: {field}"),
                    route="cache: c", extra="caches: {c: {valid: {200: 1m}, methods: [GET, POST]}}")
        with Weir(text, o) as w:
            def ask(who, method="GET", headers=(), field=field):
                c = TlsClient(w, context=client_context(ca, who))
                return c.ask(method, f"/{field}", headers=headers, body=b"{}" if method == "POST" else None).body
            for method in ("GET", "POST"):
                assert ask(alice, method) == SUBJECT.encode()
                assert ask(bob, method) == b"CN=bob", method
                assert ask(None, method) == ask(None, method) == b"nobody"
                assert ask(alice, method) == SUBJECT.encode()
            # What the server says is for all is.
            assert ask(alice, headers={"X-Public": "1", "Cache-Control": "no-cache"}) == SUBJECT.encode()


if __name__ == "__main__":
    main()
