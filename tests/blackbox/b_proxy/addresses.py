# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def test_unix_sockets_on_both_sides():
    with folder() as d:
        o = Origin(path=d + "/o.sock")
        with Weir(conf(listen='"127.0.0.1:$PORT", "unix:$DIR/w.sock"', up='servers: ["$O1"]'), o) as w:
            path = "unix:" + os.path.join(w.dir, "w.sock")
            assert get(path, "/x").body == b"origin"
            assert get(w, "/y").body == b"origin"
            assert not o.requests[0].has("X-Real-IP"), o.requests[0].headers
            assert o.requests[1].get("X-Real-IP") == "127.0.0.1"
            assert w.last(1)["server"] == o.addr
            # A unix peer is this machine and believed.
            get(path, "/z", {"X-Forwarded-For": "1.2.3.4"})
            assert o.requests[2].get("X-Real-IP") == "1.2.3.4"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_ipv6():
    if not has_ipv6():
        raise Skip("no IPv6 here")
    o = Origin(host="::1")
    with Weir(conf(listen='"[::1]:$PORT"', up='servers: ["$O1"]'), o, ready=False) as w:
        w.addr = f"[::1]:{w.port}"
        w.wait_ready(w.addr)
        assert get(w).body == b"origin"
        assert o.requests[0].get("X-Forwarded-For") == "::1"
        assert w.last()["client"] == "::1"


def test_names():
    o = Origin()
    with Weir(conf(up=f"servers: [localhost:{o.port}]"), o) as w:
        assert get(w).body == b"origin"
        assert w.last()["server"].startswith("localhost:")


def test_a_name_that_does_not_resolve_is_a_warning():
    o = Origin()
    with Weir(conf(up="servers: [\"no-such-host.invalid:80\", $O1], retry: {tries: 1}"), o) as w:
        assert "no-such-host.invalid" in w.stderr, w.stderr
        assert [get(w).body for _ in range(4)] == [b"origin"] * 4


def test_several_listeners():
    o = Origin()
    with Weir(conf(listen='"127.0.0.1:$PORT", "127.0.0.1:$PORT2"'), o) as w:
        get(w)
        get(f"127.0.0.1:{w.names['PORT2']}")
        assert [r.get("X-Forwarded-Port") for r in o.requests] == [str(w.port), str(w.names["PORT2"])]


if __name__ == "__main__":
    main()
