# SPDX-License-Identifier: MIT
# limit: 120
"""conf/*.yaml and every key in the reference: accepted, and printed so that it reads back as itself."""
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import Authority, openssl  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
REFERENCE = os.path.join(ROOT, "conf", "reference.yaml")

# The least that says what the reference says, where it has no default.
LEAST = """listen: 80
upstreams: {qwen: {servers: ["127.0.0.1:8002"]}}
limits: {per_client: {rate: 10/s}}
caches: {answers: {}}
routes: [{path: /, upstream: qwen, limit: per_client, cache: answers}]
"""

# What else must be changed when a key that is a comment is taken: it is another way to say something.
ROUTE_FOR_QWEN = ("routes:\n", "routes:\n  - {path: /other, upstream: qwen, cache: answers}\n")
WITH = {
    "listen.mode": [("- address: 80", "- address: unix:/run/weir/http.sock")],
    "listen.proxy_protocol": [("trusted_proxies: []", "trusted_proxies: [192.0.2.0/24]")],
    "upstreams.qwen.hash": [("balance: round_robin", "balance: hash")],
    "upstreams.qwen.ip_hash": [("balance: round_robin", "balance: ip_hash")],
    "limits.per_client.delay": [("burst: 0", "burst: 1000000")],
    "upstreams.qwen.servers.resolve": [("address: 127.0.0.1:8002", "address: models.example:8002")],
    "upstreams.qwen.queue": [("max_inflight: 0", "max_inflight: 1")],
    "upstreams.qwen.tls": [("address: 127.0.0.1:8002", "address: https://127.0.0.1:8002")],
    "upstreams.qwen.tls.verify": [("      ca: /etc/weir/ca.pem\n", "")],
    "upstreams.qwen.health_check.tcp": [("      path: /\n", ""), ("      expect: [200]\n", ""),
                                        ("      host: models.example.org\n", ""),
                                        ("      body: ready\n", "")],
    "routes.exact": [("- path: /\n", "-\n")],
    "routes.respond": [("    upstream: qwen\n", ""), ("    cache: answers\n", ""), ROUTE_FOR_QWEN],
    "routes.redirect": [("    upstream: qwen\n", ""), ("    cache: answers\n", ""), ROUTE_FOR_QWEN],
}

# Keys that stand instead of others of their section.
INSTEAD = {"routes.respond.files": ["status", "body", "type"]}

# Values other than the default, for keys whose kind does not tell one.
VALUES = {
    "listen.address": "\"[::1]:82\"",
    "listen.name": "web",
    "user": "nobody",
    "group": "daemon",
    "listen.tls.certificates.cert": "/etc/weir/other.pem",
    "listen.tls.certificates.key": "/etc/weir/other.key",
    "listen.tls.certificates.ocsp": "/etc/weir/other.der",
    "listen.tls.ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "listen.tls.ciphersuites": "TLS_AES_128_GCM_SHA256",
    "listen.tls.groups": "X25519",
    "listen.tls.client_ca": "/etc/weir/cert.pem",
    "listen.tls.subject_field": "X-Who",
    "listen": '["127.0.0.1:81", "[::1]:82", "unix:/tmp/x y.sock", 83]',
    "trusted_proxies": '[10.0.0.0/8, "fd00::/8", 192.0.2.1]',
    "upstreams.qwen.balance": "{hash: \"cookie:a\", bound: 1.25}",
    "upstreams.qwen.hash": "\"query:q\"",
    "upstreams.qwen.ip_hash": "{prefix4: 24, prefix6: 48}",
    "upstreams.qwen.tls.ca": "/etc/weir/cert.pem",
    "upstreams.qwen.tls.server_name": "b.example",
    "upstreams.qwen.tls.certificate.cert": "/etc/weir/other.pem",
    "upstreams.qwen.tls.certificate.key": "/etc/weir/other.key",
    "upstreams.qwen.fail_on": "[timeout, 300, 599]",
    "upstreams.qwen.servers.address": "\"gpu-1.example:8002\"",
    "upstreams.qwen.servers.weight": "0.125",
    "resolver.servers": "[127.0.0.11, \"10.0.0.1:5353\", \"::1\", \"[fd00::1]:54\"]",
    "resolver.min_ttl": "1500ms",
    "resolver.max_ttl": "1h",
    "upstreams.qwen.servers.down": "false",     # one server that is down is none
    "upstreams.qwen.retry.on": "[]",
    "upstreams.qwen.health_check.path": "\"/v1/models?a=b%20c\"",
    "upstreams.qwen.health_check.host": "\"[::1]:80\"",
    "upstreams.qwen.health_check.expect": "[200, 204, 401]",
    "upstreams.qwen.health_check.body": "\"\\\"ok\\\": true # \\n\"",
    "limits.per_client.key": "\"header:Authorization\"",
    "limits.per_client.rate": "600/m",
    "limits.per_client.delay": "999999",
    "caches.answers.size": "200MB",
    "caches.answers.max_object": "1MB",
    "caches.answers.valid": "{200: 10m, any: 1500ms}",
    "caches.answers.stale": "[updating, 504]",
    "caches.answers.methods": "[GET, POST]",
    "caches.answers.ignore_fields": "[\"a b\", user]",
    "caches.answers.key_headers": "[X-Tenant, Cookie]",
    "routes.path": "/v1",
    "routes.exact": "/v1/x",
    "routes.name": "\"a \\\"name\\\" # \\u00e9 \\u2028 $${HOME}\"",
    "routes.host": "[a.example, \"*.b.example\"]",
    "routes.methods": "[GET, POST]",
    "routes.upstream": "qwen",
    "routes.limit": "[per_client]",
    "routes.auth.basic.file": "/etc/weir/others",
    "routes.auth.basic.realm": "'our models'",
    "routes.auth.keys.file": "/etc/weir/other.keys",
    "routes.compress.encodings": "gzip",
    "routes.compress.types": "[text/html, \"*\", APPLICATION/*+json]",
    "routes.allow": "[192.0.2.0/24, \"2001:db8::/32\"]",
    "routes.deny": "192.0.2.1",
    "routes.cache": "answers",
    "routes.respond.files": "/etc",
    "routes.respond.body": "\"a: 'b' #c\\n\\0\\x1b\\u0085 $x ${y}\"",
    "routes.respond.type": "application/json",
    "routes.redirect.to": "\"https://${host}x$$y$request_uri\"",
    "routes.request_headers.set": "{X-A: \"v $client_ip\", Host: x}",
    "routes.request_headers.add": "{X-B: \"$http_user_agent\", x-b2: \"\"}",
    "routes.request_headers.remove": "[X-C]",
    "routes.response_headers.set": "{X-D: \"${status}0\"}",
    "routes.response_headers.add": "{X-E: \"$$\"}",
    "routes.response_headers.remove": "[X-F, x-g]",
    "listen.mode": "0600",
    "admin.mode": "0777",
    "admin.listen": '["127.0.0.1:9145", "[::1]:9145", "unix:/run/weir/admin.sock"]',
    "access_log.path": "/var/log/a.log",
    "access_log.format": "\"$status \\\"$target\\\"\\t\"",
}

KEY = re.compile(r"^( *)(#?)(- )?(#?)([a-z_0-9]+):(?: (.*))?$")
SAME = {"upstreams.qwen.servers.down", "routes.upstream", "routes.limit", "routes.cache"}


class Line:
    """A key of the reference with what its comment says of its kind."""

    def __init__(self, number, indent, path, commented, value, kind):
        self.number, self.indent, self.path = number, indent, path
        self.commented, self.value, self.kind = commented, value, kind


def read_reference():
    with open(REFERENCE, encoding="utf-8") as f:
        text = f.read().split("\n")
    keys, path, comment = [], [], ""
    for i, line in enumerate(text):
        m = KEY.match(line)
        if line.strip().startswith("# "):
            comment += " " + line.strip()[2:]
            continue
        if m:
            indent = len(m.group(1)) + (2 if m.group(3) else 0)
            while path and path[-1][0] >= indent:
                path.pop()
            path.append((indent, m.group(5)))
            kind = re.search(r"\(([^()]*)\)$", comment)
            keys.append(Line(i, indent, ".".join(p for _, p in path), bool(m.group(2) or m.group(4)),
                             m.group(6), kind.group(1) if kind else ""))
        comment = ""
    return text, keys


TEXT, KEYS = read_reference()


def uncomment(text, key):
    """The key's line and those of the section it begins, without their mark; and what goes with it."""
    text = list(text)
    for other in KEYS:
        if other.path == key.path or other.path.startswith(key.path + "."):
            text[other.number] = text[other.number].replace("#", "", 1)
    return text


def finish(text, key):
    """What must be changed with a key, the outermost commented section of it included."""
    drop = set()
    for path, others in INSTEAD.items():
        section = path.rpartition(".")[0]
        if key.path == path:
            drop |= {f"{section}.{name}" for name in others}
        elif key.path == section or key.path.startswith(section + "."):
            drop.add(path)
    lines = {other.number for other in KEYS if other.path in drop}
    text = "\n".join(line for i, line in enumerate(text) if i not in lines)
    for path, changes in WITH.items():
        if key.path == path or key.path.startswith(path + "."):
            for old, new in changes:
                assert old in text, (path, old)
                text = text.replace(old, new, 1)
    return text


def section_of(key):
    """The commented section the key is in, or itself."""
    for other in KEYS:
        if other.commented and key.path.startswith(other.path + "."):
            return other
    return key


def other_value(key):
    """A value in bounds that is not the default; None for sections."""
    if key.value is None:
        return None
    if key.path in VALUES:
        return VALUES[key.path]
    if key.kind == "true or false":
        return "true" if key.value == "false" else "false"
    m = re.fullmatch(r"(?:number|duration|size), (\S+) to (\S+)", key.kind)
    if m:
        return m.group(1) if key.value != m.group(1) else m.group(2)
    words = re.split(r", | or ", key.kind)
    if len(words) > 1 and key.value in words:
        return next(w for w in words if w != key.value)
    raise AssertionError(f"{key.path} ({key.kind}) has no other value here: give it one in VALUES")


def change(text, key, value):
    text = list(text)
    head, _, _ = text[key.number].partition(":")
    text[key.number] = f"{head}: {value}"
    return text


class Files:
    """Those that the texts name: in a folder of the test."""

    def __init__(self):
        ca = Authority()
        pair = ca.issue("chat.example.org")
        self.dir = ca.dir.path
        number = openssl("x509", "-in", pair.leaf, "-noout", "-serial").strip().split("=")[1]
        with open(self.path("index"), "w", encoding="ascii") as f:
            f.write(f"V\t300101000000Z\t\t{number}\tunknown\t/CN=x\n")
        openssl("ocsp", "-index", self.path("index"), "-CA", ca.cert, "-rsigner", ca.cert, "-rkey", ca.key,
                "-issuer", ca.cert, "-cert", pair.leaf, "-respout", self.path("ocsp.der"), "-ndays", "9")
        with open(self.path("users.txt"), "w", encoding="ascii") as f:
            f.write("a:$2y$05$" + "a" * 53 + "\n")
        with open(self.path("keys.txt"), "w", encoding="ascii") as f:
            f.write("a:" + "0" * 64 + "\n")
        for source, names in ((pair.cert, ("cert.pem", "other.pem", "chat.pem", "client.pem")),
                              (pair.key, ("key.pem", "other.key", "chat.key", "client.key")),
                              (self.path("users.txt"), ("users", "others")),
                              (self.path("keys.txt"), ("keys", "other.keys")),
                              (ca.cert, ("clients.pem", "ca.pem")), (self.path("ocsp.der"), ("other.der",))):
            for name in names:
                shutil.copy(source, self.path(name))

    def path(self, name):
        return os.path.join(self.dir, name)

    def put(self, text):
        for folder_name in ("/etc/weir/tls/", "/etc/weir/", "/var/lib/weir/acme/.well-known/acme-challenge",
                            "/var/lib/weir/acme"):
            text = text.replace(folder_name, self.dir + "/")
        return text


FILES = Files()


def printed(d, name, text):
    """-T of a text, after checking that it reads back as itself."""
    text = FILES.put(text)
    path, again = os.path.join(d, name + ".yaml"), os.path.join(d, name + ".again.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    code, out, err = run_weir("-T", "-c", path)
    assert code == 0, (name, err, text)
    with open(again, "w", encoding="utf-8") as f:
        f.write(out)
    code, out2, err = run_weir("-T", "-c", again)
    assert (code, out2) == (0, out), (name, err, out, out2)
    return out


def each(function, items):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        bad = [str(e) for e in pool.map(lambda x: attempt(function, x), part(items)) if e]
    assert not bad, "\n".join(bad)


def attempt(function, x):
    try:
        function(x)
    except AssertionError as e:
        return e
    return None


def test_shipped_files_read_back_as_themselves():
    names = [n for n in os.listdir(os.path.join(ROOT, "conf")) if n.endswith(".yaml")]
    assert {"weir.yaml", "minimal.yaml", "reference.yaml"} <= set(names), names
    with folder() as d:
        for name in names:
            with open(os.path.join(ROOT, "conf", name), encoding="utf-8") as f:
                text = f.read()
            path = os.path.join(d, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(FILES.put(text))
            code, out, err = run_weir("-t", "-c", path)
            assert (code, out, err) == (0, f"{path}: configuration ok\n", ""), (code, out, err)
            printed(d, name, text)


def test_defaults_are_what_applies():
    with folder() as d:
        assert printed(d, "reference", "\n".join(TEXT)) == printed(d, "least", LEAST)


def test_comments_can_be_taken():
    with folder() as d:
        base = printed(d, "reference", "\n".join(TEXT))

        def take(key):
            out = printed(d, key.path, finish(uncomment(TEXT, key), key))
            if key.value is not None:
                assert f"{key.path.split('.')[-1]}: " in out, (key.path, out)
            else:
                assert out != base, key.path

        commented = [k for k in KEYS if k.commented and section_of(k) is k]
        assert len(commented) >= 7, commented
        each(take, commented)


def test_each_key_reads_back_with_another_value():
    with folder() as d:
        base = printed(d, "reference", "\n".join(TEXT))

        def set_one(key):
            value = other_value(key)
            if value is None:
                return
            text = change(TEXT, key, value)
            if key.commented:
                text = uncomment(text, section_of(key))
            out = printed(d, key.path, finish(text, key))
            assert out != base or key.path in SAME, (key.path, value)

        each(set_one, KEYS)


test_each_key_reads_back_with_another_value.limit = 100


def test_all_keys_read_back_at_once():
    with folder() as d:
        base = printed(d, "reference", "\n".join(TEXT)).split("\n")
        text = TEXT
        for key in KEYS:
            if not key.commented and key.value is not None:
                text = change(text, key, other_value(key))
        out = printed(d, "all", "\n".join(text)).split("\n")
        left = [line for line in out if line in base and re.search(r": \S", line)]
        assert len(left) <= len(SAME), left


if __name__ == "__main__":
    main()
