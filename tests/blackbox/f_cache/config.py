# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

HEAD = """listen: ["127.0.0.1:1"]
upstreams: {up: {servers: [127.0.0.1:2]}}
"""
ROUTE = "routes: [{path: /, upstream: up, cache: answers}]\n"


def check(text, *flags):
    """(code, what it said, the file's name taken out) of -t, or of what flags say."""
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        code, out, err = run_weir(*(flags or ("-t",)), "-c", path)
        return code, (out + err).replace(path, "FILE")


def refused(caches, *words, route=ROUTE):
    code, said = check(HEAD + caches + route)
    assert code == 1, (caches, said)
    for word in words:
        assert word in said, (word, said)


def test_defaults():
    code, out = check(HEAD + "caches: {answers: {}}\n" + ROUTE, "-T")
    assert code == 0, out
    for line in ("size: 100MB", "inactive: 1h", "max_object: 8MB", "valid: {}",
                 "stale: [error, timeout, updating, 500, 502, 503, 504]", "when: always",
                 "ignore_request_cache_control: false", "share_across_clients: false", "max_body: 1MB",
                 "single_flight: true", 'cache: "answers"', '- "GET"', '- "HEAD"', '- "user"',
                 '- "stream_options"'):
        assert line in out, (line, out)


def test_everything_said_comes_back():
    caches = """caches:
  answers:
    size: 5MB
    inactive: 90s
    max_object: 1MB
    valid: {200: 10m, 302: 1500ms, any: 1m}
    stale: [updating, 504]
    methods: [GET, POST]
    when: requested
    ignore_request_cache_control: true
    share_across_clients: true
    ignore_fields: ["a b", user]
    key_headers: [X-Tenant, Cookie]
    max_body: 64KB
    single_flight: false
    vary_max: 3
"""
    code, out = check(HEAD + caches + ROUTE, "-T")
    assert code == 0, out
    for line in ("size: 5MB", "inactive: 90s", "valid: {200: 10m, 302: 1500ms, any: 1m}", "stale: [updating, 504]",
                 "when: requested", "share_across_clients: true", '- "a b"', '- "X-Tenant"', "vary_max: 3"):
        assert line in out, (line, out)
    code, again = check(out, "-T")
    assert (code, again) == (0, out), again


def test_one_cache_for_many_routes():
    code, said = check(HEAD + "caches: {answers: {}}\nroutes:\n"
                       "- {path: /a, upstream: up, cache: answers}\n- {path: /b, upstream: up}\n"
                       "- {path: /, upstream: up, cache: answers}\n")
    assert code == 0, said


def test_names():
    refused("caches: {answers: {}}\n", "FILE:3:10: caches.answers: no route uses it",
            route="routes: [{path: /, upstream: up}]\n")
    refused("caches: {anwsers: {}}\n", "FILE:4:41: routes[0].cache: \"answers\" is not in caches",
            "did you mean anwsers?")
    refused("", "\"answers\" is not there, caches has no names")
    refused("caches: {answers: {}, answers: {}}\n", "twice here")
    refused("caches: {answers: {sise: 1MB}}\n", "caches.answers.sise: unknown key, did you mean size?")
    refused("caches: {answers: {}}\n", "no route uses it", route="")


def test_only_upstreams_have_one():
    refused("caches: {answers: {}}\n", "routes[0].cache: only answers of an upstream are kept",
            route="routes: [{path: /x, respond: {}, cache: answers}, {path: /, upstream: up}]\n")


def test_values_that_make_no_sense():
    for caches, word in (
            ("size: 1MB", "caches.answers.size: a cache of 1MB cannot hold an object of 8MB"),
            ("max_object: 100MB", "caches.answers.max_object: a cache of 100MB cannot hold an object of 100MB"),
            ("size: 0", "caches.answers.size: 0 is out of bounds"),
            ("inactive: 0", "caches.answers.inactive: 0 is out of bounds"),
            ("valid: {600: 1m}", "\"600\" is no status"), ("valid: {ok: 1m}", "\"ok\" is no status"),
            ("valid: {100: 1m}", "\"100\" is no status"), ("valid: {206: 1m}", "206 is never stored"),
            ("valid: {200: 0}", "caches.answers.valid.200: 0 is out of bounds"),
            ("valid: {200: 1m, 200: 2m}", "twice here"), ("valid: 10m", "a mapping such as"),
            ("stale: [updatin]", "did you mean updating?"), ("stale: [200]", "no status of a failure"),
            ("methods: [PUT]", "\"PUT\" is not known here"), ("methods: []", "0 entries"),
            ("methods: [HEAD]", "name GET too"), ("when: never", "\"never\" is not known"),
            ("key_headers: [\"a b\"]", "no field name"), ("max_body: 2MB", "out of bounds"),
            ("vary_max: 0", "out of bounds"), ("share_across_clients: perhaps", "neither true nor false")):
        refused("caches: {answers: {%s}}\n" % caches, word, "FILE:3:")


def test_updating_is_for_caches_only():
    code, said = check(HEAD.replace("}}", ", fail_on: [updating]}}") + "routes: [{path: /, upstream: up}]\n")
    assert code == 1 and '"updating" is not known here' in said, said


if __name__ == "__main__":
    main()
