# SPDX-License-Identifier: MIT
"""Plain clients are sent to where TLS is spoken; routes by scheme."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403

ca = Authority()
pair = ca.issue("a.example")
ROUTES = """[
  {exact: /healthz, respond: {body: "$scheme? well"}},
  {path: /, scheme: http, redirect: {to: "https://$host$request_uri", status: 308}},
  {path: /, upstream: up}]"""


def weir(extra=""):
    return Weir(conf(listen=f'"127.0.0.1:$PORT2", {listen(pair)}', routes=ROUTES, extra=extra), Origin())


def test_redirect():
    with weir() as w:
        plain = f"127.0.0.1:{w.names['PORT2']}"
        r = get(plain, "/x?y=1", host="a.example:80")
        assert (r.status, r.get("Location")) == (308, "https://a.example/x?y=1")
        assert get(plain, "/healthz").status == 200
        r = TlsClient(w, ca=ca).ask(target="/x?y=1")
        assert (r.status, r.body) == (200, b"origin")


def test_behind_a_proxy_that_speaks_tls():
    """What it says of the client counts, when it is trusted."""
    for trust, status in (("[127.0.0.0/8]", 200), ("[]", 308)):
        with weir(f"trusted_proxies: {trust}") as w:
            plain = f"127.0.0.1:{w.names['PORT2']}"
            assert get(plain, headers={"X-Forwarded-Proto": "https"}).status == status
            assert get(plain, headers={"X-Forwarded-Proto": "http"}).status == 308
            assert get(plain, headers={"X-Forwarded-Proto": "gopher"}).status == 308


def test_curl_follows():
    with weir() as w:
        plain, tls = w.names["PORT2"], w.port
        text = w.fill(conf(listen=f'"127.0.0.1:$PORT2", {listen(pair)}', routes=ROUTES)).replace(
            "https://$host$request_uri", f"https://$host:{tls}$request_uri")
        w.reload(text)
        out = subprocess.run(["curl", "-sS", "-L", "--cacert", ca.cert, "--resolve", f"a.example:{plain}:127.0.0.1",
                              "--resolve", f"a.example:{tls}:127.0.0.1", "-d", "question",
                              f"http://a.example:{plain}/"], capture_output=True, timeout=20, check=True)
        assert out.stdout == b"origin", out
        assert [(x["status"], x["method"]) for x in w.log(2)] == [(308, "POST"), (200, "POST")]


def test_methods_of_the_right_scheme():
    routes = "[{path: /, scheme: http, methods: [GET], respond: {}}, {path: /, scheme: https, methods: [PUT], respond: {}}]"
    text = conf(listen=f'"127.0.0.1:$PORT2", {listen(pair)}', routes=routes).replace(
        "upstreams:\n  up: {servers: [$O1]}\n", "")
    with Weir(text) as w:
        r = get(f"127.0.0.1:{w.names['PORT2']}", method="PUT")
        assert (r.status, r.get("Allow")) == (405, "GET"), r
        r = TlsClient(w, ca=ca).ask("GET")
        assert (r.status, r.get("Allow")) == (405, "PUT"), r


if __name__ == "__main__":
    main()
