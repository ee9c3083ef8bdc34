# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

GOOD = """listen: ["127.0.0.1:1"]
upstreams: {up: {servers: [127.0.0.1:2]}}
routes: [{path: /, upstream: up}]
"""


def put(d, text, name="weir.yaml"):
    path = os.path.join(d, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def test_version():
    code, out, _ = run_weir("--version")
    assert code == 0
    assert out.startswith("weir ") and re.search(r"\d+\.\d+", out), out
    for library in ("libevent", "libyaml", "llhttp", "openssl", "zlib", "zstd", "c-ares"):
        assert library in out.lower(), out


def test_help():
    code, out, _ = run_weir("--help")
    assert code == 0
    for word in ("-c", "-t", "-T", "--listen", "--to", "--version"):
        assert word in out, out


def test_usage_errors():
    for args in (["--nonsense"], ["-c"], ["-c", "a", "b"], ["--listen", "8080"], ["--to", "127.0.0.1:1"],
                 ["-x"], ["stray"]):
        code, out, err = run_weir(*args)
        assert code == 2, (args, code, err)
        assert err.startswith("weir: ") or "sage" in err, (args, err)


def test_good_file():
    with folder() as d:
        path = put(d, GOOD)
        code, out, err = run_weir("-t", "-c", path)
        assert (code, out) == (0, f"{path}: configuration ok\n"), (code, out, err)
        code, out, err = run_weir("-c", path, "-t")
        assert code == 0, err


def test_missing_file():
    for flag in (["-t"], []):
        code, out, err = run_weir(*flag, "-c", "/nonexistent/weir.yaml")
        assert code == 1, (code, out, err)
        assert "/nonexistent/weir.yaml" in out + err and "No such file" in out + err, (out, err)


def test_unreadable_file():
    with folder() as d:
        code, out, err = run_weir("-c", d)
        assert code == 1 and d in out + err, (code, out, err)


def test_effective_configuration_parses_to_itself():
    with folder() as d:
        path = put(d, GOOD)
        code, out, err = run_weir("-T", "-c", path)
        assert code == 0, err
        for key in ("listen:", "upstreams:", "max_fails:", "keepalive_timeout:", "drain_timeout:"):
            assert key in out, out
        again = put(d, out, "again.yaml")
        assert run_weir("-t", "-c", again)[0] == 0, run_weir("-t", "-c", again)
        assert run_weir("-T", "-c", again)[1] == out


def test_effective_configuration_keeps_every_word():
    text = """listen: ["127.0.0.1:1", "unix:/tmp/x.sock", "[::1]:2"]
trusted_proxies: [10.0.0.0/8, "fd00::/8"]
upstreams:
  up:
    balance: hash
    hash: header:X-Session-Id
    servers: [127.0.0.1:2, {address: 127.0.0.1:3, weight: 1.25, backup: true, max_fails: 7}]
    max_fails: 3
    fail_timeout: 1500ms
    fail_on: [error, 503]
    retry: {tries: 4, on: [error, 502], non_idempotent: true}
    keepalive: {idle: 5, timeout: 2s}
    timeouts: {connect: 1s, first_byte: 2s, idle: 3s, send: 4s, total: 5m}
    on_client_abort: finish
routes:
  - {exact: /healthz, respond: {status: 200, body: "a: 'b' #c", type: text/plain}}
  - {path: /old, redirect: {to: "https://x.example$request_uri", status: 308}}
  - path: /
    host: [a.example, "*.b.example"]
    methods: [GET, POST]
    upstream: up
    request_headers: {set: {X-A: "v $client_ip"}, add: {X-B: b}, remove: [X-C]}
    response_headers: {set: {X-D: d}}
    max_body: 3MB
access_log: {path: "off", format: combined}
"""
    with folder() as d:
        path = put(d, text)
        code, out, err = run_weir("-T", "-c", path)
        assert code == 0, err
        for word in ("header:X-Session-Id", "1.25", "X-Session-Id", "*.b.example", "$client_ip", "308",
                     "unix:/tmp/x.sock", "fd00::", "finish", "combined"):
            assert word in out, (word, out)
        again = put(d, out, "again.yaml")
        code, out2, err = run_weir("-T", "-c", again)
        assert (code, out2) == (0, out), (code, err, out2)


if __name__ == "__main__":
    main()
