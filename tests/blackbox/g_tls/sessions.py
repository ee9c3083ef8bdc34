# SPDX-License-Identifier: MIT
"""Sessions that are taken up again: across reloads, and never where more is asked of a client."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca, other = Authority(), Authority("Other CA")
pair, second = ca.issue("a.example"), ca.issue("b.example")
client = ca.issue("client", extensions="extendedKeyUsage=clientAuth")
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def text_of(more="", pairs=(pair,)):
    return (f"listen: [{listen(*pairs, more=more)}]\n"
            "routes: [{path: /, respond: {body: tls}}]\n" + DEFAULTS)


def visit(w, *args, name="a.example", ok=True):
    """One request by s_client: "new" or "reused", by its own words."""
    out = s_client(w, "-ign_eof", "-CAfile", ca.cert, *args, stdin=REQUEST, name=name, ok=ok)
    assert "HTTP/1.1 200" in out, out
    return re.search(r"^(New|Reused), ", out, re.M).group(1).lower()


def test_resumed_across_reloads():
    for version in ("-tls1_2", "-tls1_3"):
        with Weir(text_of()) as w, folder() as d:
            session = os.path.join(d, "session")
            assert visit(w, version, "-sess_out", session) == "new"
            assert visit(w, version, "-sess_in", session) == "reused"
            w.reload()
            assert visit(w, version, "-sess_in", session) == "reused"
            w.reload(text_of(pairs=(second, pair)))
            assert visit(w, version, "-sess_in", session) == "reused", "with other certificates beside"
            renewed = ca.issue("a.example")
            w.reload(text_of(pairs=(renewed,)))
            assert visit(w, version, "-sess_in", session) == "reused", "with a new certificate"


def test_each_use_brings_the_next():
    """Clients of TLS 1.3 throw a ticket away once they have used it."""
    with Weir(text_of()) as w, folder() as d:
        old, new = os.path.join(d, "0"), os.path.join(d, "1")
        visit(w, "-tls1_3", "-sess_out", old)
        for _ in range(3):
            assert visit(w, "-tls1_3", "-sess_in", old, "-sess_out", new) == "reused"
            with open(old, "rb") as a, open(new, "rb") as b:
                assert a.read() != b.read(), "another ticket"
            os.rename(new, old)


def test_resumed_by_the_next_program():
    """USR2 hands the keys over with the sockets, in memory."""
    for version in ("-tls1_2", "-tls1_3"):
        w = Weir(text_of())
        with folder() as d:
            session = os.path.join(d, "session")
            assert visit(w, version, "-sess_out", session) == "new"
            pid = w.pid
            for _ in range(2):      # also what was itself handed over
                os.kill(pid, signal.SIGUSR2)
                old = pid
                pid = eventually(lambda: [int(x) for x in re.findall(r"process (\d+) takes over", w.stderr)
                                          if int(x) not in (w.pid, old)], 30)[-1]
                eventually(lambda: has_ended(old), 20)
                assert visit(w, version, "-sess_in", session) == "reused"
                with open(f"/proc/{pid}/environ", "rb") as f:
                    assert re.search(rb"WEIR_TICKETS_FD=\d{1,3}\0", f.read()), "a number and nothing else"
                assert not [x for x in os.listdir(f"/proc/{pid}/fd")
                            if "weir tickets" in os.readlink(f"/proc/{pid}/fd/{x}")], "it was read and closed"
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: has_ended(pid), 20)
            w.check_stderr()
            assert "books" not in w.stderr and "tickets of the program before" not in w.stderr, w.stderr
            w.stopped = True


def test_not_across_a_restart():
    """The keys are nowhere but in memory."""
    with folder() as d:
        session = os.path.join(d, "session")
        with Weir(text_of()) as w:
            visit(w, "-sess_out", session)
        with Weir(text_of()) as w:
            assert visit(w, "-sess_in", session) == "new"


def test_not_where_more_is_asked():
    """Who came in without a certificate does not come in by its session where one is due."""
    for version in ("-tls1_2", "-tls1_3"):
        with Weir(text_of()) as w, folder() as d:
            session = os.path.join(d, "session")
            visit(w, version, "-sess_out", session)
            w.reload(text_of(f", client_ca: {ca.cert}"))
            out = s_client(w, version, "-ign_eof", "-sess_in", session, stdin=REQUEST, ok=False)
            assert "HTTP/1.1 200" not in out, out
            mine = ("-cert", client.cert, "-key", client.key)
            assert visit(w, version, *mine, "-sess_out", session) == "new"
            assert visit(w, version, *mine, "-sess_in", session) == "reused"
            # Other authorities: the certificate is looked at again.
            w.reload(text_of(f", client_ca: {other.cert}"))
            out = s_client(w, version, "-ign_eof", *mine, "-sess_in", session, stdin=REQUEST, ok=False)
            assert "HTTP/1.1 200" not in out, out


def test_python_resumes_too():
    with Weir(text_of()) as w:
        context = client_context(ca)
        first = TlsClient(w, context=context)
        first.ask()
        assert not first.sock.session_reused
        again = TlsClient(w, context=context, session=first.sock.session)
        assert again.sock.session_reused and again.ask().status == 200


if __name__ == "__main__":
    main()
