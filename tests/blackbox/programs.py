# SPDX-License-Identifier: MIT
"""Programs that tests start beside the daemon: model instances, wrk, curl, node.

Each is ended by its own pid when its test is over; a client before the daemon is stopped.
"""
import json
import os
import re
import signal
import subprocess
import tempfile

import harness
from harness import BUILD, SANITIZER, SLOW, address_of, environment, eventually, free_port, get, socket

CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "k_clients")
NODE_MODULES = os.path.join(os.path.dirname(BUILD), "clients", "node_modules")


class Program:
    """A child process; what it writes is kept in files."""

    is_client = False

    def __init__(self, *args, stdin=subprocess.DEVNULL, stdout=None, env=None, **more):
        self.args = [str(a) for a in args]
        self.err = tempfile.TemporaryFile()
        self.out = None if stdout is not None else tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.args, stdin=stdin, stdout=stdout or self.out,
                                        stderr=self.err, env=environment(**(env or {})), **more)
        self.pid = self.process.pid
        harness._live.append(self)

    @staticmethod
    def _text(f):
        f.seek(0)
        return f.read().decode("utf-8", "replace")

    @property
    def stdout(self):
        return self._text(self.out)

    @property
    def stderr(self):
        return self._text(self.err)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=30):
        """The exit code."""
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.args[0]} does not end; its stderr: {self.stderr}") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Model(Program):
    """A model instance (bench/model), which can be killed and started again on its port."""

    def __init__(self, name="m", port=None, **settings):
        self.name, self.settings = name, settings
        self.port = port or free_port()
        self.addr = f"127.0.0.1:{self.port}"
        self.start()

    def start(self):
        options = [x for k, v in self.settings.items() for x in ("--" + k.replace("_", "-"), v)]
        super().__init__(os.path.join(BUILD, "model"), "--listen", self.addr, "--name", self.name,
                         *options)
        eventually(lambda: self.process.poll() is not None or self._connects(), 20,
                   f"model {self.name} listens")
        assert self.process.poll() is None, self.stderr
        return self

    def _connects(self):
        with socket.socket() as s:
            s.settimeout(5)
            return s.connect_ex(address_of(self.addr)[1]) == 0

    def kill(self):
        """As the kernel's out-of-memory killer would."""
        self.process.kill()
        self.process.wait()

    def stats(self):
        return json.loads(get(self, "/stats").body)

    def control(self, **settings):
        query = "&".join(f"{k}={v}" for k, v in settings.items())
        r = get(self, "/control?" + query, method="POST", body=b"")
        assert r.status == 200, r.body

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.wait()
        err = self.stderr
        assert not SANITIZER.search(err), err


class Wrk(Program):
    """wrk; stop() ends it early and gives what it counted."""

    is_client = True

    def __init__(self, w, target="/", connections=16, seconds=120, script=None, timeout=20):
        super().__init__("wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--timeout",
                         f"{timeout}s", *(["-s", script] if script else []),
                         f"http://{w.addr}{target}")

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
        return self.finish()

    def finish(self, timeout=60):
        code, text = self.wait(timeout), self.stdout
        assert code == 0, (code, text, self.stderr)
        m = re.search(r"(\d+) requests in ", text)
        assert m, text
        got = {"requests": int(m.group(1)), "connect": 0, "read": 0, "write": 0, "timeout": 0,
               "status": 0, "text": text}
        m = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        if m:
            got.update(zip(("connect", "read", "write", "timeout"), map(int, m.groups())))
        m = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if m:
            got["status"] = int(m.group(1))
        return got


class Lines(Program):
    """A client that says each step in a line of JSON on its standard output, and is told on its input."""

    is_client = True

    def __init__(self, *args, **more):
        self.said = []
        super().__init__(*args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)

    def next(self):
        """The next line, decoded; the test's own time limit bounds the wait."""
        line = self.process.stdout.readline()
        assert line, f"{self.args} ended with {self.wait()}; it said {self.said}; stderr: {self.stderr}"
        got = json.loads(line)
        self.said.append(got)
        return got

    def tell(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def end(self):
        """It has nothing more to say and went well."""
        self.process.stdin.close()
        rest = self.process.stdout.read()
        assert not rest, rest
        code = self.wait()
        assert code == 0, (code, self.stderr)


def node(script, *args):
    """A script of tests/blackbox/k_clients with the npm packages that "make test" installed."""
    assert os.path.isdir(NODE_MODULES), f"{NODE_MODULES} is not there: run make clients"
    return Lines("node", os.path.join(CLIENTS, script), *args, env={"NODE_PATH": NODE_MODULES})
