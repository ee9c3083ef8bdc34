# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""Listening sockets that are there already: socket activation."""


def listening(port, family=socket.AF_INET, host="127.0.0.1", both=False):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
    s.bind((host, port))
    s.listen(64)
    return s


def test_by_address():
    port = free_port()
    with listening(port) as s:
        o = Origin()
        with Weir(conf(), o, PORT=port, sockets=[s]) as w:
            assert get(w).status == 200
            # Or each token of a stream would wait for the one before it to be acknowledged.
            assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert "not name it" not in w.stderr
        # The socket outlives the daemon: a restart refuses nobody.
        c = Client(f"127.0.0.1:{port}").request()
        with Weir(conf(), o, PORT=port, sockets=[s]):
            assert c.recv_response().status == 200


def test_by_name():
    """FileDescriptorName= of the unit, name: of the file: whatever the address."""
    port = free_port()
    with listening(port) as s:
        text = conf(listen='{address: "127.0.0.1:1", name: web}')
        with Weir(text, Origin(), PORT=port, sockets=[s], env={"LISTEN_FDNAMES": "web"}) as w:
            assert get(w).status == 200


def test_several_of_a_name():
    """All sockets of a unit have one name unless it says otherwise: the address tells, then the order."""
    one, two = free_port(), free_port()
    with listening(one) as a, listening(two) as b:
        text = conf(listen='{address: "127.0.0.1:$PORT2", name: web}, {address: "127.0.0.1:$PORT", name: web}')
        with Weir(text, Origin(), PORT=one, PORT2=two, sockets=[a, b], env={"LISTEN_FDNAMES": "web:web"}) as w:
            assert get(f"127.0.0.1:{one}").status == get(f"127.0.0.1:{two}").status == 200
            assert "not name it" not in w.stderr, w.stderr
        text = conf(listen='{address: "127.0.0.1:1", name: web}, {address: "127.0.0.1:2", name: web}')
        with Weir(text, Origin(), PORT=one, PORT2=two, sockets=[a, b], env={"LISTEN_FDNAMES": "web:web"}):
            assert get(f"127.0.0.1:{one}").status == get(f"127.0.0.1:{two}").status == 200


def test_dual_stack_for_a_bare_port():
    port = free_port()
    with listening(port, socket.AF_INET6, "::", both=True) as s:
        with Weir(conf(listen="$PORT"), Origin(), PORT=port, sockets=[s]) as w:
            assert get(w).status == 200
            assert get(f"[::1]:{port}").status == 200


def test_unix_path_stays():
    with folder() as d:
        path = os.path.join(d, "s")
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(64)
        with Weir(conf(listen=f'"unix:{path}"'), Origin(), sockets=[s], ready=f"unix:{path}"):
            assert get(f"unix:{path}").status == 200
        assert os.path.exists(path)
        s.close()


def test_not_named():
    port, other = free_port(), free_port()
    with listening(other) as s:
        with Weir(conf(), Origin(), PORT=port, sockets=[s]) as w:
            assert f"a socket on 127.0.0.1:{other} was handed over, but listen: does not name it" in w.stderr


def test_not_a_listening_socket():
    with socket.socket() as s:
        with Weir(conf(), Origin(), sockets=[s]) as w:
            assert "does not listen" in w.stderr and get(w).status == 200


def test_of_another_process():
    with Weir(conf(), Origin(), env={"LISTEN_FDS": "1", "LISTEN_PID": "1"}) as w:
        assert get(w).status == 200
    for fds in ("x", "-1", "100000000", ""):
        with Weir(conf(), Origin(), env={"LISTEN_FDS": fds},
                  prefix=["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]) as w:
            assert get(w).status == 200


def test_comes_back_after_a_reload():
    port, other = free_port(), free_port()
    with listening(port) as s:
        text = conf(listen='"127.0.0.1:$PORT", "127.0.0.1:$PORT2"')
        with Weir(text, Origin(), PORT=port, PORT2=other, sockets=[s]) as w:
            w.reload(conf(listen='"127.0.0.1:$PORT2"'))
            w.reload(text)
            assert get(w).status == 200 and get(f"127.0.0.1:{other}").status == 200


main()
