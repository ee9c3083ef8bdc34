# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 90
# valgrind: no (it keeps descriptors for itself and closes what it has no room for)


def stream(gates):
    def handler(c, r):
        if r.target != "/stream":
            c.answer("x")
            return
        c.chunked_head("text/event-stream")
        for i, g in enumerate(gates):
            g.wait()
            c.chunk(b"data: %d\n\n" % i)
        c.last_chunk()
    return handler


def test_out_of_descriptors():
    gates = [Gate() for _ in range(3)]
    o = Origin(stream(gates))
    with Weir(conf(), o, nofile=64) as w:
        streams = [Client(w).request(target="/stream") for _ in range(5)]
        gates[0].open()
        for c in streams:
            c.recv_until(b"data: 0\n\n")
        # More clients than there are descriptors; the kernel takes them, nobody answers the last.
        crowd = [Client(w) for _ in range(80)]
        late = crowd[-1].request()
        base = steady(w.descriptors, quiet=0.3)
        assert base <= 64
        assert late.buf == b"" and not select.select([late.sock], [], [], 0)[0]
        # It does not spin: CPU over a second (100 ticks) of waiting.
        before, began = w.ticks(), time.monotonic()
        time.sleep(1)
        used = w.ticks() - before
        assert used < 30 * (time.monotonic() - began), f"{used} ticks of CPU in a second of waiting"
        # Open streams go on.
        gates[1].open()
        for c in streams:
            c.recv_until(b"data: 1\n\n")
        # Room again: it goes on by itself.
        for c in crowd[:-1]:
            c.close()
        assert late.recv_response().status == 200
        assert get(w).status == 200
        gates[2].open()
        for c in streams:
            c.recv_until(b"0\r\n\r\n")


def test_no_descriptor_for_a_server_is_not_its_fault():
    """Whether the last one goes to a client or to its server depends on their number: both are met."""
    seen = []
    for idle in (0, 1):
        o = Origin(lambda c, r: c.answer("x") if r.target == "/x" else None)
        with Weir(conf(up="max_fails: 1, fail_timeout: 60s, keepalive: {idle: 0}"), o, nofile=48) as w:
            clients = [Client(w) for _ in range(idle)]
            for c in clients:
                assert c.ask(target="/x").status == 200
            for i in range(60):
                had = len(o.requests)
                clients.append(Client(w).request(target="/hang"))
                answered = select.select([clients[-1].sock], [], [], 0)[0]
                began = time.monotonic()
                while not answered and len(o.requests) == had and time.monotonic() - began < 1:
                    answered = select.select([clients[-1].sock], [], [], 0.01)[0]
                if answered or len(o.requests) == had:
                    break
            if answered:
                r = clients[-1].recv_response()
                line = w.log(1 + idle)[idle]
                assert r.status == 503 and (line["end"], line["server"]) == ("no_socket", o.addr), (r, line)
                seen.append(idle)
            assert "left out" not in w.stderr, w.stderr
            for c in clients:
                c.close()
            eventually(lambda w=w: get(w, "/x").status == 200)
            assert "left out" not in w.stderr, w.stderr
    assert seen, "no connection to a server was refused for want of a descriptor: this shows nothing"


def test_max_connections():
    o = Origin(stream([]))
    with Weir(conf(extra="client: {max_connections: 10}"), o) as w:
        eventually(lambda: len(os.listdir(f"/proc/{w.pid}/fd")) > 0)
        clients = []
        for _ in range(10):
            c = Client(w)
            assert c.ask().status == 200
            clients.append(c)
        late = Client(w).request()
        steady(w.descriptors, quiet=0.3)
        assert not select.select([late.sock], [], [], 0)[0], late.recv_some()
        assert clients[3].ask().status == 200
        clients[0].close()
        assert late.recv_response().status == 200


def test_descriptors_do_not_leak():
    o = Origin(lambda c, r: c.reset() if r.target == "/die" else c.answer("x"))
    with Weir(conf(up="max_fails: 0, retry: {tries: 1}"), o) as w:
        get(w)
        base = steady(w.descriptors, quiet=0.3)
        for i in range(60):
            get(w, "/die" if i % 3 == 0 else "/x")
            c = Client(w)
            c.send(b"GET / HT")
            c.reset() if i % 2 else c.close()
        eventually(lambda: w.descriptors() <= base)


if __name__ == "__main__":
    main()
