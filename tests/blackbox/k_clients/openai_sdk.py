# SPDX-License-Identifier: MIT
"""The npm package openai: what a program in front of a language model does."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from programs import Model, node  # noqa: E402

# limit: 120


def sdk(w, scenario):
    return node("openai.cjs", f"http://{w.addr}", scenario)


def event(delta, finish=None):
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


WHOLE = json.dumps({"id": "x", "object": "chat.completion", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})


def test_models_and_a_whole_answer():
    m = Model(ttft=10, rate=0)
    w = Weir(conf(), m)
    p = sdk(w, "models")
    assert p.next() == ["qwen2.5-0.5b-demo"]
    p.end()
    p = sdk(w, "whole")
    got = p.next()
    p.end()
    assert len(got["text"].split()) == 7 and got["finish"] == "length", got
    assert got["usage"]["completion_tokens"] == 7 and got["instance"] == "m", got
    assert "sk-secret" not in "".join(w.lines())


def test_stream_delta_by_delta():
    """The server sends the next when the program has said that it has the last."""
    words = ["one", " two", " three"]
    gates = [Gate() for _ in range(len(words) + 1)]

    def handler(c, r):
        c.chunked_head("text/event-stream; charset=utf-8")
        for word, g in zip(words, gates):
            g.wait()
            c.chunk(event({"content": word}))
        gates[-1].wait()
        c.chunk(event({}, "stop") + b"data: [DONE]\n\n")
        c.last_chunk()
    o = Origin(handler)
    w = Weir(conf(), o)
    p = sdk(w, "stream")
    for word, g in zip(words, gates):
        g.open()
        assert p.next() == {"delta": word, "usage": None, "finish": None}
    gates[-1].open()
    assert p.next()["finish"] == "stop" and p.next() == "over"
    p.end()
    r = o.requests[0]
    assert r.get("Authorization") == "Bearer sk-secret" and json.loads(r.body)["stream"] is True
    assert w.log(1)[0]["end"] == "ok"


def test_stream_of_the_model():
    w = Weir(conf(), Model(ttft=10, rate=100))
    p = sdk(w, "stream")
    said = []
    while (x := p.next()) != "over":
        said.append(x)
    p.end()
    assert len([x for x in said if x["delta"]]) == 5, said
    assert said[-1]["usage"]["completion_tokens"] == 5, said


def test_abort_mid_stream_is_seen_at_the_server():
    m = Model(ttft=10, rate=50, tokens=8000)
    w = Weir(conf(), m)
    p = sdk(w, "abort")
    for _ in range(3):
        p.next()
        p.tell("go on")
    p.next()
    assert m.stats()["in_flight"] == 1
    p.tell("abort")
    eventually(lambda: m.stats()["in_flight"] == 0)
    s = m.stats()
    assert (s["asked"], s["abandoned"], s["tokens_for_nobody"]) == (1, 1, 0), s
    assert p.next() == "over"
    p.end()
    assert w.last()["end"] == "client_abort"


def test_leaving_the_loop_is_seen_at_the_server():
    m = Model(ttft=10, rate=50, tokens=8000)
    w = Weir(conf(), m)
    p = sdk(w, "leave")
    assert p.next() == 4
    # The program lives on.
    eventually(lambda: m.stats()["in_flight"] == 0)
    assert m.stats()["tokens_for_nobody"] == 0
    p.tell("end")
    p.end()


def test_timeout_of_the_program():
    m = Model(ttft=600000)
    w = Weir(conf(), m)
    p = sdk(w, "impatient")
    assert p.next()["error"] == "APIConnectionTimeoutError", p.said
    p.end()
    eventually(lambda: m.stats()["in_flight"] == 0)
    assert m.stats()["tokens_for_nobody"] == 0


def retry(up):
    """503 twice, with Retry-After: the package asks again when it was told to."""
    at = []

    def handler(c, r):
        at.append(time.monotonic())
        if len(at) <= 2:
            c.answer('{"error": {"message": "busy", "type": "server_error"}}',
                     "503 Service Unavailable",
                     [("Content-Type", "application/json"), ("Retry-After", "1")])
        else:
            c.answer(WHOLE, headers=[("Content-Type", "application/json")])
    o = Origin(handler)
    w = Weir(conf(up=up), o)
    p = sdk(w, "whole")
    assert p.next()["text"] == "fine", p.said
    p.end()
    # Its own pauses are half a second and a second, less a part by chance.
    assert len(at) == 3 and all(b - a >= 0.99 for a, b in zip(at, at[1:])), at
    assert [r.get("X-Stainless-Retry-Count") for r in o.requests] == ["0", "1", "2"]
    return w


def test_retry_after_503():
    w = retry("max_fails: 0")
    assert [x["status"] for x in w.log(3)] == [503, 503, 200]


def test_retry_after_503_of_a_server_left_out():
    """It was the only one: it is asked all the same."""
    retry("max_fails: 1, fail_timeout: 60s")


def test_refused_by_a_limit():
    """weir's own refusal says when to come back, and the package does."""
    for status in (429, 503):
        m = Model(ttft=1, rate=0)
        w = Weir(conf(route="limit: l", extra=f"limits: {{l: {{rate: 10/m, burst: 0, status: {status}}}}}"), m)
        assert get(w, "/v1/models").status == 200
        p = sdk(w, "whole")
        assert p.next()["finish"] == "length", p.said
        p.end()
        log = w.log(3)
        assert [x["status"] for x in log] == [200, status, 200], log
        assert [x["limit"] for x in log] == ["passed", "refused", "passed"], log


def test_503_of_one_server_never_shows():
    bad = Model("bad", fail_next=1000)
    good = Model("good", ttft=1, rate=0)
    w = Weir(conf(2, up="retry: {non_idempotent: true}"), bad, good)
    for _ in range(3):
        p = sdk(w, "whole")
        assert p.next()["instance"] == "good", p.said
        p.end()
    assert {x["status"] for x in w.log(3)} == {200}


def test_error_in_mid_stream():
    """The server dies: the program gets an error that says so, not the end of a short answer."""
    def handler(c, r):
        c.chunked_head("text/event-stream")
        c.chunk(event({"content": "half"}))
        c.close()
    w = Weir(conf(), Origin(handler))
    p = sdk(w, "stream")
    assert p.next()["delta"] == "half"
    got = p.next()
    p.end()
    assert (got["error"], got["code"]) == ("APIError", "body_cut") and got["message"], got
    assert w.last()["end"] == "body_cut"


def test_weirs_own_errors():
    """In a shape that the package understands."""
    w = Weir(conf(up="servers: [\"127.0.0.1:$PORT2\"]"))
    p = sdk(w, "without_retries")
    got = p.next()
    p.end()
    assert got["status"] == 502 and got["error"] == "InternalServerError", got
    assert (got["type"], got["code"]) == ("server_error", "connect_failed"), got
    assert got["message"] == "502 server refused the connection", got


def test_many_at_a_time():
    models = [Model(f"m{i}", ttft=5, rate=200, lanes=4) for i in range(4)]
    w = Weir(conf(4, up="balance: least_requests"), *models)
    p = sdk(w, "crowd")
    texts = p.next()
    p.end()
    assert len(texts) == 40 and all(len(t.split()) == 3 for t in texts), texts
    assert sum(m.stats()["answered"] for m in models) == 40
    assert all(m.stats()["answered"] for m in models)


if __name__ == "__main__":
    main()
