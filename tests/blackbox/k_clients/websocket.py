# SPDX-License-Identifier: MIT
"""The npm package ws, as server and as client, weir between."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import node  # noqa: E402


class Pair:
    """A server that runs in node, weir in front; what clients say and what the server says."""

    def __init__(self, **more):
        self.server = node("ws.cjs", "serve")
        self.server.is_client = False
        self.w = Weir(conf(**more), f"127.0.0.1:{self.server.next()}")

    def client(self, scenario):
        return node("ws.cjs", f"ws://{self.w.addr}", scenario)

    def said(self, scenario):
        """All that the client says."""
        c = self.client(scenario)
        c.process.stdin.close()
        lines = [json.loads(x) for x in c.process.stdout.read().splitlines()]
        assert c.wait() == 0, c.stderr
        return lines


def test_echo():
    p = Pair()
    got = p.said("echo")
    assert got == [{"protocol": "chat.v2", "extensions": "permessage-deflate"}, ["text", "false"],
                   [True, True], ["are you there"], ["one two three", "false"], [4001, "enough"]], got
    assert p.server.next() == {"closed": "/echo", "code": 4001, "reason": "enough"}
    line = p.w.last()
    assert (line["status"], line["end"], line["target"]) == (101, "ok", "/echo"), line


def test_the_server_says_goodbye():
    p = Pair()
    assert p.said("goodbye") == [[4010, "server says so"]]
    assert p.server.next() == {"closed": "/goodbye", "code": 4010, "reason": "server says so"}
    assert p.w.last()["end"] == "ok"


def test_the_server_speaks_first():
    """What stands right behind the 101 is not lost."""
    p = Pair()
    for _ in range(3):
        assert p.said("speaks_first") == [True]


def test_no_is_an_ordinary_answer():
    p = Pair()
    assert p.said("forbidden") == [[401, "x", "no\n"]]
    assert p.w.last()["status"] == 401


def test_client_vanishes():
    p = Pair()
    assert p.said("vanish") == [[1006, ""]]
    assert p.server.next() == {"closed": "/vanish", "code": 1006, "reason": ""}


def test_server_vanishes():
    p = Pair()
    c = p.client("abandoned")
    assert c.next() == "open"
    p.server.close()
    assert c.next() == [1006, ""], c.said
    c.end()


def test_idle_tunnel_ends():
    p = Pair(up="timeouts: {idle: 300ms}")
    c = p.client("abandoned")
    assert c.next() == "open"
    assert c.next() == [1006, ""], c.said
    c.end()
    assert p.server.next()["code"] == 1006
    assert p.w.last()["end"] == "tunnel_idle", p.w.lines()


def test_fifty_at_a_time():
    p = Pair()
    before = p.w.descriptors()
    assert p.said("crowd") == [True]
    assert [p.server.next()["code"] for _ in range(50)] == [1000] * 50
    assert {x["end"] for x in p.w.log(50)} == {"ok"}
    eventually(lambda: p.w.descriptors() <= before)


if __name__ == "__main__":
    main()
