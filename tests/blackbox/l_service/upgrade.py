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
    eventually(lambda: has_ended(pid), 20, "the new program ends")
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
        assert not os.path.exists(f"{d}/s"), "nobody's but its own"
        with Weir(conf(listen=f'"{addr}"'), Origin(), ready=addr):
            assert get(addr).status == 200


def test_who_may_connect_to_a_path():
    """The mode is that of the file that is in force, whichever program made the socket."""
    text = conf(extra='admin: {listen: "unix:$DIR/a", mode: 0660}\n')
    w = Weir(text, Origin())
    w.write(text.replace("0660", "0600"))
    w.signal(signal.SIGUSR2)
    pid = new_pid(w)
    assert w.wait() == 0
    mode = lambda: os.stat(f"{w.dir}/a").st_mode & 0o777  # noqa: E731
    eventually(lambda: mode() == 0o600, what="the new program sets it")
    w.write(text.replace("0660", "0640"))
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: mode() == 0o640, what="so does a reload of its own")
    assert get(f"unix:{w.dir}/a", "/healthz").status == 200
    stop(w, pid)


def test_a_socket_of_a_name_is_still_it():
    """What systemd called so is bound elsewhere than the file says: the new one knows by what it was meant."""
    port = free_port()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(64)
        w = Weir(conf(listen='{address: "127.0.0.1:1", name: web}'), Origin(), PORT=port, sockets=[s],
                 env={"LISTEN_FDNAMES": "web"})
        for old in range(2):
            w.signal(signal.SIGUSR2) if not old else os.kill(pid, signal.SIGUSR2)
            pid = int(eventually(lambda: re.findall(r"upgrade: ok, process (\d+) takes over", w.stderr)[old:], 30)[0])
        assert w.wait() == 0
        assert get(w).status == 200
        stop(w, pid)
        # Systemd has it still.
        c = Client(f"127.0.0.1:{port}").request()
        with Weir(conf(), Origin(), PORT=port, sockets=[s]):
            assert c.recv_response().status == 200


def test_what_goes_is_closed():
    """Who took over holds no socket that listen: names no more: clients would wait there."""
    text = conf(listen='"127.0.0.1:$PORT", "127.0.0.1:$PORT2", "127.0.0.1:$PORT3"')
    w = Weir(text, Origin())
    w.write(conf(listen='"127.0.0.1:$PORT", "127.0.0.1:$PORT2"'))

    def refused(name):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", w.names[name])) != 0

    w.signal(signal.SIGUSR2)
    pid = new_pid(w)
    assert w.wait() == 0
    eventually(lambda: refused("PORT3"), what="what the new file does not name is closed")
    assert not refused("PORT2")
    w.write(conf())
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: "reload: ok" in w.stderr)
    eventually(lambda: refused("PORT2"), what="what a reload takes away is closed")
    assert get(w).status == 200
    stop(w, pid)


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


@not_under_memcheck("the program is called by another name")
def test_no_program_to_start():
    """Gone, another one, one that crashes: all is served as before; and the good one takes over in the end."""
    with folder() as d:
        path = os.path.join(d, "weir")
        by_name = [sys.executable, "-c", "import os, sys; os.execv(sys.argv[2], [sys.argv[1]] + sys.argv[3:])", path]
        w = Weir(conf(), Origin(), prefix=by_name)

        def put(text):
            with open(path + ".new", "w", encoding="ascii") as f:
                f.write("#!/bin/sh\n" + text + "\n")
            os.chmod(path + ".new", 0o755)
            os.rename(path + ".new", path)

        for n, text in enumerate((None, "exit 0", "kill -SEGV $$"), 1):
            if text:
                put(text)
            w.signal(signal.SIGUSR2)
            eventually(lambda: w.stderr.count("upgrade: failed, nothing has changed: the new program: it ended before") == n)
            assert get(w).status == 200
        put(f"exec {WEIR} \"$@\"")
        w.signal(signal.SIGUSR2)
        pid = new_pid(w)
        assert w.wait() == 0 and get(w).status == 200
        stop(w, pid)


def test_manager_hears_of_the_new_one():
    gate = Gate()
    o = Origin(lambda c, r: (gate.wait(), c.answer("x")) if r.target == "/slow" else c.answer("x"))
    with folder() as d, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(os.path.join(d, "n"))
        s.settimeout(20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        words = []

        def hear():
            text, credentials, _, _ = s.recvmsg(4096, 64)
            words.append((struct.unpack("3i", credentials[0][2])[0], text.decode()))
            return words[-1]

        w = Weir(conf(), o, env={"NOTIFY_SOCKET": os.path.join(d, "n"), "WATCHDOG_USEC": "400000"})
        assert "READY=1" in hear()[1]
        slow = Client(w).request(target="/slow")
        eventually(lambda: o.heads)
        w.signal(signal.SIGUSR2)
        pid = new_pid(w)
        while (w.pid, f"MAINPID={pid}") not in words:
            hear()
        assert not any(p == pid for p, _ in words), "nobody believes it before"
        del words[:]
        # From then on it is the new one that is believed, and how it goes is what is shown.
        while not {"STATUS", "WATCHDOG"} <= {x.split("=")[0] for p, x in words if p == pid}:
            hear()
        assert (pid, "STATUS=0 requests in flight, 1 of 1 servers up") in words, words
        assert w.process.poll() is None, "the old one has something to finish"
        # systemd waits only for its own children: nobody's child is one of those.
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            assert int(f.read().rpartition(")")[2].split()[1]) != w.pid
        gate.open()
        assert slow.recv_response().status == 200
        assert w.wait() == 0
        # The old one goes without a word: it is not the service that stops.
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                hear()
        assert {p for p, _ in words} == {pid}, words
        stop(w, pid)


def test_what_else_may_come_while_it_starts():
    """A second USR2; and everybody is served meanwhile."""
    w = Weir(conf(), Origin())
    with open(w.file, encoding="utf-8") as f:
        good = f.read()
    # A new one that takes its time: it reads its configuration from a pipe.
    os.rename(w.file, w.file + ".kept")
    os.mkfifo(w.file)
    w.signal(signal.SIGUSR2)
    child = int(eventually(lambda: re.search(r"upgrade: process (\d+) is starting", w.stderr)).group(1))
    w.signal(signal.SIGUSR2)
    eventually(lambda: "a new program is starting already" in w.stderr)
    assert get(w).status == 200
    with open(w.file, "w", encoding="utf-8") as f:
        f.write(good)
    assert new_pid(w) == child
    assert w.wait() == 0
    assert get(w).status == 200
    stop(w, child)


def test_stopped_while_it_starts():
    w = Weir(conf(), Origin())
    os.rename(w.file, w.file + ".kept")
    os.mkfifo(w.file)
    w.signal(signal.SIGUSR2)
    child = int(eventually(lambda: re.search(r"upgrade: process (\d+) is starting", w.stderr)).group(1))
    w.stop()
    eventually(lambda: has_ended(child), 20, "who would take over is not left behind")


main()
