# SPDX-License-Identifier: MIT
# limit: 200
"""make demo: what it prints is so, and it leaves nothing behind however it ends."""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys

import harness
from harness import BUILD, Background, eventually, folder, free_port, main

SCRIPT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "bench", "demo.py"))


def run(*argv, env=None):
    return subprocess.run([sys.executable, *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30, check=False)


class Demo:
    """The script on free ports, with a pid file of its own."""

    def __init__(self, d, *more, terminal=None):
        self.pids = os.path.join(d, "pids")
        self.port, self.models = free_port(), [free_port() for _ in range(4)]
        env = harness.environment(DEMO_PORT=str(self.port), DEMO_MODELS=",".join(map(str, self.models)),
                                  TMPDIR=d)
        self.argv = [SCRIPT, "--build", BUILD, "--pids", self.pids]
        self.folder, self.env = d, env
        ends = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} if terminal is None else \
            {"stdin": terminal, "stdout": terminal}
        self.process = subprocess.Popen([sys.executable, *self.argv, *more], env=env, stderr=subprocess.PIPE, **ends)

    def end(self, timeout=60):
        """(exit code, stdout, stderr); everything it started is gone."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            out, err = self.process.communicate(timeout=30)
            raise AssertionError(f"the demo does not end:\n{out}\n{err}") from None
        self.check_gone()
        return self.process.returncode, (out or b"").decode(), err.decode()

    def running(self):
        """name: pid of what the pid file names."""
        try:
            with open(self.pids, encoding="utf-8") as f:
                return {p["name"]: p["pid"] for p in json.load(f)["processes"]}
        except OSError:
            return {}

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def check_gone(self):
        for port in (self.port, *self.models):
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        assert os.listdir(self.folder) == [], os.listdir(self.folder)


def test_without_a_terminal():
    with folder() as d:
        demo = Demo(d)
        code, out, err = demo.end(100)
        assert code == 0 and err == "", (code, out, err)
        rows = {name: (int(clients), int(questions)) for name, clients, questions in
                re.findall(r"^ +(:\d+|all) +(\d+) +(\d+) ", out, re.M)}
        assert rows.pop("all") == (12, 36) and set(rows) == {f":{p}" for p in demo.models}, out
        assert sum(n for _, n in rows.values()) == 36 and all(n > 0 for _, n in rows.values()), out
        assert "36 asked, 36 answered" in out, out
        assert "24 tokens computed for 240 delivered" in out, out
        assert len(re.findall(r"free after +\d+ ms, +\d+ tokens computed, 0 of them for nobody", out)) == 2, out
        assert "10 answered, 240 tokens computed for 240 delivered, 0 for who had left" in out, out
        assert re.search(r"killed with [1-9]\d* questions? in it; 24 asked, 24 answered: nobody noticed", out), out
        assert re.search(r"[1-9]\d* questions? of its clients answered by others: \d+ by :", out), out
        assert re.search(r"asked again after [\d.]+ s .*; (\d+) of \1 answered", out), out
        assert out.endswith("the demo ends here.\nstopped\n"), out


test_without_a_terminal.limit = 120


def test_a_port_in_use_is_named():
    with folder() as d, socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        others = [free_port() for _ in range(4)]
        for variable, weir, models in (("DEMO_PORT", port, others), ("DEMO_MODELS", others[0], [*others[1:], port])):
            env = harness.environment(TMPDIR=d, DEMO_PORT=str(weir), DEMO_MODELS=",".join(map(str, models)))
            p = run(SCRIPT, "--build", BUILD, "--pids", os.path.join(d, "pids"), env=env)
            assert p.returncode == 1 and p.stdout == "", p
            assert f"port {port} is in use by" in p.stderr and f"(pid {os.getpid()})" in p.stderr, p.stderr
            assert f"choose others: make demo {variable}=" in p.stderr and p.stderr.count("\n") == 2, p.stderr
            assert os.listdir(d) == [], os.listdir(d)


def test_stopped_from_elsewhere():
    with folder() as d:
        demo = Demo(d)
        eventually(demo.listens, 20, "weir listens")
        second = run(*demo.argv, env=demo.env)
        assert second.returncode == 1 and "is running already; make demo-stop" in second.stderr, second
        p = run(*demo.argv, "--stop", env=demo.env)
        assert p.returncode == 0 and p.stdout == "the demo is stopped\n", p
        code, out, err = demo.end()
        assert code == 0 and out.endswith("stopped\n") and err == "", (code, out, err)
        p = run(*demo.argv, "--stop", env=demo.env)
        assert p.returncode == 0 and p.stdout == "no demo is running\n", p


def test_what_a_killed_script_left_is_stopped():
    with folder() as d:
        demo = Demo(d)
        eventually(demo.listens, 20, "weir listens")
        demo.process.kill()
        demo.process.communicate()
        p = run(*demo.argv, "--stop", env=demo.env)
        assert p.returncode == 0 and p.stdout == "the demo is stopped\n", p
        demo.check_gone()


def test_only_what_was_started_is_stopped():
    with folder() as d, subprocess.Popen(["sleep", "60"]) as stranger:
        pids = os.path.join(d, "pids")
        with open(pids, "w", encoding="utf-8") as f:
            json.dump({"folder": d, "processes": [{"name": "weir", "pid": stranger.pid, "start": 1}]}, f)
        p = run(SCRIPT, "--stop", "--pids", pids)
        assert p.returncode == 0 and p.stdout == "no demo is running\n", p
        assert stranger.poll() is None, "a stranger was ended"
        stranger.terminate()


def test_a_dead_weir_is_told():
    with folder() as d:
        demo = Demo(d)
        eventually(demo.listens, 20, "weir listens")
        os.kill(eventually(lambda: demo.running().get("weir"), what="weir in the pid file"), signal.SIGKILL)
        code, _, err = demo.end()
        assert code == 1, code
        assert "demo: weir ended by signal 9; its stderr:\n" in err and "listening on" in err, err


def test_in_a_terminal_it_stays_until_ctrl_c():
    with folder() as d:
        ours, its = pty.openpty()
        demo = Demo(d, "--only", "none", terminal=its)
        os.close(its)
        said = b""

        def read_until(mark):
            nonlocal said
            while mark not in said:
                said += os.read(ours, 4096)

        Background(read_until, b"Stop   Ctrl-C").result()
        assert f"Open   http://127.0.0.1:{demo.port}/ ".encode() in said, said
        page = harness.get(f"127.0.0.1:{demo.port}")
        assert page.status == 200 and b"Chat through weir" in page.body, page
        os.kill(demo.running()[f"model {demo.models[1]}"], signal.SIGKILL)
        Background(read_until, b"weir goes on with the others").result()
        demo.process.send_signal(signal.SIGINT)
        code, _, err = demo.end()
        os.close(ours)
        assert code == 0 and err == "", (code, err)


main()
