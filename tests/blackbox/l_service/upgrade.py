# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""USR2: a new program on the same sockets."""


def new_pid(w):
    m = eventually(lambda: re.search(r"upgrade: ok, process (\d+) takes over", w.stderr), 30,
                   "the new program takes over")
    return int(m.group(1))


def stop(w, pid):
    """Ends the new one, which is nobody's child any more: what it said is all there is."""
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 20, "the new program ends")
    w.check_stderr()
    assert "books" not in w.stderr and w.stderr.rstrip().endswith("stopped"), w.stderr
    w.stopped = True


def test_takes_over():
    gate = Gate()

    def handler(c, r):
        c.chunked_head()
        c.chunk(b"first.")
        if r.target == "/slow":
            gate.wait()
        c.chunk(b"last.")
        c.last_chunk()
    w = Weir(conf(), Origin(handler))
    slow = Client(w).request(target="/slow")
    assert slow.recv_head().status == 200
    w.signal(signal.SIGUSR2)
    pid = new_pid(w)
    for _ in range(20):
        assert get(w).status == 200
    # What was begun is finished by the one that began it.
    assert w.process.poll() is None
    gate.open()
    slow.recv_until(b"0\r\n\r\n")
    assert w.wait() == 0
    assert get(w).status == 200
    stop(w, pid)
    assert len({x["request_id"] for x in w.log(22)}) == 22


def test_unix_path_is_kept():
    with folder() as d:
        addr = f"unix:{d}/s"
        w = Weir(conf(listen=f'"{addr}"'), Origin(), ready=addr)
        w.signal(signal.SIGUSR2)
        pid = new_pid(w)
        assert w.wait() == 0
        assert get(addr).status == 200
        stop(w, pid)
        # Whose it was first is not known any more: it stays, and is in nobody's way.
        with Weir(conf(listen=f'"{addr}"'), Origin(), ready=addr):
            assert get(addr).status == 200


def test_new_one_does_not_start():
    with Weir(conf(), Origin()) as w:
        with open(w.file, encoding="utf-8") as f:
            good = f.read()
        w.write("listen: nonsense")
        w.signal(signal.SIGUSR2)
        eventually(lambda: "upgrade: failed, nothing has changed" in w.stderr, 20)
        assert get(w).status == 200
        w.write(good)
        w.reload()
        assert get(w).status == 200


def test_manager_hears_of_the_new_one():
    with folder() as d:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(os.path.join(d, "n"))
        s.settimeout(20)
        w = Weir(conf(), Origin(), env={"NOTIFY_SOCKET": os.path.join(d, "n")})
        assert b"READY=1" in s.recv(4096)
        w.signal(signal.SIGUSR2)
        pid, words = new_pid(w), []
        while not any(f"MAINPID={pid}" == x for x in words):
            words.append(s.recv(4096).decode())
        assert w.wait() == 0
        # The old one goes without a word: it is not the service that stops.
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                words.append(s.recv(4096).decode())
        assert not any("STOPPING" in x for x in words), words
        stop(w, pid)
        s.close()


main()
