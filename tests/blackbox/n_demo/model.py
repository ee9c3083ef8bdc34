# SPDX-License-Identifier: MIT
"""The demo's model instance does what it is told, and weir in front of it what it should."""
import base64
import contextlib
import json
import os
import subprocess
import time

import harness
from harness import BUILD, SANITIZER, Client, Closed, Weir, conf, eventually, free_port, get, main

QUESTION = {"messages": [{"role": "user", "content": "Where is the river?"}]}
FAST = {"ttft": 0, "rate": 0, "tokens": 10}


@contextlib.contextmanager
def model(**settings):
    """A running instance; its exit code is checked at the end."""
    m = Model({**FAST, **settings})
    try:
        yield m
        m.end()
    finally:
        m.process.kill()
        m.process.communicate()


class Model:
    def __init__(self, settings):
        self.port, self.code = free_port(), None
        self.addr = f"127.0.0.1:{self.port}"
        argv = [os.path.join(BUILD, "model"), "--listen", str(self.port), "--name", "m1"]
        for key, value in settings.items():
            argv.append(f"--{key.replace('_', '-')}={value}")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=harness.environment())
        line = self.process.stdout.readline().decode()
        assert line == f"model m1: listening on {self.addr}\n", (line, self.process.stderr.read())

    def end(self, code=0):
        if self.code is not None:
            return
        self.code = code
        if code == 0:
            self.process.terminate()
        _, err = self.process.communicate(timeout=20)
        assert self.process.returncode == code and not SANITIZER.search(err.decode()), (self.process.returncode, err)

    def stats(self):
        return json.loads(get(self.addr, "/stats").body)

    def control(self, **settings):
        r = get(self.addr, "/control?" + "&".join(f"{k}={v}" for k, v in settings.items()), method="POST")
        assert r.status == 200, r.body
        return json.loads(r.body)


def ask(client, stream=False, **more):
    body = json.dumps({**QUESTION, "stream": stream, **more}).encode()
    return client.request("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, body)


def events(body):
    assert body.endswith(b"\n\n"), body[-80:]
    return [e.removeprefix("data: ") for e in body.decode().split("\n\n")[:-1]]


def test_answers_in_openais_shape():
    with model() as m:
        c = Client(m)       # all on one connection
        r = ask(c).recv_response()
        a = json.loads(r.body)
        assert r.status == 200 and r.get("Content-Type") == "application/json" and r.get("X-Instance") == "m1", r
        assert a["object"] == "chat.completion" and a["choices"][0]["message"]["role"] == "assistant", a
        assert a["choices"][0]["finish_reason"] == "stop" and a["usage"]["completion_tokens"] == 10, a
        assert len(a["choices"][0]["message"]["content"].split()) == 10, a
        r = ask(c, stream=True, stream_options={"include_usage": True}).recv_response()
        assert r.get("Content-Type") == "text/event-stream" and r.complete, r
        *chunks, usage, done = events(r.body)
        chunks = [json.loads(e) for e in chunks]
        assert done == "[DONE]" and {e["object"] for e in chunks} == {"chat.completion.chunk"}, r.body
        text = "".join(e["choices"][0]["delta"].get("content", "") for e in chunks)
        assert text == a["choices"][0]["message"]["content"], "the same question, another answer"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop", chunks[-1]
        assert json.loads(usage)["usage"]["completion_tokens"] == 10, usage
        a = json.loads(ask(c, max_tokens=3).recv_response().body)
        assert a["choices"][0]["finish_reason"] == "length" and a["usage"]["completion_tokens"] == 3, a
        for target, type_, word in (("/v1/models", "application/json", b'"object":"list"'),
                                    ("/health", "application/json", b"ok"), ("/", "text/html", b"fetch(")):
            r = c.ask(target=target)
            assert r.status == 200 and r.get("Content-Type").startswith(type_) and word in r.body, r
        s = json.loads(c.ask(target="/stats").body)
        assert (s["asked"], s["answered"], s["failed"], s["tokens"], s["connections"]) == (3, 3, 0, 23, 1), s


def test_errors_and_bounds():
    with model() as m:
        c = Client(m)
        for body in (b"{", b"[]", b"{}", b'{"messages":[]}', b'{"messages":[{"role":"user"}]}'):
            r = c.ask("POST", "/v1/chat/completions", body=body)
            assert r.status == 400 and "message" in json.loads(r.body)["error"], (body, r)
        assert c.ask(target="/none").status == 404
        assert c.ask("DELETE", "/health").status == 405
        for head, status in ((b"GET / HTTP/1.1\r\nX: " + b"a" * 70000, 431),
                             (b"POST /echo HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n", 413),
                             (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n900000\r\n", 413),
                             (b"nonsense\r\n\r\n", 400)):
            r = harness.raw(m.addr, head)
            assert r.status == status and r.get("Connection") == "close", (head[:40], r)
            r.client.wait_closed()
        assert m.stats()["failed"] == 5


def test_lanes_keep_the_rest_waiting():
    with model(lanes=2, ttft=600000) as m:
        for _ in range(5):
            ask(Client(m))
        eventually(lambda: (m.stats()["in_flight"], m.stats()["waiting"]) == (2, 3), what="two run, three wait")
        m.control(lanes=4)
        assert (m.stats()["in_flight"], m.stats()["waiting"]) == (4, 1)


def test_pace():
    with model(ttft=200, rate=50) as m:
        c = ask(Client(m), stream=True, max_tokens=11)
        began = time.monotonic()
        c.recv_head()
        assert time.monotonic() - began > 0.19, "the first token came too early"
        c.recv_until(b"[DONE]")
        assert time.monotonic() - began > 0.39, "ten tokens more at 50 a second take 200 ms"


def test_faults():
    with model(fail_next=2) as m:
        c = Client(m)
        assert [ask(c).recv_response().status for _ in range(3)] == [503, 503, 200]
        m.control(slow_start=600000)
        assert ask(c).recv_response().status == 503 and c.ask(target="/health").status == 503
        m.control(slow_start=0)
        assert c.ask(target="/health").status == 200
        for how, end in (("close", "fin"), ("reset", "rst")):
            m.control(die_mid_stream=1, die_how=how, die_after=3)
            c = ask(Client(m), stream=True)
            r = c.recv_response()
            assert r.status == 200 and not r.complete and b"[DONE]" not in r.body, r
            assert c.wait_closed() == end, c.eof
            assert ask(Client(m), stream=True).recv_response().complete, "only one was to die"
        m.control(hang=1)
        c = ask(Client(m))
        eventually(lambda: m.stats()["waiting"] == 1)
        m.control(hang=0)
        assert c.recv_response().status == 200
        r = get(m.addr, "/control?lanes=0", method="POST")
        assert r.status == 400 and b"lanes" in r.body, r
        assert m.stats()["failed"] == 5
        m.control(die_mid_stream=1, die_how="exit")
        try:
            assert not ask(Client(m), stream=True).recv_response().complete
        except Closed:
            pass
        m.end(code=1)


def test_who_leaves_is_noticed_in_every_state():
    with model(ttft=600000, on_leave="stop") as m:
        def leave(client, **expected):
            before = m.stats()["abandoned"]
            client.close()
            eventually(lambda: m.stats()["abandoned"] == before + 1, what="the leaving is noticed")
            got = m.stats()
            assert {k: got[k] for k in expected} == expected, (expected, got)

        thinking, waiting = ask(Client(m)), ask(Client(m), stream=True)
        eventually(lambda: m.stats()["waiting"] == 1)
        leave(waiting, in_flight=1, waiting=0)
        leave(thinking, in_flight=0, waiting=0)
        m.control(ttft=0, rate=1)
        streaming = ask(Client(m), stream=True)
        streaming.recv_until(b"content")
        leave(streaming, in_flight=0)
        m.control(hang=1)
        leave(ask(Client(m)), waiting=0)
        assert m.stats()["tokens_for_nobody"] == 0
        m.control(hang=0, rate=0, ttft=300, on_leave="finish")
        c = ask(Client(m))
        eventually(lambda: m.stats()["in_flight"] == 1)
        leave(c)
        eventually(lambda: m.stats()["tokens_for_nobody"] == 10, what="it is computed for nobody")
        assert m.stats()["answered"] == 0


def test_through_weir_a_leaving_client_reaches_the_model():
    with model(ttft=600000) as m, Weir(conf(), m.addr) as w:
        c = ask(Client(w))
        eventually(lambda: m.stats()["in_flight"] == 1)
        c.close()
        eventually(lambda: m.stats()["abandoned"] == 1)
        m.control(ttft=0, rate=1)
        c = ask(Client(w), stream=True)
        c.recv_until(b"content")
        c.close()
        eventually(lambda: m.stats()["abandoned"] == 2)
        s = m.stats()
        assert (s["in_flight"], s["tokens_for_nobody"]) == (0, 0), s


def frame(opcode, data, mask=b"\x01\x02\x03\x04"):
    assert len(data) < 126
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data))


def test_the_websocket_echoes_through_weir():
    with model() as m, Weir(conf(), m.addr) as w:
        for to in (m, w):
            c = Client(to)
            key = base64.b64encode(b"sixteen bytes 16").decode()
            r = c.ask(target="/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade",
                                             "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"})
            assert r.status == 101 and len(r.get("Sec-WebSocket-Accept")) == 28, r
            for text in (b"hello", b"", "gr\u00fc\u00dfe".encode()):
                c.send(frame(1, text))
                assert c.recv_exactly(2 + len(text)) == bytes([0x81, len(text)]) + text
            c.send(frame(9, b"ping"))
            assert c.recv_exactly(6) == b"\x8a\x04ping"
            c.send(frame(8, b"\x03\xe8"))
            assert c.recv_exactly(4) == b"\x88\x02\x03\xe8"
            c.wait_closed()
            c.close()
        assert get(m.addr, "/ws").status == 426


def test_options():
    program = os.path.join(BUILD, "model")
    for argv, code, word in ((["--help"], 0, "--die-mid-stream"), (["--bogus", "1"], 2, "--bogus: not an option"),
                             (["--lanes", "0"], 2, "at least 1"), (["--lanes"], 2, "lacks its value"),
                             (["--die-how", "softly"], 2, "close|reset|exit"), (["--listen", "192.0.2.1:80"], 3, "cannot listen")):
        p = subprocess.run([program, *argv], capture_output=True, text=True, timeout=20, check=False,
                           env=harness.environment())
        assert p.returncode == code and word in p.stdout + p.stderr, (argv, p)


main()
