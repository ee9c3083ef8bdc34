# SPDX-License-Identifier: MIT
"""wrk: many connections, as fast as it goes; every answer is accounted for."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model, Wrk  # noqa: E402

ECHO = """
wrk.method = "POST"
local body = string.rep("0123456789abcdef", 1000)
wrk.body = body
local wrong = 0
function response(status, headers, got)
	if status ~= 200 or got ~= body then
		wrong = wrong + 1
		if wrong == 1 then io.stderr:write("wrong answer: ", status, " ", #got, "\\n") end
	end
end
"""
PIPELINE = """
init = function(args)
	local r = {}
	for i = 1, 16 do r[i] = wrk.format("GET", "/bytes?n=" .. i * 10) end
	all = table.concat(r)
end
request = function() return all end
"""


def run(w, models, target, connections, script=None, seconds=2):
    path = None
    if script:
        path = os.path.join(w.dir, "script.lua")
        with open(path, "w", encoding="ascii") as f:
            f.write(script)
    wrk = Wrk(w, target, connections, seconds, path)
    got = wrk.finish()
    assert [got[k] for k in ("connect", "read", "write", "timeout", "status")] == [0] * 5, got["text"]
    assert not wrk.stderr, wrk.stderr
    assert got["requests"] > 100, got["text"]
    w.stop()
    lines = [json.loads(x) for x in w.lines()]
    ok = [x for x in lines if x["end"] == "ok" and x["status"] == 200]
    assert len(ok) >= got["requests"], (len(ok), got["text"])
    # What was under way when the time was over.
    assert {x["end"] for x in lines} <= {"ok", "client_abort"}, {x["end"] for x in lines}
    assert len(lines) - len(ok) <= connections
    if len(models) > 1:
        n = [sum(x["server"] == m.addr for x in ok) for m in models]
        assert max(n) - min(n) <= connections, n
    return got


def test_small_answers():
    models = [Model(f"m{i}") for i in range(4)]
    run(Weir(conf(4), *models), models, "/bytes?n=200", 64)


def test_bodies_both_ways():
    """What comes back is what was sent, by each of 32 connections at once."""
    m = Model()
    run(Weir(conf(), m), [m], "/echo?raw=1", 32, ECHO)


def test_pipelined():
    m = Model()
    run(Weir(conf(), m), [m], "/", 8, PIPELINE)


def test_a_connection_for_each():
    """Opened, asked and closed by both, over and over."""
    def handler(c, r):
        c.answer(r.target, headers=[("Connection", "close")])
    o = Origin(handler)
    w = Weir(conf(), o)
    run(w, [o], "/", 16, 'wrk.headers["Connection"] = "close"', 1)


if __name__ == "__main__":
    main()
