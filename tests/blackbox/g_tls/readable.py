# SPDX-License-Identifier: MIT
"""What root can read and the user of the configuration cannot: told before a reload stumbles over it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
pair, own = ca.issue("a.example"), ca.issue("weir")
TEXT = """listen:
  - address: "127.0.0.1:$PORT"
    tls:
      certificates: [{cert: $D/cert.pem, key: $D/key.pem, ocsp: $D/ocsp.der}]
      client_ca: $D/clients.pem
      verify_client: optional
upstreams:
  up:
    servers: ["https://127.0.0.1:9"]
    tls: {ca: $D/ca.pem, certificate: {cert: $D/own.pem, key: $D/own.key}}
routes:
  - {path: /files/, respond: {files: $D/files}}
  - {path: /k/, upstream: up, auth: {keys: {file: $D/keys}}}
  - {path: /b/, upstream: up, auth: {basic: {file: $D/users}}}
  - {path: /, upstream: up}
access_log: off
user: nobody
"""
PLACES = {"cert.pem": "listen[0].tls.certificates[0].cert", "key.pem": "listen[0].tls.certificates[0].key",
          "ocsp.der": "listen[0].tls.certificates[0].ocsp", "clients.pem": "listen[0].tls.client_ca",
          "ca.pem": "upstreams.up.tls.ca", "own.pem": "upstreams.up.tls.certificate.cert",
          "own.key": "upstreams.up.tls.certificate.key", "keys": "routes[1].auth.keys.file",
          "users": "routes[2].auth.basic.file"}


def make(d):
    """The configuration and all its files in d, which everybody may read but the keys."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    os.chmod(d, 0o755)
    for name, path in (("cert.pem", pair.cert), ("key.pem", pair.key), ("own.pem", own.cert), ("own.key", own.key),
                       ("clients.pem", ca.cert), ("ca.pem", ca.cert)):
        shutil.copy(path, os.path.join(d, name))
    with open(os.path.join(ca.dir.path, "index"), "w", encoding="ascii") as f:
        number = openssl("x509", "-in", pair.leaf, "-noout", "-serial").strip().split("=")[1]
        f.write(f"V\t300101000000Z\t\t{number}\tunknown\t/CN=a.example\n")
    openssl("ocsp", "-index", f.name, "-CA", ca.cert, "-rsigner", ca.cert, "-rkey", ca.key, "-issuer", ca.cert,
            "-cert", pair.leaf, "-respout", os.path.join(d, "ocsp.der"), "-ndays", "3", ok=False)
    os.mkdir(os.path.join(d, "files"))
    for name, text in (("keys", "a:" + "0" * 64 + "\n"), ("users", "a:$2y$05$" + "." * 53 + "\n"),
                       ("weir.yaml", TEXT.replace("$D", d).replace("$PORT", str(free_port())))):
        with open(os.path.join(d, name), "w", encoding="ascii") as f:
            f.write(text)
    for name in os.listdir(d):
        os.chmod(os.path.join(d, name), 0o755 if name == "files" else 0o644)
    for name in ("key.pem", "own.key"):
        os.chmod(os.path.join(d, name), 0o640)
        shutil.chown(os.path.join(d, name), group="nogroup")


def check(d):
    """(the exit code, what is said of files that nobody cannot read)."""
    code, _, err = run_weir("-t", "-c", os.path.join(d, "weir.yaml"))
    lines = err.splitlines()
    assert all("nobody cannot" in line for line in lines), err
    return code, lines


def test_each_file():
    with folder() as d:
        make(d)
        assert check(d) == (0, [])
        for name, place in PLACES.items():
            path = os.path.join(d, name)
            mode = os.stat(path).st_mode
            os.chmod(path, 0o600)
            code, lines = check(d)
            assert code == 0 and len(lines) == 1, lines
            assert re.match(rf"{re.escape(d)}/weir\.yaml:\d+:\d+: {re.escape(place)}: warning: {re.escape(path)}: "
                            "nobody cannot read it", lines[0]), lines
            os.chmod(path, mode)
        os.chmod(os.path.join(d, "weir.yaml"), 0o600)
        code, lines = check(d)
        assert code == 0 and len(lines) == 1 and "weir.yaml: nobody cannot read it" in lines[0], lines
        shutil.chown(os.path.join(d, "weir.yaml"), user="nobody")
        assert check(d) == (0, [])


def test_the_folders_above_them():
    with folder() as d:
        make(d)
        os.chmod(d, 0o700)
        code, lines = check(d)
        assert code == 1 and len(lines) == len(PLACES) + 2, lines


def test_a_folder_of_files():
    """It is entered with each request, not just at a reload: nothing of it could be answered."""
    with folder() as d:
        make(d)
        os.chmod(os.path.join(d, "files"), 0o700)
        code, lines = check(d)
        assert code == 1 and len(lines) == 1, lines
        assert re.search(r"weir\.yaml:\d+:\d+: routes\[0\]\.respond\.files: \S+/files: nobody cannot enter",
                         lines[0]), lines


def test_by_a_group_of_that_user():
    with folder() as d:
        make(d)
        shutil.chown(os.path.join(d, "key.pem"), group="daemon")
        code, lines = check(d)
        assert code == 0 and len(lines) == 1 and "key.pem" in lines[0], lines
        with open(os.path.join(d, "weir.yaml"), "a", encoding="ascii") as f:
            f.write("group: daemon\n")
        shutil.chown(os.path.join(d, "own.key"), group="daemon")
        assert check(d) == (0, [])


def test_starts_all_the_same_and_a_reload_says_why():
    with folder() as d:
        make(d)
        os.chmod(os.path.join(d, "key.pem"), 0o600)
        with open(os.path.join(d, "weir.yaml"), encoding="ascii") as f:
            text = f.read()
        port = int(re.search(r"127\.0\.0\.1:(\d+)", text).group(1))
        with Weir(text, ready=f"127.0.0.1:{port}") as w:
            os.chmod(w.dir, 0o755)
            os.chmod(w.file, 0o644)
            assert "key.pem: nobody cannot read it" in w.stderr
            said = w.reload(ok=False)
            assert re.search(r"certificates\[0\]\.key: \S+key\.pem: permission denied", said), said
            os.chmod(os.path.join(d, "key.pem"), 0o640)
            w.reload()


if __name__ == "__main__":
    main()
