# SPDX-License-Identifier: MIT
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""Nobody gets what was made for somebody else.

The server's answer is what it saw of the request, so every client can tell whether the answer is his
own.  Requests are drawn at random from what attacks on caches are made of; many of them are hits.
"""

SEED = int(os.environ.get("WEIR_SEED", "1"))
CACHE = ("caches: {answers: {size: 16MB, valid: {200: 10m}, methods: [GET, HEAD, POST]}}\n"
         "trusted_proxies: [127.0.0.2/32]\n")
TRUSTED, OTHER = "127.0.0.2", "127.0.0.3"


def pick(r, choices):
    """Some of the fields, each with one of its values."""
    return [(name, r.choice(values)) for name, values in choices if r.random() < 0.12]


def run_random(w, n, make, expect):
    """n requests; what make gives goes to ask, expect checks the answer.  Counts hits."""
    clients = {TRUSTED: Client(w, source=TRUSTED), OTHER: Client(w, source=OTHER)}
    hits = 0
    for _ in range(n):
        source, what = make()
        answer = clients[source].ask(**what)
        expect(source, what, answer)
        hits += "hit" in answer.get("Cache-Status")
        if "close" in (answer.get("Connection") or ""):
            clients[source] = Client(w, source=source)
    return hits


# --- GET -------------------------------------------------------------------------------------------

# What the server lets change its answer without a word, and what it names in Vary.
SILENT = ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Scheme", "X-Forwarded-Prefix",
          "X-Host", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"]
VARY = ["X-Tenant", "Accept-Language", "X-Real-IP", "Cookie"]
GET_FIELDS = [("X-HTTP-Method-Override", ["DELETE"]), ("X-Original-URL", ["/admin"]), ("X-Rewrite-URL", ["/b"]),
              ("X-Forwarded-Scheme", ["http", "nothttps"]), ("X-Forwarded-Prefix", ["/evil"]), ("X-Host", ["evil"]),
              ("X-Forwarded-Proto", ["http", "https"]), ("X-Forwarded-Host", ["evil", "a.example"]),
              ("X-Forwarded-Port", ["1", "443"]), ("X-Tenant", ["a", "b"]), ("Accept-Language", ["de", "en"]),
              ("Cookie", ["s=1", "s=2"]), ("Connection", ["X-Tenant", "keep-alive, X-Tenant", "Accept-Encoding", "te"]),
              ("Accept-Encoding", ["gzip", "gzip, br", "identity"]), ("Range", ["bytes=0-3", "bytes=2-"]),
              ("If-None-Match", ["*", '"x"']), ("X-Real-IP", ["9.9.9.9"]), ("X-Forwarded-For", ["9.9.9.9", "8.8.8.8"])]


def seen(r):
    """What an answer to a GET depends on."""
    host = (r.get("Host") or "").lower()
    return {"target": r.target, "host": host[:-3] if host.endswith(":80") else host,
            **{name: r.all(name) for name in SILENT + VARY}}


def get_answer(c, r):
    headers = [("Vary", ", ".join(VARY))]
    # As nginx does: compressed, and not a word of it in Vary.
    if "gzip" in (r.get("Accept-Encoding") or ""):
        headers.append(("Content-Encoding", "x-told"))
    body = json.dumps(seen(r), sort_keys=True).encode()
    if r.method == "HEAD":
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    else:
        c.answer(body, headers=headers)


def would_see(source, what):
    """The same from the client's side: what weir should let the server see."""
    fields = {}
    for name, value in what["headers"]:
        fields.setdefault(name, []).append(value)
    taken = [x.strip().lower() for v in fields.get("Connection", []) for x in v.split(",")]
    out = {name: [] if name.lower() in taken else fields.get(name, []) for name in SILENT + VARY}
    host = what["host"].lower()
    is_trusted = source == TRUSTED
    for name, known in (("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", what["host"]), ("X-Forwarded-Port", None)):
        out[name] = fields[name] if is_trusted and name in fields else [known]
    hops = [x.strip() for v in fields.get("X-Forwarded-For", []) for x in v.split(",")]
    out["X-Real-IP"] = [hops[-1] if is_trusted and hops else source]
    return {"target": what["target"], "host": host[:-3] if host.endswith(":80") else host, **out}


def test_get():
    r = random.Random(SEED)
    o = Origin(get_answer)

    def make():
        return r.choice([TRUSTED, OTHER]), {
            "method": r.choice(["GET", "GET", "GET", "HEAD"]), "target": r.choice(["/a", "/a?", "/a?x", "/%61", "/b"]),
            "host": r.choice(["h", "H", "h:80", "other"]), "headers": pick(r, GET_FIELDS)}

    def expect(source, what, answer):
        names = {name for name, _ in what["headers"]}
        if what["method"] == "HEAD" or answer.status in (206, 304, 416):
            return
        assert answer.status == 200, (what, answer)
        got, want = json.loads(answer.body), would_see(source, what)
        want["X-Forwarded-Port"] = got["X-Forwarded-Port"] if want["X-Forwarded-Port"] == [None] else \
            want["X-Forwarded-Port"]
        # Host is one however it is written.
        for side in (got, want):
            side["X-Forwarded-Host"] = [h.lower().removesuffix(":80") for h in side["X-Forwarded-Host"]]
        assert got == want, (source, what, got, want)
        if answer.has("Content-Encoding"):
            assert "Accept-Encoding" in names and any("gzip" in v for n, v in what["headers"] if n == "Accept-Encoding"), \
                (what, answer)

    with Weir(conf(route="cache: answers", extra=CACHE), o) as w:
        hits = run_random(w, 1200, make, expect)
        # Worth something only if there are hits that could be wrong.
        assert hits > 150, hits


# --- POST ------------------------------------------------------------------------------------------

WHO = ["Authorization", "Cookie", "X-Api-Key", "X-Session-Id", "OpenAI-Organization", "X-Tenant", "X-User"]
POST_FIELDS = [(name, ["a", "b"]) for name in WHO] + \
    [("OpenAI-Beta", ["assistants=v2"]), ("Accept", ["*/*", "application/json", "text/event-stream"]),
     ("User-Agent", ["x", "y"]), ("X-Stainless-Retry-Count", ["0", "1"]), ("Accept-Language", ["de", "en"])]
BODIES = [b'{"a":1,"b":[2,3]}', b'{"b":[2,3],"a":1.0}', b'{ "a" : 10e-1, "b":[2, 3]}', b'{"a":1,"b":[3,2]}', b'{"a":"1","b":[2,3]}',
          b'{"a":1,"b":[2,3],"user":"x"}', b'{"a":1,"b":[2,3],"c":null}', b'{"a":10000000000000001}',
          b'{"a":10000000000000002}', b'{"a":1,"a":2}', b'{"a":2,"a":1}', b'{"a":"\\u0062"}', b'{"a":"b"}', b'{"a":"B"}',
          b'{"a":-0}', b'{"a":0}', b'{"a":1e400}', b'{"a":2e400}', b'{"a":"\\ud800"}', b'{"a":"\\ud801"}', b'{"a":"\xff"}', b'{"a":"\xfe"}', b"{", b"", b"[]"]


def value_of(body, kind):
    """The body as far as it may change the answer: its value, and how it is written where that is unclear."""
    if kind != "application/json":
        return body.decode("latin1")
    try:
        value = json.loads(body.decode(), parse_int=int, parse_float=float, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        return body.decode("latin1")
    if isinstance(value, list) and all(isinstance(p, tuple) for p in value) and value:
        names = [k for k, _ in value]
        value = sorted((k, repr(v)) for k, v in value if k != "user") if len(set(names)) == len(names) else body.decode()
    return repr(value).replace("'1.0'", "'1'").replace("1.0", "1")


def post_answer(c, r):
    accept = r.get("Accept") or "*/*"
    if accept == "application/json" and r.get("Content-Type") == "application/json":
        accept = "*/*"
    c.answer(json.dumps({"body": value_of(r.body, r.get("Content-Type")), "type": r.get("Content-Type"), "accept": accept,
                         "target": r.target, **{name: r.all(name) for name in WHO + ["OpenAI-Beta"]}}).encode())


def test_post():
    r = random.Random(SEED)
    o = Origin(post_answer)

    def make():
        return r.choice([TRUSTED, OTHER]), {
            "method": "POST", "target": r.choice(["/v1", "/v1?x"]), "body": r.choice(BODIES),
            "headers": [("Content-Type", r.choice(["application/json"] * 5 + ["text/plain", "text/x"])), *pick(r, POST_FIELDS)]}

    def expect(source, what, answer):
        fields = dict(what["headers"])
        accept = fields.get("Accept", "*/*")
        if accept == "application/json" and fields["Content-Type"] == "application/json":
            accept = "*/*"
        want = {"body": value_of(what["body"], fields["Content-Type"]), "type": fields["Content-Type"], "accept": accept,
                "target": what["target"], **{n: [fields[n]] if n in fields else [] for n in WHO + ["OpenAI-Beta"]}}
        assert answer.status == 200 and json.loads(answer.body) == want, (what, answer.body, want)

    with Weir(conf(route="cache: answers", extra=CACHE), o) as w:
        hits = run_random(w, 1500, make, expect)
        assert hits > 200, hits


# --- single ways ---------------------------------------------------------------------------------------

def test_body_of_a_get():
    """A server that takes a GET's body for its question."""
    o = Origin(lambda c, r: c.answer(b"to " + r.body))
    with Weir(conf(route="cache: answers", extra=CACHE), o) as w:
        assert get(w, "/", body=b"evil").body == b"to evil"
        assert get(w, "/").body == b"to "
        assert get(w, "/", body=b"other").body == b"to other"


def test_fields_that_connection_takes_out():
    """What the server does not see is not what the answer was made for."""
    o = Origin(lambda c, r: c.answer(f"for {r.get('X-Tenant')}", headers=[("Vary", "X-Tenant")]))
    with Weir(conf(route="cache: answers", extra=CACHE), o) as w:
        r = get(w, headers=[("X-Tenant", "a"), ("Connection", "close, X-Tenant")])
        assert r.body == b"for None" and r.get("Cache-Status") == "weir; fwd=bypass; detail=connection", r
        assert get(w, headers=[("X-Tenant", "a")]).body == b"for a"
        assert get(w, headers=[("X-Tenant", "a"), ("Connection", "x-tenant")]).body == b"for None"


def test_routes_with_other_rules():
    routes = ("[{path: /, host: [a.example], upstream: up, cache: answers, request_headers: {set: {Host: s, X-Key: a}}}, "
              "{path: /, methods: [POST], upstream: up, cache: answers, request_headers: {set: {X-Key: b}}}, "
              "{path: /, upstream: up, cache: answers, request_headers: {set: {X-Key: \"$http_x_tenant\"}}}]")
    o = Origin(lambda c, r: c.answer(f"{r.method} {r.get('X-Key')}"))
    with Weir(conf(routes=routes, extra=CACHE), o) as w:
        for _ in range(2):
            assert get(w, host="a.example").body == b"GET a"
            assert get(w, method="POST", body=b"x").body == b"POST b"
            for tenant in ("a", "b", "c"):
                assert get(w, headers=[("X-Tenant", tenant)]).body == b"GET " + tenant.encode()
        assert len(o.requests) == 5, [(r.method, r.get("Host"), r.get("X-Key")) for r in o.requests]


def test_reload_with_other_rules():
    """What was made under one rule is not given under another; and is there again with the first."""
    def rules(more, cache=CACHE):
        return conf(route="cache: answers" + more, extra=cache)

    o = Origin(lambda c, r: c.answer(f"{r.get('X-Key')} {r.body.decode()}"))
    post = {"method": "POST", "headers": [("Content-Type", "application/json")]}
    with Weir(rules(""), o) as w:
        assert get(w).body == b"None "
        assert get(w, body=b'{"a":1,"x":2}', **post).body == b'None {"a":1,"x":2}'
        w.reload(rules(", request_headers: {set: {X-Key: b}}"))
        assert get(w).body == b"b "
        w.reload(rules("", CACHE.replace("size:", "ignore_fields: [x], size:")))
        assert get(w, body=b'{"x":3,"a":1}', **post).body == b'None {"x":3,"a":1}'
        assert get(w, body=b'{"x":4,"a":1}', **post).body == b'None {"x":3,"a":1}'
        w.reload(rules(""))
        assert get(w, body=b'{"a":1}', **post).body == b'None {"a":1}'
        had = len(o.requests)
        assert get(w, body=b'{"x":2,"a":1}', **post).body == b'None {"a":1,"x":2}'
        assert get(w).body == b"None " and len(o.requests) == had


def test_a_304_that_varies_otherwise():
    """An answer that turns out to depend on a field is nobody else's any more."""
    vary = [None]

    def handler(c, r):
        more = [("Vary", vary[0])] if vary[0] else []
        tag = f'"{r.get("X-Tenant")}"' if vary[0] else '"None"'
        headers = [("ETag", tag), ("Cache-Control", "max-age=1"), *more]
        if r.get("If-None-Match") == tag:
            c.send(("HTTP/1.1 304 Not Modified\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n").encode())
        else:
            c.answer(f"for {r.get('X-Tenant')}" if vary[0] else "for None", headers=headers)

    o = Origin(handler)
    cache = CACHE.replace("size:", "stale: [], size:")
    with Weir(conf(route="cache: answers", extra=cache), o) as w:
        assert get(w).body == b"for None"
        vary[0] = "X-Tenant"
        eventually(lambda: get(w, headers=[("Cache-Control", "only-if-cached")]).status == 504)
        assert get(w).body == b"for None"
        assert get(w, headers=[("X-Tenant", "a")]).body == b"for a"
        assert get(w).body == b"for None"


if __name__ == "__main__":
    main()
