# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 120
# Never is one client's answer given to another, whatever a server sends and when it sends it.
import random

WRONG = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG"
ONE_TRY = "max_fails: 0, retry: {tries: 1}"


def meet(late):
    """A client's request first, then late(conn) on the idle connection, both in one turn."""
    o = Origin(lambda c, r: c.answer("right " + r.target))
    with Weir(conf(up=ONE_TRY), o) as w:
        for i in range(5):
            c = Client(w)
            assert c.ask("POST", f"/{i}/first", body=b"x").body == b"right /%d/first" % i
            idle = o.requests[-1].conn
            had = len(idle.requests)
            with stopped(w):
                c.request("POST", f"/{i}/second", body=b"x")
                late(idle)
            r = c.recv_response()
            assert (r.status, r.body) == (200, b"right /%d/second" % i), (i, r, r.body)
            assert len(idle.requests) == had, "the connection was used again"
            eventually(lambda idle=idle: idle.gone or idle.ours)
        assert all(x["end"] == "ok" and x["tries"] == 1 for x in w.log(10))


def test_a_second_answer_meets_the_next_request():
    meet(lambda c: c.send(WRONG))


def test_one_byte_meets_the_next_request():
    meet(lambda c: c.send(b"H"))


def test_an_end_meets_the_next_request():
    meet(lambda c: c.close())


CLIENTS, ROUNDS = 12, 40


def odd(c, r, dice):
    """An answer to r, and now and then more than was asked for."""
    body = ("right " + r.target).encode()
    head = b"HTTP/1.1 200 OK\r\n"
    answer = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    what = dice.randrange(10)
    if what == 0:
        c.send(answer + WRONG)
    elif what == 1:
        c.send(answer)
        c.send(WRONG)
    elif what == 2:
        c.send(chunked + WRONG)
    elif what == 3:
        c.send(chunked)
        c.send(b"\r\n")
    elif what == 4:
        c.send(answer)
        c.close()
    elif what == 5:
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n" + answer + b"HTTP/1.1 100 Continue\r\n\r\n")
    elif what == 6:
        c.send(answer)
        c.reset()
    else:
        c.send(answer)


def test_a_server_that_says_more_than_it_was_asked():
    """
    Rounds of as many requests as there are clients, on connections shared by all.  The server answers
    when all of a round are there, and a round is over when it has said everything, so that what it says
    too much is always there before the next request leaves (later, nobody could tell it from an answer).
    """
    arrive, leave = threading.Barrier(CLIENTS), threading.Barrier(2 * CLIENTS)
    dice = random.Random(7)
    wrong = []

    def handler(c, r):
        arrive.wait(20)
        try:
            odd(c, r, dice)
        finally:
            leave.wait(20)
    o = Origin(handler)
    with Weir(conf(up=ONE_TRY), o) as w:
        def client(n):
            c = Client(w)
            for i in range(ROUNDS):
                target = f"/{n}/{i}"
                r = c.ask(target=target)
                if (r.status, r.body) != (200, b"right " + target.encode()):
                    wrong.append((target, r, r.body))
                leave.wait(20)
        for t in [Background(client, n) for n in range(CLIENTS)]:
            t.result(60)
        lines = w.log(CLIENTS * ROUNDS)
        assert not wrong, wrong[:5]
        assert all(x["end"] == "ok" for x in lines)
        assert any(len(c.requests) > 3 for c in o.conns), "nothing was used again: this shows nothing"


if __name__ == "__main__":
    main()
