# SPDX-License-Identifier: MIT
"""A browser: the chat page, a WebSocket, an EventSource."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from browser import Browser  # noqa: E402
from programs import Model  # noqa: E402

# limit: 120
ASK = """{
	const asked = document.getElementById('question');
	asked.value = %s;
	document.getElementById('ask').requestSubmit();
}"""
# What the answers look like at every change of the page.
WATCH = """{
	window.seen = [];
	new MutationObserver(() => {
		const text = [...document.querySelectorAll('.model .text')].map(e => e.textContent).at(-1);
		if (text !== window.seen.at(-1))
			window.seen.push(text);
	}).observe(document.getElementById('talk'), { childList: true, subtree: true, characterData: true });
}"""
ANSWER = "[...document.querySelectorAll('.model .text')].at(-1).textContent"
NOTE = "[...document.querySelectorAll('.model small')].at(-1).textContent"
IDLE = "document.getElementById('send').textContent === 'Send'"


def ask(b, question):
    b.run(ASK % json.dumps(question))


def delta(text):
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": {"content": text}, "finish_reason": None}]}).encode() + b"\n\n"


def logged(w, target, n=1):
    """The access log's lines about it: the browser asks for an icon too, or not."""
    def about():
        got = [x for x in map(json.loads, w.lines()) if x["target"] == target]
        return got if len(got) >= n else None
    return eventually(about, what=f"{n} lines about {target}")


def page_and(text):
    """The page comes from the model instance $O1, the paths in the text from elsewhere."""
    return ('listen: ["127.0.0.1:$PORT"]\nupstreams:\n  page: {servers: [$O1]}\n' + text +
            "\n  - {path: /, upstream: page}\n" + DEFAULTS)


def test_tokens_appear_one_by_one():
    """The server says the next word when the page has shown the last."""
    words = ["One", " by", " one", " they", " come."]
    gates = [Gate() for _ in words]

    def handler(c, r):
        c.chunked_head("text/event-stream", [("X-Instance", "scripted")])
        for word, g in zip(words, gates):
            g.wait()
            c.chunk(delta(word))
        c.chunk(b"data: [DONE]\n\n")
        c.last_chunk()
    o = Origin(handler)
    w = Weir(page_and("  ai: {servers: [$O2]}\nroutes:\n  - {path: /v1/, upstream: ai}"), Model(), o)
    b = Browser()
    b.open(f"http://{w.addr}/")
    b.run(WATCH)
    ask(b, "Hello?")
    said = json.loads(o.wait().body)
    assert said["stream"] and said["messages"] == [{"role": "user", "content": "Hello?"}], said
    so_far = ""
    for word, g in zip(words, gates):
        assert b.run(ANSWER) == so_far and not b.run(IDLE)
        g.open()
        so_far += word
        b.until(f"{ANSWER} === {json.dumps(so_far)}")
    b.until(IDLE)
    whole = ["".join(words[:i]) for i in range(len(words) + 1)]
    assert b.run("window.seen") == whole
    assert "scripted · first token" in b.run(NOTE) and "5 tokens" in b.run(NOTE)
    assert logged(w, "/v1/chat/completions")[0]["end"] == "ok"


def test_chat_with_the_model():
    """Two questions; the second carries the first; no two tokens came in one piece."""
    models = [Model(f"m{i}", ttft=50, rate=25, tokens=12) for i in range(2)]
    w = Weir(conf(2, up="balance: ip_hash, retry: {non_idempotent: true}"), *models)
    b = Browser()
    b.open(f"http://{w.addr}/")
    b.run(WATCH)
    for n in (1, 2):
        ask(b, f"Question number {n}")
        b.until(f"document.querySelectorAll('.model').length === {n} && {IDLE}")
        seen = [x for x in b.run("window.seen") if x is not None]
        b.run("window.seen.length = 0")
        final = b.run(ANSWER)
        assert len(final.split()) == 12 and final.endswith("."), final
        assert seen[-1] == final and all(y.startswith(x) for x, y in zip(seen, seen[1:])), seen
        assert len(seen) > 8, f"the answer came in {len(seen)} pieces: {seen}"
    stats = [m.stats() for m in models]
    assert sorted(s["answered"] for s in stats) == [0, 2], "the chat has changed its server"
    assert "12 tokens" in b.run(NOTE) and b.run("document.querySelectorAll('.error').length") == 0


def test_stop_button_stops_the_model():
    m = Model(ttft=10, rate=50, tokens=8000)
    w = Weir(conf(), m)
    b = Browser()
    b.open(f"http://{w.addr}/")
    ask(b, "A long one")
    b.until(f"{ANSWER}.split(' ').length > 5")
    assert m.stats()["in_flight"] == 1
    b.run("document.getElementById('ask').requestSubmit()")
    b.until(IDLE)
    eventually(lambda: m.stats()["in_flight"] == 0)
    s = m.stats()
    assert (s["abandoned"], s["tokens_for_nobody"]) == (1, 0), s
    assert "stopped" in b.run(NOTE)
    assert logged(w, "/v1/chat/completions")[0]["end"] == "client_abort"


def test_closed_page_stops_the_model():
    m = Model(ttft=10, rate=50, tokens=8000)
    w = Weir(conf(), m)
    b = Browser()
    b.open(f"http://{w.addr}/")
    ask(b, "A long one")
    b.until(f"{ANSWER}.split(' ').length > 5")
    b.close_page()
    eventually(lambda: m.stats()["in_flight"] == 0)
    assert m.stats()["tokens_for_nobody"] == 0


def test_dying_server_is_told_and_the_next_question_answered():
    models = [Model("dies", ttft=10, rate=50, tokens=20, die_mid_stream=1, die_how="exit"),
              Model("lives", ttft=10, rate=100, tokens=20)]
    w = Weir(page_and("  ai: {servers: [$O2, $O3], retry: {non_idempotent: true}}\n"
                      "routes:\n  - {path: /v1/, upstream: ai}"), Model("page"), *models)
    b = Browser()
    b.open(f"http://{w.addr}/")
    ask(b, "Who are you?")
    b.until(IDLE + " && document.querySelectorAll('.model .error').length === 1")
    # What came together with the cut the browser throws away.
    assert len(b.run(ANSWER).split()) <= 3, b.run(NOTE)
    assert "dies" in b.run(NOTE), b.run(NOTE)
    assert models[0].wait() == 1
    for n in (2, 3):
        ask(b, "And now?")
        b.until(f"document.querySelectorAll('.model').length === {n} && {IDLE}")
        assert len(b.run(ANSWER).split()) == 20 and "lives" in b.run(NOTE), b.run(NOTE)
    assert b.run("document.querySelectorAll('.error').length") == 1
    assert [x["end"] for x in logged(w, "/v1/chat/completions", 3)] == ["body_cut", "ok", "ok"]


def test_websocket():
    m = Model()
    w = Weir(conf(), m)
    b = Browser()
    b.open(f"http://{w.addr}/health")
    got = b.run("""new Promise((done, fail) => {
	const got = [], s = new WebSocket('ws://' + location.host + '/ws');
	s.binaryType = 'arraybuffer';
	const big = new Uint8Array(300000).map((_, i) => i * 7);
	s.onerror = () => fail('error');
	s.onopen = () => { got.push('open'); s.send('h\\u00e9llo'); };
	s.onmessage = (e) => {
		if (typeof e.data === 'string') {
			got.push(e.data);
			s.send(big);
		} else {
			const same = e.data.byteLength === big.length &&
			    new Uint8Array(e.data).every((x, i) => x === big[i]);
			got.push(same ? 'same' : 'differs');
			s.close(4001, 'enough');
		}
	};
	s.onclose = (e) => { got.push(e.code, e.wasClean); done(got); };
})""")
    assert got == ["open", "h\u00e9llo", "same", 4001, True], got
    assert (logged(w, "/ws")[0]["end"], logged(w, "/ws")[0]["status"]) == ("ok", 101)


def test_websocket_survives_a_reload():
    m = Model()
    w = Weir(conf(), m)
    b = Browser()
    b.open(f"http://{w.addr}/health")
    b.run("""new Promise((done, fail) => {
	window.got = [];
	window.s = new WebSocket('ws://' + location.host + '/ws');
	s.onopen = done;
	s.onerror = fail;
	s.onmessage = (e) => got.push(e.data);
	s.onclose = () => got.push('closed');
})""")
    for i in range(3):
        w.reload(conf(up=f"max_fails: {i + 3}"))
        b.run(f"s.send('{i}')")
        b.until(f"got.length === {i + 1}")
    assert b.run("got") == ["0", "1", "2"]


EVENTS = """
	window.got = [];
	window.states = [];
	window.source = new EventSource('/feed');
	source.onmessage = (e) => got.push(e.lastEventId + ':' + e.data);
	source.onerror = (e) => states.push(e.data === undefined ? source.readyState : JSON.parse(e.data));
"""


def test_event_source_reconnects():
    """Ended, cut and refused: each time it comes back with the last id it has seen."""
    ends = ["end", "cut", "refuse", "hold"]
    asked = []
    hold = Gate()

    def handler(c, r):
        how = ends[min(len(asked), 3)]
        last = int(r.get("Last-Event-ID", "0"))
        asked.append(last)
        if how == "refuse":
            c.close()
            return
        assert r.get("Accept") == "text/event-stream"
        c.chunked_head("text/event-stream")
        c.chunk(b"retry: 50\n\n")
        for i in range(last + 1, last + 4):
            c.chunk(b"id: %d\ndata: n%d\n\n" % (i, i))
        if how == "cut":
            c.close()
            return
        if how == "hold":
            hold.wait()
        c.last_chunk()
    # An answer without 200 would end it for good (that is the browser's rule): weir asks another.
    w = Weir(page_and("  feed: {servers: [$O2, $O3], max_fails: 0}\n"
                      "routes:\n  - {path: /feed, upstream: feed}"), Model(), Origin(handler), Origin(handler))
    b = Browser()
    b.open(f"http://{w.addr}/health")
    b.run("{" + EVENTS + "}")
    b.until("got.length >= 9")
    assert b.run("got") == [f"{i}:n{i}" for i in range(1, 10)]
    assert asked == [0, 3, 6, 6], asked
    states = b.run("states")
    # The cut one was told why before it reconnected; 0 is "connecting".
    assert [s for s in states if isinstance(s, int)] == [0, 0], states
    told = [s for s in states if not isinstance(s, int)]
    assert len(told) == 1 and told[0]["error"]["message"], states
    b.run("source.close()")
    assert [x["end"] for x in logged(w, "/feed", 3)] == ["ok", "body_cut", "client_abort"]
    hold.open()


def test_event_source_moves_to_another_server():
    models = [Model(f"m{i}") for i in range(2)]
    w = Weir(conf(2, up="balance: round_robin"), *models)
    b = Browser()
    b.open(f"http://{w.addr}/health")
    b.run("{" + EVENTS.replace("/feed", "/events?n=100000&ms=20") + "}")
    b.until("got.length > 3")
    serving = next(m for m in models if m.stats()["connections_open"] > 1 and
                   m.stats()["paths"]["/events"] == 1)
    serving.kill()
    other = next(m for m in models if m is not serving)
    eventually(lambda: other.stats()["paths"]["/events"] == 1, 20, "it asks again")
    had = b.run("got.length")
    b.until(f"got.length > {had} + 3")
    b.run("source.close()")


if __name__ == "__main__":
    main()
