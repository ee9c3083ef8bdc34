# SPDX-License-Identifier: MIT
"""Certificates that are no good are found where they are named; good ones come in without a cut."""
# limit: 120
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
middle = Authority("Middle CA", issuer=ca)
pair = ca.issue("a.example")
ROUTES = "routes: [{path: /, respond: {body: tls}}]\n" + DEFAULTS


def text_of(tls):
    return f"listen:\n  - address: 127.0.0.1:$PORT\n    tls: {tls}\n" + ROUTES


def check(tls, *want, code=1):
    """weir -t says each of the texts, every one with a place."""
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text_of(tls).replace("$PORT", "8443").replace("$LOG", "off"))
        got, out, err = run_weir("-t", "-c", path)
        assert got == code, (got, out, err)
        lines = err.splitlines()
        assert len(lines) == len(want), err
        for line, words in zip(lines, want):
            assert re.match(re.escape(path) + r":\d+:\d+: listen\[0\]\.tls", line), line
            for word in words if isinstance(words, tuple) else (words,):
                assert word in line, (word, line)
        return err


def write(name, *parts):
    path = ca.dir / name
    with open(path, "wb") as f:
        for p in parts:
            if isinstance(p, bytes):
                f.write(p)
            else:
                with open(p, "rb") as g:
                    f.write(g.read())
    os.chmod(path, 0o600)
    return path


def one(cert, key, more=""):
    return f"{{certificates: [{{cert: {cert}, key: {key}{more}}}]}}"


def test_good_ones():
    check(one(pair.cert, pair.key), code=0)
    deep = middle.issue("b.example")
    check(one(deep.cert, deep.key), code=0)
    check(one(write("with-root.pem", deep.cert, ca.cert), deep.key), code=0)


def test_missing_and_unreadable():
    check(one("/nowhere/cert.pem", "/nowhere/key.pem"),
          ("listen[0].tls.certificates[0].cert", "/nowhere/cert.pem", "no such file"),
          ("listen[0].tls.certificates[0].key", "no such file"))
    check(one(ca.dir.path, pair.key), "that is a folder")
    check(one("/dev/null", pair.key), "no regular file")
    fifo = ca.dir / "fifo"
    os.mkfifo(fifo)
    check(one(pair.cert, fifo), "no regular file")
    check(one(write("empty.pem"), pair.key), ("no certificate in it", "PEM"))
    check(one(pair.key, pair.key), "no certificate in it")
    check(one(pair.cert, pair.cert), "no private key in it")
    check(one(write("broken.pem", open(pair.leaf, "rb").read().replace(b"A", b"!", 3)), pair.key), "cannot be read")
    check(one(write("half.pem", open(pair.leaf, "rb").read()[:300]), pair.key), "cannot be read")
    for what, path, place in (("x509", pair.leaf, "cert"), ("pkey", pair.key, "key")):
        der = ca.dir / f"{what}.der"
        openssl(what, "-in", path, "-outform", "DER", "-out", der)
        check(one(*((der, pair.key) if place == "cert" else (pair.cert, der))),
              (f"certificates[0].{place}", f"this is DER, PEM is expected: openssl {what} -inform DER"))
    check(one(write("big.pem", b"x" * (4 << 20) + b"x"), pair.key), "too large, at most 4096 KB")
    check("{}", "missing")
    check("{certificates: []}", "0 entries")
    check(f"{{certificates: [{{cert: {pair.cert}}}]}}", ("key", "missing"))


def test_key_and_certificate_belong_together():
    other = ca.issue("other.example")
    check(one(pair.cert, other.key), ("certificates[0].key", "does not belong"))
    locked = ca.dir / "locked.key"
    openssl("pkey", "-in", pair.key, "-aes128", "-passout", "pass:x", "-out", locked)
    check(one(pair.cert, locked), ("certificates[0].key", "passphrase"))


def test_dates():
    old, new = ca.issue("a.example", start=-10, days=-1), ca.issue("a.example", start=2, days=90)
    check(one(old.cert, old.key), ("certificates[0].cert", "expired on 20", "renew"))
    check(one(new.cert, new.key), ("certificates[0].cert", "not valid before"))
    soon = ca.issue("a.example", days=9)
    check(one(soon.cert, soon.key), ("certificates[0].cert: warning:", "in 9 days"), code=0)
    edge = ca.issue("a.example", days=14)
    check(one(edge.cert, edge.key), code=0)


def test_order_of_the_chain():
    deep = middle.issue("b.example")
    check(one(write("swapped.pem", middle.cert, deep.leaf), deep.key), ("cert", "belongs to certificate 2", "first"))
    check(one(write("foreign.pem", pair.leaf, middle.cert), pair.key), ("certificate 2", "did not issue"))
    check(one(write("backwards.pem", deep.leaf, ca.cert, middle.cert), deep.key), ("certificate 2", "did not issue"))


def test_an_issuer_that_is_left_out():
    """fullchain.pem is meant, cert.pem was named."""
    fetched = "authorityInfoAccess=caIssuers;URI:http://ca.example/middle.cer"
    deep = middle.issue("b.example", extensions=fetched)
    check(one(deep.leaf, deep.key), ("certificates[0].cert: warning:", "its issuer is not in it", "fullchain"), code=0)
    check(one(deep.cert, deep.key), code=0)
    check(one(middle.issue("b.example", extensions="authorityInfoAccess=OCSP;URI:http://x").leaf, pair.key),
          "does not belong")
    own = ca.issue("b.example", extensions="authorityInfoAccess=OCSP;URI:http://ca.example")
    check(one(own.cert, own.key), code=0)


def test_two_of_a_kind():
    twin = ca.issue("a.example")
    check(f"{{certificates: [{pair}, {twin}]}}", ("certificates[1].cert: warning:", "never shown"), code=0)
    check(f"{{certificates: [{pair}, {ca.issue('a.example', kind='rsa')}, {ca.issue('a.example', 'b.example')}]}}", code=0)


def test_other_things():
    weak = ca.issue("a.example", kind="weak")
    check(one(weak.cert, weak.key), "not good enough")
    os.chmod(weak.key, 0o644)
    open_key = ca.issue("a.example")
    os.chmod(open_key.key, 0o604)
    check(one(open_key.cert, open_key.key), ("key: warning:", "chmod 600"), code=0)
    tls = one(pair.cert, pair.key)[:-1]
    check(tls + ", ciphers: nonsense}", ("tls.ciphers", "openssl ciphers"))
    check(tls + ", ciphersuites: nonsense}", "tls.ciphersuites")
    check(tls + ", groups: nonsense}", "tls.groups")
    check(tls + ", min_version: 1.1}", ("tls.min_version", "1.2"))
    check(tls + ", client_ca: /nowhere}", ("tls.client_ca", "no such file"))
    old = Authority("Old CA")
    old._sign(old.key, old.cert, "/CN=Old CA", "basicConstraints=critical,CA:TRUE", -9, -2, own=True)
    both = write("both.pem", ca.cert, old.cert)
    check(tls + f", client_ca: {both}}}", ("tls.client_ca: warning:", "certificate 2 in it (/CN=Old CA) has expired"), code=0)
    check(tls + ", verify_client: optional}", ("tls.verify_client", "client_ca"))
    check(tls + f", client_ca: {ca.cert}, subject_field: Connection}}", "tls.subject_field")
    check(tls + ", certficates: 1}", ("tls.certficates", "did you mean certificates"))
    # Every error, not just the first; each at its place.
    check(f"{{certificates: [{{cert: /no1, key: {pair.key}}}, {{cert: {pair.cert}, key: /no2}}], ciphers: x}}",
          "certificates[0].cert", "certificates[1].key", "tls.ciphers")


def test_a_broken_one_does_not_start():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text_of(one("/no", pair.key)).replace("$PORT", str(free_port())).replace("$LOG", "off"))
        code, _, err = run_weir("-c", path)
        assert code == 1 and "/no: there is no such file" in err, (code, err)


def test_printed_and_read_again():
    tls = (f"{{certificates: [{pair}, {middle.issue('b.example')}], min_version: 1.3, client_ca: {ca.cert}, "
           "verify_client: optional, subject_field: X-Who}")
    with folder() as d:
        path, again = os.path.join(d, "1.yaml"), os.path.join(d, "2.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text_of(tls).replace("$PORT", "8443").replace("$LOG", "off"))
        code, out, err = run_weir("-T", "-c", path)
        assert code == 0, err
        with open(again, "w", encoding="utf-8") as f:
            f.write(out)
        assert run_weir("-T", "-c", again)[1] == out
        assert "X-Who" in out and "verify_client: optional" in out


def serial(w, name="a.example"):
    """Of the certificate that is shown."""
    return openssl("x509", "-noout", "-serial", stdin=s_client(w, "-showcerts", name=name).encode())


def test_a_new_one_by_reload():
    gate = Gate()

    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(b"data: 1\n\n")
        gate.wait()
        c.chunk(b"data: 2\n\n")
        c.last_chunk()
    cert, key = ca.dir / "live.pem", ca.dir / "live.key"

    def install(p):
        shutil.copy(p.cert, cert + ".new")
        shutil.copy(p.key, key)
        os.rename(cert + ".new", cert)
    install(pair)
    with Weir(conf(listen=listen(Pair(cert, cert, key))), Origin(handler)) as w:
        stream, kept = TlsClient(w, ca=ca).request(), TlsClient(w, ca=ca)
        stream.recv_until(b"data: 1\n\n")
        before = serial(w)
        install(ca.issue("a.example", days=42))
        assert serial(w) == before, "files are read at a reload only"
        text = w.reload()
        assert re.search(r"certificate \S+live\.pem for a\.example: 42 days left", text), text
        after = serial(w)
        assert after != before
        gate.open()
        assert stream.recv_until(b"data: 2\n\n")
        stream.recv_until(b"0\r\n\r\n")
        assert kept.ask().status == 200, "an idle connection goes on"
        for bad, words in ((ca.issue("a.example", start=-9, days=-2), "expired"), (None, "does not belong")):
            if bad:
                install(bad)
            else:
                shutil.copy(pair.key, key)
            text = w.reload(ok=False)
            assert words in text and re.search(r"weir\.yaml:\d+:\d+: listen\[0\]\.tls\.certificates\[0\]", text), text
            assert serial(w) == after and TlsClient(w, ca=ca).ask().status == 200
        os.unlink(cert)
        assert "no such file" in w.reload(ok=False)
        assert serial(w) == after


def test_start_says_how_long():
    soon = ca.issue("soon.example", days=5)
    with Weir(text_of(f"{{certificates: [{pair}, {soon}]}}")) as w:
        assert re.search(r"for a\.example: 90 days left", w.stderr)
        assert re.search(r"for soon\.example: 5 days left", w.stderr)
        assert re.search(r"warning: \S+ expires on \S+, in 5 days", w.stderr)


def test_monitoring_is_told():
    """When each ends, of listeners and of upstreams' own; of the new one after a reload."""
    def until(w):
        text = get(f"127.0.0.1:{w.names['PORT2']}", "/metrics").body.decode()
        return {m[1]: int(m[2]) for m in re.finditer(r'^weir_certificate_not_after_seconds\{.*name="([^"]+)"\} (\d+)$', text, re.M)}

    def end(p):
        text = openssl("x509", "-in", p.leaf, "-noout", "-enddate").strip().split("=")[1]
        return int(ssl.cert_time_to_seconds(text))
    own, soon, renewed = ca.issue("weir.example"), ca.issue("soon.example", days=5), ca.issue("soon.example", days=70)

    def text(p):
        return conf(listen=listen(pair, p), up=f"servers: ['https://127.0.0.1:9'], tls: {{ca: {ca.cert}, certificate: {own}}}",
                    extra="admin: {listen: $PORT2}")
    with Weir(text(soon)) as w:
        assert until(w) == {"a.example": end(pair), "soon.example": end(soon), "weir.example": end(own)}
        w.reload(text(renewed))
        assert until(w)["soon.example"] == end(renewed)


def test_plain_to_tls_and_back_by_reload():
    tls, plain = text_of(f"{{certificates: [{pair}]}}"), "listen: '127.0.0.1:$PORT'\n" + ROUTES
    with Weir(plain) as w:
        kept = Client(w)
        assert kept.ask().status == 200
        w.reload(tls)
        assert TlsClient(w, ca=ca).ask().status == 200 and get(w).status == 400
        assert kept.ask().status == 200, "a connection keeps what it began with"
        tls_kept = TlsClient(w, ca=ca)
        w.reload(plain)
        assert get(w).status == 200 and tls_kept.ask().status == 200


def staple(w):
    return s_client(w, "-status")


def ocsp_answer(leaf, der, index="V\t300101000000Z\t\t{number}\tunknown\t/CN=a.example\n"):
    """An OCSP response about the leaf, made with the authority's own key."""
    number = openssl("x509", "-in", leaf.leaf, "-noout", "-serial").strip().split("=")[1]
    path = ca.dir / "index.txt"
    with open(path, "w", encoding="ascii") as f:
        f.write(index.format(number=number))
    openssl("ocsp", "-index", path, "-CA", ca.cert, "-rsigner", ca.cert, "-rkey", ca.key, "-issuer", ca.cert,
            "-cert", leaf.leaf, "-respout", der, "-ndays", "3", ok=False)


def test_stapling():
    leaf = ca.issue("a.example")
    der = ca.dir / "ocsp.der"
    ocsp_answer(leaf, der)
    tls = one(leaf.cert, leaf.key, f", ocsp: {der}")
    check(tls, code=0)
    with Weir(text_of(f"{{certificates: [{pair}, {{cert: {leaf.cert}, key: {leaf.key}, ocsp: {der}}}]}}")
              .replace(str(pair), str(ca.issue("b.example")))) as w:
        out = staple(w)
        assert "OCSP Response Status: successful" in out and "Cert Status: good" in out, out
        assert "OCSP response: no response sent" in s_client(w, "-status", name="b.example")
        ocsp_answer(leaf, der, "R\t300101000000Z\t200101000000Z\t{number}\tunknown\t/CN=a.example\n")
        assert "revoked" in w.reload(ok=False)
        assert "Cert Status: good" in staple(w)
        ocsp_answer(leaf, der)
        with open(der, "rb") as f:
            old = f.read()
        last = max(m.start() for m in re.finditer(rb"\x18\x0f20\d{12}Z", old)) + 2
        with open(der, "wb") as f:      # nextUpdate; nobody but clients looks at the signature
            f.write(old[:last] + b"20200101000000Z" + old[last + 15:])
        assert "too old" in w.reload()
        assert "OCSP response: no response sent" in staple(w)
    check(tls, ("certificates[0].ocsp: warning:", "too old"), code=0)
    ocsp_answer(leaf, der, "V\t300101000000Z\t\t00\tunknown\t/CN=a.example\n")
    check(tls, "does not know the certificate")
    check(one(pair.cert, pair.key, f", ocsp: {der}"), "does not speak of this certificate")
    check(one(pair.cert, pair.key, f", ocsp: {pair.cert}"), "no OCSP answer")
    check(one(pair.cert, pair.key, ", ocsp: /nowhere"), "no such file")


def test_stapled_is_what_speaks_of_the_certificate():
    """Of two for one name, ECDSA and RSA, each has its own answer or none."""
    ders = {}
    pairs = {kind: ca.issue("two.example", kind=kind) for kind in ("ec", "rsa")}
    for kind, p in pairs.items():
        ders[kind] = ca.dir / f"{kind}.der"
        ocsp_answer(p, ders[kind])
    for has in (("ec", "rsa"), ("ec",), ("rsa",)):
        entries = ", ".join(f"{{cert: {p.cert}, key: {p.key}{f', ocsp: {ders[k]}' if k in has else ''}}}"
                            for k, p in pairs.items())
        with Weir(text_of(f"{{certificates: [{entries}]}}")) as w:
            for kind, p in pairs.items():
                number = openssl("x509", "-in", p.leaf, "-noout", "-serial").strip().split("=")[1]
                words = "ECDSA" if kind == "ec" else "RSA"
                for args in (("-tls1_2", "-cipher", f"ECDHE-{words}-AES128-GCM-SHA256"),
                             ("-tls1_3", "-sigalgs", "ECDSA+SHA256" if kind == "ec" else "RSA-PSS+SHA256")):
                    out = s_client(w, "-status", *args, name="two.example")
                    said = re.search(r"Serial Number: (\w+)\s+Cert Status: good", out)
                    assert (said.group(1) if said else None) == (number if kind in has else None), (has, kind, args, out)


if __name__ == "__main__":
    main()
