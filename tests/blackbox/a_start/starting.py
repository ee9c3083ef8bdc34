# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

def test_port_in_use():
    with socket.socket() as s:
        port = free_port()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(1)
        with folder() as d:
            path = os.path.join(d, "weir.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(f'listen: ["127.0.0.1:{port}"]\nroutes: [{{path: /, respond: {{status: 200}}}}]\n')
            code, out, err = run_weir("-c", path)
            assert code == 3, (code, out, err)
            assert f"127.0.0.1:{port}" in err and "ddress already in use" in err, err
            # Checking does not bind.
            assert run_weir("-t", "-c", path)[0] == 0


def test_address_of_nobody():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write('listen: ["192.0.2.1:8080"]\nroutes: [{path: /, respond: {status: 200}}]\n')
        code, out, err = run_weir("-c", path)
        assert code == 3 and "192.0.2.1:8080" in err, (code, err)


def test_no_permission():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'listen: ["unix:{d}/none/x.sock"]\nroutes: [{{path: /, respond: {{status: 200}}}}]\n')
        code, out, err = run_weir("-c", path)
        assert code == 3 and "x.sock" in err, (code, err)


def test_access_log_that_cannot_be_opened():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'listen: ["127.0.0.1:{free_port()}"]\nroutes: [{{path: /, respond: {{status: 200}}}}]\n'
                    f'access_log: {{path: {d}/a.log, format: json}}\n')
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(d, "a.log"))
            code, out, err = run_weir("-c", path)
            assert code == 3 and "a.log" in err, (code, err)


def test_listen_to():
    a, b = Origin(name="a"), Origin(name="b")
    with Weir(args=["--listen", "127.0.0.1:$PORT", "--to", f"{a.addr},{b.addr}"]) as w:
        got = sorted(get(w).body for _ in range(4))
        assert got == [b"a", b"a", b"b", b"b"], got


def test_listen_port_alone():
    o = Origin()
    port = free_port()
    with Weir(args=["--listen", str(port), "--to", o.addr], PORT=port) as w:
        assert get(w).body == b"origin"


def test_listen_to_bad_address():
    code, out, err = run_weir("--listen", "127.0.0.1:99999", "--to", "127.0.0.1:1")
    assert code in (1, 2) and "99999" in out + err, (code, out, err)


def test_too_few_descriptors_is_said():
    o = Origin()
    with Weir(conf(extra="client: {max_connections: 5000}"), o, nofile=512) as w:
        m = eventually(lambda: re.search(r"^weir: .*(max_connections|open files|descriptors).*$", w.stderr, re.M))
        assert "512" in m.group(0) or "5000" in m.group(0), w.stderr
        assert get(w).status == 200


def test_enough_descriptors_is_silent():
    o = Origin()
    with Weir(conf(extra="client: {max_connections: 50}"), o, nofile=2048) as w:
        assert get(w).status == 200
        assert not re.search(r"max_connections|open files", w.stderr), w.stderr


def test_int_and_term_end_with_zero():
    for number in (signal.SIGINT, signal.SIGTERM):
        w = Weir(conf(), Origin())
        get(w)
        w.signal(number)
        assert w.wait() == 0
        w.stop()


def test_messages_name_the_program():
    with Weir(conf(), Origin()) as w:
        get(w)
        w.reload()
        assert all(line.startswith("weir: ") for line in w.stderr.splitlines()), w.stderr


def test_unix_socket_left_by_a_crash():
    text = conf(listen='"unix:$DIR/w.sock"')
    w = Weir(text, Origin(), ready=False)
    path = os.path.join(w.dir, "w.sock")
    w.wait_ready("unix:" + path)
    w.process.kill()
    w.wait()
    w.stopped = True
    assert os.path.exists(path)
    o = Origin()
    with Weir(conf(listen=f'"unix:{path}"'), o, ready="unix:" + path):
        assert get("unix:" + path).body == b"origin"
    assert not os.path.exists(path), "the socket's file stays after the end"


if __name__ == "__main__":
    main()
