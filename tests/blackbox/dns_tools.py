# SPDX-License-Identifier: MIT
"""Name servers for tests: Debian's dnsmasq, and one that says what it is told to say."""
import os
import shutil
import signal
import socket
import struct
import threading

import harness
from harness import Skip, eventually, folder, free_port
from programs import Program

ADDRESSES = [f"127.0.1.{i}" for i in range(1, 101)]


class Dnsmasq:
    """Names in the zone "test": set(name=[addresses]); options of dnsmasq's for what else there is.  What it
    does not have does not exist."""

    def __init__(self, *options, ttl=1, port=None, host="127.0.0.1", **names):
        if shutil.which("dnsmasq", path=os.environ["PATH"] + ":/usr/sbin") is None:
            raise Skip("no dnsmasq on this machine: make test installs it")
        self.dir = folder()
        self.hosts = os.path.join(self.dir.__enter__(), "hosts")
        self.host, self.port, self.ttl = host, port or free_port(), ttl
        self.options = options
        self.program = None
        harness._live.append(self)
        self._write(names)
        self.start()

    @property
    def addr(self):
        return f"{self.host}:{self.port}"

    def start(self, *options):
        path = os.environ["PATH"] + ":/usr/sbin"
        self.program = Program(
            shutil.which("dnsmasq", path=path), "--no-daemon", "--conf-file=/dev/null", "--no-resolv",
            "--no-hosts", f"--addn-hosts={self.hosts}", f"--port={self.port}", f"--listen-address={self.host}",
            "--bind-interfaces", f"--local-ttl={self.ttl}", "--local=/test/",
            "--log-queries", "--log-facility=-", *self.options, *options)
        eventually(self._answers, 20, "dnsmasq answers")

    def stop(self):
        self.program.close()

    def again(self, *options):
        """With other options."""
        self.stop()
        self.options = options
        self.start()

    def _answers(self):
        assert self.program.process.poll() is None, self.program.stderr
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.connect((self.host, self.port))
            try:
                s.send(question("probe.test"))
                return len(s.recv(512)) > 0
            except OSError:
                return False

    def _write(self, names):
        with open(self.hosts + ".new", "w", encoding="ascii") as f:
            for name, addresses in names.items():
                f.writelines(f"{a} {name}.test\n" for a in addresses)
        os.rename(self.hosts + ".new", self.hosts)

    def set(self, **names):
        """Only these from now on."""
        had = self.program.stderr.count(self.hosts)
        self._write(names)
        self.program.signal(signal.SIGHUP)
        eventually(lambda: self.program.stderr.count(self.hosts) > had, what="dnsmasq reads its names")

    def asked(self, name, kind="A"):
        """How often."""
        return self.program.stderr.count(f"query[{kind}] {name} from")

    def close(self):
        if self.program is not None:
            self.program.close()
        self.dir.__exit__(None, None, None)


def labels(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".") if x) + b"\0"


def question(name, kind=1):
    return struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + labels(name) + struct.pack(">2H", kind, 1)


def record(name, kind, data, ttl=1):
    return labels(name) + struct.pack(">2HIH", kind, 1, ttl, len(data)) + data


def address(name, a, ttl=1):
    six = ":" in a
    return record(name, 28 if six else 1, socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, a), ttl)


class Question:
    def __init__(self, data):
        self.data = data
        self.id, self.flags = struct.unpack(">2H", data[:4])
        at, parts = 12, []
        while data[at]:
            parts.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        self.name = ".".join(parts)
        self.kind = struct.unpack(">H", data[at + 1:at + 3])[0]
        self.asked = data[12:at + 5]

    def answer(self, *records, code=0, flags=0, id=None, n=None):
        return struct.pack(">6H", self.id if id is None else id, 0x8180 | flags | code, 1,
                           len(records) if n is None else n, 0, 0) + self.asked + b"".join(records)


class NameServer:
    """answer(Question, is_tcp) gives the bytes to send, a list of them, or None for silence."""

    def __init__(self, answer, host="127.0.0.1"):
        self.answer = answer
        self.host, self.port = host, free_port()
        self.questions = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((host, self.port))
        self.tcp.listen(16)
        self.errors = []
        harness._live.append(self)
        threading.Thread(target=self._udp, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def addr(self):
        return f"{self.host}:{self.port}"

    def _say(self, data, is_tcp):
        q = Question(data)
        self.questions.append((q.name, q.kind, is_tcp))
        said = self.answer(q, is_tcp)
        return [] if said is None else said if isinstance(said, list) else [said]

    def _udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            for piece in self._say(data, False):
                self.udp.sendto(piece, peer)

    def _accept(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with sock:
                while True:
                    head = sock.recv(2, socket.MSG_WAITALL)
                    if len(head) < 2:
                        return
                    data = sock.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
                    for piece in self._say(data, True):
                        sock.sendall(struct.pack(">H", len(piece)) + piece)
        except OSError:
            pass

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
