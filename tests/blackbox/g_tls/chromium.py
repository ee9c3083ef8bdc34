# SPDX-License-Identifier: MIT
"""A browser that believes the test's authority: pages, streams, WebSockets through TLS; and who it does not believe."""
import base64
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403
from browser import Browser  # noqa: E402

# limit: 120
ca = Authority()
NAME = "chat.example"


def frame(c):
    """The text of a small masked frame."""
    head = c.recv_exactly(2)
    mask = c.recv_exactly(4)
    return bytes(b ^ mask[i % 4] for i, b in enumerate(c.recv_exactly(head[1] & 127)))


def handler(c, r):
    if r.target == "/ws":
        key = r.get("Sec-WebSocket-Key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
               + base64.b64encode(hashlib.sha1(key).digest()) + b"\r\n\r\n")
        while True:
            text = frame(c)
            c.send(bytes((0x81, len(text))) + text)
    elif r.target == "/stream":
        c.chunked_head("text/event-stream")
        for i in range(1, 6):
            c.origin.gates[i].wait()
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    elif r.target == "/":
        c.answer("<!doctype html><title>page</title>hello", headers=[("Content-Type", "text/html")])
    else:
        c.answer(r.body)


def start(*pairs):
    o = Origin(handler)
    o.gates = [Gate() for _ in range(6)]
    w = Weir(conf(listen=listen(*pairs)), o)
    return w, o, f"https://{NAME}:{w.port}"


def browser():
    return Browser(30, ca.cert, f"--host-resolver-rules=MAP {NAME} 127.0.0.1")


def test_a_page_and_all_it_does():
    w, o, url = start(ca.issue(NAME))
    b = browser()
    b.open(url + "/")
    assert b.run("document.body.textContent") == "hello" and b.run("window.isSecureContext")
    b.run("""{
        window.seen = [];
        const source = new EventSource('/stream');
        source.onmessage = e => { window.seen.push(e.data); if (e.data === '5') source.close(); };
        window.socket = new WebSocket('wss://' + location.host + '/ws');
        window.heard = [];
        socket.onmessage = e => window.heard.push(e.data);
        socket.onopen = () => socket.send('one');
    }""")
    for i in range(1, 6):
        o.gates[i].open()
        b.until(f"window.seen.length === {i}")
        if i == 2:
            # A new certificate while both go on.
            w.reload(w.fill(conf(listen=listen(ca.issue(NAME)))))
    b.until("window.heard.length === 1")
    b.run("socket.send('two')")
    b.until("window.heard.join() === 'one,two'")
    body = "x" * 300000
    assert b.run(f"fetch('/echo', {{method: 'POST', body: 'x'.repeat({len(body)})}}).then(r => r.text())") == body
    assert b.run("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "http/1.1"
    b.run("socket.close()")


def test_who_is_not_believed():
    for pair, error in ((Authority("Other").issue(NAME), "ERR_CERT_AUTHORITY_INVALID"),
                        (ca.issue("elsewhere.example"), "ERR_CERT_COMMON_NAME_INVALID")):
        w, _, url = start(pair)
        b = browser()
        r = b.call("Page.navigate", url=url + "/")
        assert error in r.get("errorText", ""), r
        b.close()
        eventually(lambda: "TLS with client" in w.stderr)
        w.stop()


if __name__ == "__main__":
    main()
