# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

PLACE = r"{file}:(\d+):(\d+): (.+?): .+"


def errors(text):
    """[(line, column, path, whole line)] of -t, which must fail."""
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        code, out, err = run_weir("-t", "-c", path)
        found = [(int(m.group(1)), int(m.group(2)), m.group(3), m.group(0).replace(path, "FILE"))
                 for m in re.finditer(PLACE.format(file=re.escape(path)), out + err)]
        assert code == 1, (code, out, err)
        assert found, (out, err)
        # Starting with it says the same and ends the same way.
        code2, out2, err2 = run_weir("-c", path)
        assert code2 == 1 and found[0][3].replace("FILE", path) in out2 + err2, (code2, out2, err2)
        return found


HEAD = """listen: ["127.0.0.1:1"]
upstreams: {up: {servers: [127.0.0.1:2]}}
routes: [{path: /, upstream: up}]
"""


def test_every_error_is_told():
    found = errors("""listen: ["127.0.0.1:1"]
upstreems: {}
upstreams:
  up:
    servers: [127.0.0.1:2]
    max_fails: many
    fail_timeout: 10 parsecs
routes:
  - path: /
    upstream: down
drain_timeout: 30s
drain_timeout: 31s
""")
    at = {line: text for line, _, _, text in found}
    assert set(at) >= {2, 6, 7, 10, 12}, found
    assert "upstreams" in at[2], at[2]              # the nearest right word
    assert "max_fails" in at[6], at[6]
    assert "fail_timeout" in at[7], at[7]
    assert "down" in at[10], at[10]
    assert "drain_timeout" in at[12], at[12]


def test_places():
    line, column, path, _ = errors(HEAD + "client: {header_timeout: 5s, max_head: banana}\n")[0]
    assert (line, column) == (4, 40), (line, column)
    assert path == "client.max_head:"[:-1], path


# What is added to a good file (or a whole file) and what the message must name.
BROKEN = [
    ("client: {max_haed: 1KB}\n", 4, "max_head"),
    ("client: {max_head: 1}\n", 4, "max_head"),
    ("client: {max_connections: -1}\n", 4, "max_connections"),
    ("client: {max_connections: 1.5}\n", 4, "max_connections"),
    ("client: [1]\n", 4, "client"),
    ("client: 5\n", 4, "client"),
    ("drain_timeout: [1s]\n", 4, "drain_timeout"),
    ("drain_timeout: \"\"\n", 4, "drain_timeout"),
    ("access_log: {format: xml, path: stdout}\n", 4, "format"),
    ("access_log: {path: stdout, format: \"$nonsense\"}\n", 4, "nonsense"),
    ("trusted_proxies: [300.0.0.0/8]\n", 4, "300.0.0.0/8"),
    ("trusted_proxies: [10.0.0.0/33]\n", 4, "10.0.0.0/33"),
    ("listen: [81]\n", 4, "listen"),                        # duplicate key
    ("drain_timeout: ${WEIR_TEST_UNSET_VARIABLE}\n", 4, "WEIR_TEST_UNSET_VARIABLE"),
]
WHOLE = [
    ("", 1, ""),
    ("just words\n", 1, "mapping"),
    ("- a\n- b\n", 1, "mapping"),
    ("listen: [1\nroutes: []\n", 2, "YAML"),
    ("listen: [1]\n\troutes: []\n", 2, "YAML"),
    ("listen: [70000]\nroutes: [{path: /, respond: {status: 200}}]\n", 1, "70000"),
    ("listen: [\"host:port\"]\nroutes: [{path: /, respond: {status: 200}}]\n", 1, "host:port"),
    ("listen: [1]\nroutes: [{path: /}]\n", 2, "routes"),
    ("listen: [1]\nroutes: [{path: nothing, respond: {status: 200}}]\n", 2, "path"),
    ("listen: [1]\nroutes: [{path: /, exact: /, respond: {status: 200}}]\n", 2, "exact"),
    ("listen: [1]\nroutes: [{path: /, respond: {status: 99}}]\n", 2, "status"),
    ("listen: [1]\nroutes: [{path: /, redirect: {to: \"$nonsense\"}}]\n", 2, "nonsense"),
    ("listen: [1]\nroutes: [{path: /, upstream: gone}]\n", 2, "gone"),
    ("listen: [1]\nupstreams: {idle: {servers: [127.0.0.1:2]}}\nroutes: [{path: /, respond: {status: 200}}]\n",
     2, "idle"),
    ("listen: [1]\nupstreams: {up: {servers: []}}\nroutes: [{path: /, upstream: up}]\n", 2, "servers"),
    ("listen: [1]\nupstreams: {up: {servers: [127.0.0.1]}}\nroutes: [{path: /, upstream: up}]\n",
     2, "127.0.0.1"),
    ("listen: [1]\nupstreams: {up: {servers: [{address: 127.0.0.1:2, weight: 0}]}}\n"
     "routes: [{path: /, upstream: up}]\n", 2, "weight"),
    ("listen: [1]\nupstreams: {up: {servers: [{address: 127.0.0.1:2, weight: 1.2345}]}}\n"
     "routes: [{path: /, upstream: up}]\n", 2, "weight"),
    ("listen: [1]\nupstreams: {up: {servers: [127.0.0.1:2], balance: ip_hsah}}\n"
     "routes: [{path: /, upstream: up}]\n", 2, "ip_hash"),
    ("listen: [1]\nupstreams: {up: {servers: [127.0.0.1:2], fail_on: [eror]}}\n"
     "routes: [{path: /, upstream: up}]\n", 2, "error"),
    ("listen: [1]\nupstreams: {up: {servers: [127.0.0.1:2], queue: {size: 1}}}\n"
     "routes: [{path: /, upstream: up}]\n", 2, "queue"),
    ("listen: [1]\nroutes: [{path: /, respond: {status: 200}, response_headers: {set: {\"a b\": c}}}]\n",
     2, "a b"),
]


def test_one_error_each():
    bad = []
    for text, line, word in part([(HEAD + t, n, w) for t, n, w in BROKEN] + WHOLE):
        try:
            found = errors(text)
            if not any(f[0] == line and word in f[3] for f in found):
                bad.append((text, line, word, [f[3] for f in found]))
        except AssertionError as e:
            bad.append((text, line, word, str(e)))
    assert not bad, "\n".join(map(repr, bad))


def test_variables_and_anchors():
    text = """listen: ["127.0.0.1:${WEIR_TEST_PORT}"]
upstreams:
  a: &base {servers: [127.0.0.1:2], max_fails: "${WEIR_TEST_FAILS:-3}"}
  b: *base
routes: [{path: /a, upstream: a}, {path: /, upstream: b}]
"""
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        code, out, err = run_weir("-T", "-c", path, env={"WEIR_TEST_PORT": "4711"})
        assert code == 0, out + err
        assert "127.0.0.1:4711" in out and len(re.findall(r"max_fails: 3\b", out)) >= 2, out


def test_broken_utf8():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "wb") as f:
            f.write(HEAD.encode() + b"access_log: {path: \"\xff\xfe\"}\n")
        code, out, err = run_weir("-t", "-c", path)
        assert code == 1 and path in out + err, (code, out, err)


if __name__ == "__main__":
    main()
