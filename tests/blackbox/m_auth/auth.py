# SPDX-License-Identifier: MIT
"""auth: passwords and API keys."""
import base64
import hashlib
import os
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import crypt  # noqa: E402  (there is none other in the standard library)

SALT = "abcdefghijklmnopqrstuu"


def bcrypt(password, cost=5):
    return crypt.crypt(password, f"$2y${cost:02d}${SALT}")


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def put(d, users=None, keys=None):
    if users is not None:
        with open(os.path.join(d, "users"), "w", encoding="utf-8") as f:
            f.write("".join(f"{n}:{h}\n" for n, h in users.items()))
    if keys is not None:
        with open(os.path.join(d, "keys"), "w", encoding="utf-8") as f:
            f.write("".join(f"{n}:{hashlib.sha256(k.encode()).hexdigest()}\n" for n, k in keys.items()))
    return d


USERS = {"ada": bcrypt("lovelace"), "bob": crypt.crypt("b:b", "$6$saltsalt$"),
         "eve": crypt.crypt("x" * 100, "$5$rounds=2000$salt$")}
KEYS = {"team a": "sk-one", "team b": "sk-two"}
BASIC = "basic: {file: $D/users}"
BOTH = "basic: {file: $D/users, realm: our models}, keys: {file: $D/keys}"


@contextlib.contextmanager
def daemon(auth, o=None, users=USERS, keys=KEYS, route="", **more):
    with folder() as d:
        put(d, users, keys)
        text = conf(route=", ".join(x for x in (f"auth: {{{auth}}}", route) if x), **more)
        with Weir(text, o or Origin(), D=d) as w:
            w.secrets = d
            yield w
            w.stop()
            for secret in ("lovelace", "sk-one", "sk-two", "Basic ", "Bearer "):
                assert secret not in w.stderr + w.stdout + "\n".join(w.lines()), "a credential in a log"


def test_passwords():
    o = Origin()
    with daemon(BASIC, o) as w:
        for n, (name, password) in enumerate((("ada", "lovelace"), ("bob", "b:b"), ("eve", "x" * 100)), 1):
            assert get(w, headers=basic(name, password)).status == 200, name
            assert w.last(n)["user"] == name
        assert not any(r.has("Authorization") for r in o.requests), "it ends here"
        for name, password in (("ada", "lovelac"), ("ada", ""), ("ada", "b:b"), ("nobody", "lovelace"),
                               ("", ""), ("Ada", "lovelace"), ("eve", "x" * 99), ("ada", "l" * 3000)):
            r = get(w, headers=basic(name, password))
            assert r.status == 401, (name, r)
            assert r.all("WWW-Authenticate") == ['Basic realm="weir", charset="UTF-8"'], r
        x = w.log(11)[3]
        assert (x["end"], x["rule"], x["status"]) == ("unauthorized", "invalid_password", 401), x
        assert "user" not in x
        assert len(o.requests) == 3


def test_keys():
    o = Origin()
    with daemon("keys: {file: $D/keys}", o) as w:
        assert get(w, headers=bearer("sk-one")).status == 200
        assert get(w, headers=bearer("sk-two")).status == 200
        assert [x["user"] for x in w.log(2)] == ["team a", "team b"]
        assert not any(r.has("Authorization") for r in o.requests)
        r = get(w, headers={**bearer("sk-three"), "Accept": "application/json"})
        assert r.status == 401 and r.all("WWW-Authenticate") == ['Bearer realm="weir", error="invalid_token"'], r
        e = json.loads(r.body)["error"]
        assert (e["code"], e["type"]) == ("invalid_api_key", "invalid_request_error"), e
        r = get(w)
        assert r.status == 401 and r.all("WWW-Authenticate") == ['Bearer realm="weir"'], r
        for value in ("sk-one", "Bearer", "Basic c2stb25lOg==", "bearer sk-one x", "Token sk-one"):
            assert get(w, headers={"Authorization": value}).status == 401, value
        two = [("Authorization", "Bearer sk-one")] * 2
        assert get(w, headers=two).status == 401
        assert len(o.requests) == 2


def test_either_will_do():
    with daemon(BOTH) as w:
        assert get(w, headers=basic("ada", "lovelace")).status == 200
        assert get(w, headers=bearer("sk-one")).status == 200
        r = get(w)
        assert r.all("WWW-Authenticate") == ['Basic realm="our models", charset="UTF-8"',
                                             'Bearer realm="our models"'], r


def test_hide_and_the_name():
    o = Origin()
    rules = "request_headers: {set: {X-User: $auth_user, X-Theirs: \"<$http_authorization>\"}}"
    with daemon("basic: {file: $D/users, hide: false}, keys: {file: $D/keys}", o, route=rules) as w:
        assert get(w, headers=basic("ada", "lovelace")).status == 200
        r = o.wait(1)
        assert r.get("Authorization") == basic("ada", "lovelace")["Authorization"]
        assert r.get("X-User") == "ada"
        assert get(w, headers={**bearer("sk-one"), "X-User": "root"}).status == 200
        r = o.wait(2)
        assert not r.has("Authorization") and r.all("X-User") == ["team a"], r
        assert r.get("X-Theirs") == "<>", r
        w.reload(conf(route="auth: {keys: {file: $D/keys}}, "
                            "request_headers: {set: {Authorization: Bearer of-the-server}}"))
        assert get(w, headers=bearer("sk-one")).status == 200
        assert o.wait(3).all("Authorization") == ["Bearer of-the-server"]


def test_hidden_on_every_way():
    """From another server that is asked, from who is asked to change the protocol, with what the field says of
    itself."""
    a, b = Origin(lambda c, r: c.answer("x", "503 Busy")), Origin()
    with daemon("keys: {file: $D/keys}", a, users=None) as w:
        w.set_origins(a, b)
        w.reload(conf(2, route="auth: {keys: {file: $D/keys}}"))
        for _ in range(2):
            assert get(w, headers=bearer("sk-one")).status == 200
        assert a.requests and b.requests
        b.handler = lambda c, r: c.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        c = Client(w).request(headers={**bearer("sk-one"), "Connection": "upgrade", "Upgrade": "x"})
        assert c.recv_head().status == 101
        c.close()
        b.handler = None
        lines = {"GET http://sk-one:x@test.example/a@b HTTP/1.1\r\nHost: test.example": "http://***@test.example/a@b",
                 "GET http://sk-one@ HTTP/1.1\r\nHost: x": "http://***@", "GET sk-one@x HTTP/1.1\r\nHost: x": "***@x",
                 "GET /@ HTTP/1.1\r\nHost: sk-one:lovelace@x": "/@"}
        for line in lines:
            assert raw(w, line.encode() + b"\r\n\r\n").status == 400, line
        assert [x["target"] for x in w.log(7) if x["status"] == 400] == list(lines.values())
        assert not any(r.has("Authorization") or r.has("Proxy-Authorization") for r in a.requests + b.requests)
        assert get(w, headers={"Proxy-Authorization": "Bearer sk-one"}).status == 401


def test_a_browser_asks_first():
    """A preflight has no credential: it gets in by a route of its own."""
    routes = "[{path: /, methods: [OPTIONS], upstream: up}, {path: /, upstream: up, auth: {keys: {file: $D/keys}}}]"
    with folder() as d:
        put(d, keys=KEYS)
        with Weir(conf(routes=routes), Origin(), D=d) as w:
            ask = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
            assert get(w, method="OPTIONS", headers=ask).status == 200
            assert get(w).status == 401


def test_limits_by_name():
    with daemon("keys: {file: $D/keys}", route="limit: l",
                extra="limits: {l: {key: auth, rate: 1/h, burst: 1}}\n") as w:
        assert [get(w, headers=bearer("sk-one")).status for _ in range(3)] == [200, 200, 429]
        assert [get(w, headers=bearer("sk-no")).status for _ in range(3)] == [401] * 3
        assert [get(w, headers=bearer("sk-two")).status for _ in range(3)] == [200, 200, 429]


def test_before_limits_after_lists():
    with daemon("keys: {file: $D/keys}", route="limit: l, deny: 127.0.0.2",
                extra="limits: {l: {rate: 1/h}}\n") as w:
        assert [get(w).status for _ in range(3)] == [401] * 3
        assert get(w, headers=bearer("sk-one")).status == 200
        assert get(w, headers=bearer("sk-one")).status == 429
        assert get(w, headers=bearer("sk-one"), source="127.0.0.2").status == 403


def test_keep_alive_body_and_own_answers():
    o = Origin(lambda c, r: c.answer(r.body))
    routes = "[{exact: /r, respond: {body: hi}, auth: {basic: {file: $D/users}}}, " \
             "{path: /, upstream: up, auth: {basic: {file: $D/users}}}]"
    with folder() as d:
        put(d, USERS)
        with Weir(conf(routes=routes), o, D=d) as w:
            c = Client(w)
            assert c.ask().status == 401
            assert c.ask(target="/r").status == 401
            # The password is checked while the body comes.
            for body in (b"x" * 10, b"y" * 200000):
                r = c.ask("POST", headers=basic("ada", "lovelace"), body=body)
                assert (r.status, r.body) == (200, body)
            r = c.ask("POST", headers=basic("bob", "b:b"), body=b"z" * 70000, chunked=True)
            assert (r.status, r.body) == (200, b"z" * 70000)
            assert c.ask(target="/r", headers=basic("ada", "lovelace")).body == b"hi"


def test_a_right_password_is_checked_once():
    """With a hash that takes a while: the second time costs nothing."""
    with daemon(BASIC, users={"ada": bcrypt("lovelace", 11)}) as w:
        assert get(w, headers=basic("ada", "lovelace")).status == 200
        before = w.ticks()
        assert [get(w, headers=basic("ada", "lovelace")).status for _ in range(20)] == [200] * 20
        first = w.ticks()
        assert get(w, headers=basic("ada", "wrong")).status == 401
        assert first - before < 20 * (w.ticks() - first) / 4 + 20


def test_many_at_once_share_a_check():
    with daemon(BASIC, users={"ada": bcrypt("lovelace", 10)}) as w:
        clients = [Client(w).request(headers=basic("ada", "lovelace")) for _ in range(20)]
        assert [c.recv_response().status for c in clients] == [200] * 20
        clients = [Client(w).request(headers=basic("ada", "wrong")) for _ in range(20)]
        assert [c.recv_response().status for c in clients] == [401] * 20


def test_it_cannot_be_exhausted():
    """Wrong passwords without end: others are served meanwhile, the one who asks is refused some."""
    routes = "[{exact: /free, respond: {}}, {path: /, upstream: up, auth: {basic: {file: $D/users}}}]"
    with folder() as d:
        put(d, {"ada": bcrypt("lovelace", 12), "bob": USERS["bob"]})
        with Weir(conf(routes=routes), Origin(), D=d) as w:
            assert get(w, headers=basic("bob", "b:b")).status == 200
            clients = [Client(w).request(headers=basic("ada", f"wrong {i}")) for i in range(12)]
            busy = [c for c in clients[4:] if c.recv_response().status == 503]
            assert len(busy) >= 4, len(busy)
            assert get(w, "/free").status == 200
            assert get(w, headers=basic("bob", "b:b")).status == 200, "who is remembered needs no check"
            x = next(x for x in w.log(4) if x["status"] == 503)
            assert x["end"] == "auth_busy", x
            # They leave: what nobody waits for is not done, and the daemon ends in order.
            for c in clients:
                c.reset()
            eventually(lambda: get(w, headers=basic("bob", "no")).status == 401)


def test_stopping_in_the_middle():
    with folder() as d:
        put(d, {"ada": bcrypt("lovelace", 12)})
        with Weir(conf(route=f"auth: {{{BASIC}}}").replace("drain_timeout: 5s", "drain_timeout: 1ms"),
                  Origin(), D=d) as w:
            for i in range(3):
                Client(w).request(headers=basic("ada", f"wrong {i}"))
            w.signal(signal.SIGTERM)
            assert w.wait() == 0


def test_reload():
    with daemon(BOTH) as w:
        assert get(w, headers=basic("ada", "lovelace")).status == 200
        put(w.secrets, users={"ada": bcrypt("byron")}, keys={"team c": "sk-three"})
        assert get(w, headers=bearer("sk-one")).status == 200, "read when it is told to"
        w.reload()
        assert get(w, headers=basic("ada", "lovelace")).status == 401, "remembered no more"
        assert get(w, headers=basic("ada", "byron")).status == 200
        assert get(w, headers=bearer("sk-one")).status == 401
        assert get(w, headers=bearer("sk-three")).status == 200
        put(w.secrets, users={"ada": "secret"})
        said = w.reload(ok=False)
        assert f"auth.basic.file: {w.secrets}/users:1: neither bcrypt nor SHA-crypt" in said, said
        assert ":secret" not in said
        os.unlink(os.path.join(w.secrets, "keys"))
        assert "keys: there is no such file" in w.reload(ok=False)
        assert get(w, headers=basic("ada", "byron")).status == 200, "what was stays"


def test_answers_are_not_shared():
    """The server does not see who asks, so it cannot say whose an answer is."""
    o = Origin(lambda c, r: c.answer(r.get("X-User", "?"), headers=[("Cache-Control", r.get("X-CC", "max-age=60"))]))
    with daemon("keys: {file: $D/keys}", o, route="cache: c", extra="caches: {c: {methods: [GET, POST]}}\n") as w:
        for key in ("sk-one", "sk-two", "sk-one"):
            assert get(w, headers=bearer(key)).status == 200
        assert len(o.requests) == 3, "an answer to Authorization is stored when the server says so"
        for key in ("sk-one", "sk-two"):
            assert get(w, "/p", headers={**bearer(key), "X-CC": "public, max-age=60"}).status == 200
        assert len(o.requests) == 4, "public is for all who may ask"
        assert get(w, "/p").status == 401
        assert get(w, "/p", headers=bearer("sk-no")).status == 401
        for key in ("sk-one", "sk-two", "sk-one"):
            assert get(w, "/q", method="POST", body=b"{}", headers={**bearer(key), "X-CC": "public, max-age=60"}).status == 200
        assert len(o.requests) == 6, "a POST is its asker's"


def test_answers_with_the_name_in_the_request():
    o = Origin(lambda c, r: c.answer(r.get("X-User"), headers=[("Cache-Control", "public, max-age=60")]))
    with daemon("keys: {file: $D/keys}", o, route="cache: c, request_headers: {set: {X-User: $auth_user}}",
                extra="caches: {c: {}}\n") as w:
        got = [get(w, headers=bearer(k)).body for k in ("sk-one", "sk-two", "sk-one", "sk-two")]
        assert got == [b"team a", b"team b"] * 2, got
        assert len(o.requests) == 2


def test_combined_log():
    with daemon("keys: {file: $D/keys}") as w:
        text = conf(route="auth: {keys: {file: $D/keys}}").replace("format: json", "format: combined")
        w.reload(text)
        get(w, headers=bearer("sk-two"))
        get(w)
        eventually(lambda: len(w.lines()) == 2)
        assert w.lines()[0].startswith('127.0.0.1 - team b ['), w.lines()
        assert w.lines()[1].startswith('127.0.0.1 - - ['), w.lines()


if __name__ == "__main__":
    main()
