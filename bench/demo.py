#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make demo: four model instances with weir in front, and what weir does for them, shown by asking.

What is shown is a list of scenarios, SCENARIOS: each a function that gets the running Demo, prints a
title and what it found, and raises Failed when that is not as it should be.  Processes are ended by id, and only while they
are the ones that were started: the pid file keeps each one's start time beside its id.

DEMO_PORT (8080) and DEMO_MODELS (8001, the first of four, or four with commas between) choose ports.
"""
import argparse
import collections
import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOST = "127.0.0.1"
CLIENTS = [f"127.0.0.{i}" for i in range(1, 13)]
# An instance computes one answer at a time, as a single-process web service does.
MODEL = ["--lanes", "1", "--ttft", "150", "--rate", "60", "--tokens", "80"]
TOKENS = 24                 # of an answer, unless a scenario wants another
PATIENCE = 60               # seconds an answer may take
TERMINAL = sys.stdin.isatty() and sys.stdout.isatty()
QUESTIONS = [
    "Why is the sky blue?", "What does a load balancer do?", "Write a line about the sea.",
    "How do tokens become words?", "Name three rivers.", "What is a queue good for?",
    "Explain memory to a child.", "How far is the moon?", "What makes bread rise?",
]


class Failed(Exception):
    """Said to the user as it is; the demo ends with 1."""


class Stop(BaseException):
    """Ctrl-C, or a signal that asks for the end."""


class Signals:
    """The first one raises Stop, unless held back; those after it are too late to matter."""
    held = came = False

    @classmethod
    def on_signal(cls, *_):
        if not cls.came:
            cls.came = True
            if not cls.held:
                raise Stop

    @classmethod
    @contextlib.contextmanager
    def hold(cls):
        """Between the start of a process and the note of its id."""
        cls.held = True
        try:
            yield
        finally:
            cls.held = False
        if cls.came:
            raise Stop


# --- what is printed ------------------------------------------------------------------------------

def say(text=""):
    status("")
    try:
        print(text.rstrip(), flush=True)
    except BrokenPipeError:             # "make demo | head"
        raise Stop from None


def title(text):
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    say("\n" + (text if plain else f"\033[1m{text}\033[0m"))


def status(text):
    """A line that the next one replaces; only where somebody watches."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def count(n, word):
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


# --- processes, told apart by id and start time ---------------------------------------------------

def start_time(pid):
    """In clock ticks since boot; None when there is no such process, or only its remains."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Process:
    """A process by id; signalled only while it is still the one that was meant."""

    def __init__(self, name, pid, start=None):
        self.name, self.pid = name, pid
        self.start = start_time(pid) if start is None else start

    def lives(self):
        return self.start is not None and start_time(self.pid) == self.start

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            try:
                fd = os.pidfd_open(self.pid)    # holds the id: it cannot become another's meanwhile
            except ProcessLookupError:
                return
            except OSError:                     # forbidden, in some containers
                if self.lives():
                    os.kill(self.pid, number)
                return
            try:
                if self.lives():
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while self.lives() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.lives()

    def end(self):
        """TERM lets answers under way finish, a second one does not; then there is KILL."""
        for number, seconds in ((signal.SIGTERM, 2), (signal.SIGTERM, 2), (signal.SIGKILL, 5)):
            if not self.lives():
                return
            self.signal(number)
            self.wait(seconds)


class Child(Process):
    """A process of this script; what it says goes to files."""

    def __init__(self, name, argv, folder):
        self.err = os.path.join(folder, name.replace(" ", "-") + ".err")
        self.out = os.path.join(folder, name.replace(" ", "-") + ".log")
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            # A session of its own: Ctrl-C is for this script, which ends the others in order.
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          start_new_session=True)
        super().__init__(name, self.popen.pid)

    def lives(self):
        return self.popen.poll() is None

    def last_words(self):
        with open(self.err, encoding="utf-8", errors="replace") as f:
            lines = f.read().strip().splitlines()[-12:]
        return "\n".join("    " + line for line in lines) or "    (it said nothing)"

    def how(self):
        code = self.popen.poll()
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def check(self):
        if not self.lives():
            raise Failed(f"{self.name} {self.how()}; its stderr:\n{self.last_words()}")


def write_pids(path, folder, processes):
    rows = [{"name": p.name, "pid": p.pid, "start": p.start} for p in processes]
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump({"folder": folder, "processes": rows}, f)
    os.rename(path + ".new", path)


def read_pids(path):
    """(folder, the processes of the file that still live)"""
    try:
        with open(path, encoding="utf-8") as f:
            what = json.load(f)
        all_of_them = [Process(r["name"], int(r["pid"]), int(r["start"] or 0)) for r in what["processes"]]
        return what["folder"], [p for p in all_of_them if p.lives()]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def remove_folder(folder):
    if folder and os.path.basename(folder).startswith("weir-demo."):
        shutil.rmtree(folder, ignore_errors=True)


# --- ports -----------------------------------------------------------------------------------------

def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((HOST, port))
        except PermissionError:
            raise Failed(f"port {port} needs root; choose one from 1024 up") from None
        except OSError:
            return False
    return True


def holder(port):
    """" by NAME (pid N)" of who listens there, as far as this user may know."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as f:
            for line in f:
                p = line.split()
                if p[3] == "0A" and p[1].endswith(f":{port:04X}"):
                    inodes.add(f"socket:[{p[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                        return f" by {f.read().strip()} (pid {pid})"
    return ""


def check_ports(port, models):
    busy = [p for p in [port, *models] if not is_free(p)]
    if not busy:
        return
    ways = (["DEMO_PORT=8090"] if port in busy else []) + \
        (["DEMO_MODELS=9001"] if set(models) & set(busy) else [])
    raise Failed("\n".join(f"port {p} is in use{holder(p)}" for p in busy) +
                 f"\nend what uses {'it' if len(busy) == 1 else 'them'}, or choose others: make demo "
                 + " ".join(ways))


def read_ports(text, n):
    try:
        ports = [int(x) for x in text.split(",")]
    except ValueError:
        ports = []
    if n > 1 and len(ports) == 1:
        ports = [ports[0] + i for i in range(n)]
    if len(set(ports)) != n or not all(0 < p < 65536 for p in ports):
        raise Failed(f"{text!r}: a port is a number from 1 to 65535"
                     + (f"; give the first of {n}, or {n} with commas between" if n > 1 else ""))
    return ports


# --- a question ------------------------------------------------------------------------------------

class Answer:
    """What came of a question; why is empty when it came whole.  Seconds from the asking."""

    def __init__(self, client):
        self.client, self.instance, self.why = client, None, ""
        self.first, self.total, self.tokens = None, None, 0


class Client:
    """One client address on one keep-alive connection."""

    def __init__(self, demo, address):
        self.address = address
        self.http = http.client.HTTPConnection(HOST, demo.port, timeout=PATIENCE,
                                               source_address=(address, 0))

    def begin(self, text, stream=True, tokens=TOKENS, fields=()):
        body = {"model": "demo", "stream": stream, "max_tokens": tokens,
                "messages": [{"role": "user", "content": text}]}
        self.http.request("POST", "/v1/chat/completions", json.dumps(body),
                          {"Content-Type": "application/json", **dict(fields)})

    def ask(self, text, stream=True, tokens=TOKENS, fields=()):
        answer, began = Answer(self.address), time.monotonic()
        try:
            self.begin(text, stream, tokens, fields)
            self.read(answer, began)
        except (OSError, http.client.HTTPException, ValueError, LookupError) as e:
            answer.why = f"{type(e).__name__}: {e}"
            self.http.close()
        if not answer.why and answer.tokens != tokens:
            answer.why = f"{answer.tokens} tokens came, not {tokens}"
        answer.total = time.monotonic() - began
        return answer

    def read(self, answer, began):
        r = self.http.getresponse()
        answer.instance = r.getheader("X-Instance")
        if r.status != 200:
            answer.why = f"status {r.status}: {r.read(200).decode(errors='replace').strip()}"
            self.http.close()
        elif "event-stream" in r.getheader("Content-Type", ""):
            is_whole = False
            for word in words(r):
                answer.first = answer.first or time.monotonic() - began
                answer.tokens += word is not None
                is_whole = word is None
            answer.why = "" if is_whole else "the stream was cut"
        else:
            answer.tokens = json.loads(r.read())["usage"]["completion_tokens"]

    def close(self):
        """Also in the middle of an answer."""
        if self.http.sock is not None:
            with contextlib.suppress(OSError):
                self.http.sock.shutdown(socket.SHUT_RDWR)
        self.http.close()


def words(response):
    """The tokens of a stream as they come, then None for [DONE]."""
    for line in response:
        if line.startswith(b"data: [DONE]"):
            yield None
        elif line.startswith(b"data: "):
            for choice in json.loads(line[6:])["choices"]:
                if choice["delta"].get("content"):
                    yield choice["delta"]["content"]


# --- the running demo ------------------------------------------------------------------------------

class Demo:
    def __init__(self, args):
        self.port = read_ports(args.port, 1)[0]
        self.ports = read_ports(args.models, 4)
        self.build, self.conf, self.pids = args.build, args.conf, args.pids
        self.folder = None
        self.weir, self.models = None, {}
        self.home = {}          # client address: the instance it was with at first
        self.victim = None      # the instance that was killed
        self.asked = self.titles = 0

    def start(self):
        for program in ("weir", "model"):
            if not os.access(os.path.join(self.build, program), os.X_OK):
                raise Failed(f"{self.build}/{program} is missing: make builds it")
        if read_pids(self.pids)[1]:
            raise Failed("a demo of this folder is running already; make demo-stop ends it")
        check_ports(self.port, self.ports)
        self.folder = tempfile.mkdtemp(prefix="weir-demo.")
        self.note()
        for port in self.ports:
            self.start_model(port)
        self.start_weir()

    def note(self):
        """The pid file follows what runs."""
        mine = Process("demo", os.getpid())
        children = [p for p in [self.weir, *self.models.values()] if p is not None]
        try:
            write_pids(self.pids, self.folder, [mine, *children])
        except OSError as e:
            raise Failed(f"cannot write {self.pids}: {e.strerror}") from None

    def start_model(self, port):
        argv = [os.path.join(self.build, "model"), "--listen", f"{HOST}:{port}", "--name", str(port), *MODEL]
        with Signals.hold():
            self.models[port] = Child(f"model {port}", argv, self.folder)
            self.note()
        self.wait_for(self.models[port], port)

    def start_weir(self):
        """The shipped file with the ports of this demo."""
        with open(self.conf, encoding="utf-8") as f:
            text = f.read()
        text, n = re.subn(r"^listen: .*$", f'listen: ["{HOST}:{self.port}"]', text, flags=re.M)
        if n != 1:
            raise Failed(f"{self.conf} has {n} lines that begin with \"listen: \", not one")
        for shipped, port in zip((8001, 8002, 8003, 8004), self.ports):
            text = re.sub(rf"127\.0\.0\.1:{shipped}\b", f"{HOST}:{port}", text)
        # The port of the shipped file may be a running weir's.
        text = re.sub(r"^admin: .*$", f'admin: {{listen: "unix:{self.admin()}"}}', text, flags=re.M)
        path = os.path.join(self.folder, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        with Signals.hold():
            self.weir = Child("weir", [os.path.join(self.build, "weir"), "-c", path], self.folder)
            self.note()
        self.wait_for(self.weir, self.port)

    def admin(self):
        return os.path.join(self.folder, "admin.sock")

    def wait_for(self, child, port):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            child.check()
            with socket.socket() as s:
                if s.connect_ex((HOST, port)) == 0:
                    return
            time.sleep(0.01)
        raise Failed(f"{child.name} does not listen on port {port}; its stderr:\n{child.last_words()}")

    def check(self):
        for child in [self.weir, *self.models.values()]:
            child.check()

    def kill_model(self, port):
        """KILL, on purpose: from here on it is not missed by check()."""
        child = self.models.pop(port)
        child.signal(signal.SIGKILL)
        child.popen.wait()

    def stats(self, port):
        """What the instance itself counted; asked past weir."""
        h = http.client.HTTPConnection(HOST, port, timeout=10)
        try:
            h.request("GET", "/stats")
            return json.loads(h.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Failed(f"instance {port} does not answer: {e}") from None
        finally:
            h.close()

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise Failed(f"did not happen in {seconds} s: {what}")
            time.sleep(0.002)

    def question(self, i):
        """Never the same twice, so that nothing but an instance can answer it."""
        self.asked += 1
        return f"{QUESTIONS[i % len(QUESTIONS)]} (question {self.asked})"

    def title(self, text):
        self.titles += 1
        title(f"{self.titles}. {text}")

    def ask_all(self, n, stream=True, meanwhile=None):
        """n questions from each client, all clients at once: the answers, and what meanwhile() gave."""
        answers = []

        def run(i, address):
            client = Client(self, address)
            for k in range(n):
                answers.append(client.ask(self.question(i + 5 * k), stream))
            client.close()

        threads = [threading.Thread(target=run, args=(i, a), daemon=True) for i, a in enumerate(CLIENTS)]
        for t in threads:
            t.start()
        got = meanwhile() if meanwhile else None
        while any(t.is_alive() for t in threads):
            self.check()
            status(f"   {len(answers)} of {n * len(CLIENTS)} answered")
            time.sleep(0.05)
        self.check()
        bad = [a for a in answers if a.why]
        if bad:
            raise Failed(f"{len(bad)} of {len(answers)} questions were not answered; the first, from "
                         f"{bad[0].client}: {bad[0].why}; weir's stderr:\n{self.weir.last_words()}")
        return answers, got

    def stop(self):
        """Ends it all; gives what was wrong with the end of weir, or an empty text."""
        had, why = self.weir is not None and self.weir.lives(), ""
        for child in [self.weir, *self.models.values()]:
            if child is not None:
                child.end()
        if had and self.weir.popen.poll() != 0:
            why = f"weir was told to end and {self.weir.how()}; its stderr:\n{self.weir.last_words()}"
        if self.folder is not None:
            remove_folder(self.folder)
            with contextlib.suppress(OSError):
                os.unlink(self.pids)
        return why


# --- the scenarios ---------------------------------------------------------------------------------

def spread(demo):
    """How the questions of several clients are spread, and how fast they are answered."""
    n = 3
    demo.title(f"{n * len(CLIENTS)} questions from {len(CLIENTS)} client addresses, streamed")
    demo.home = {a.client: int(a.instance) for a in (alone(demo, address) for address in CLIENTS)}
    answers, _ = demo.ask_all(n)
    rows = [(f":{port}", [a for a in answers if a.instance == str(port)]) for port in demo.ports]
    most = max(len(r) for _, r in rows)
    say(f"   {'':42}{'first token':^18}{'whole answer':^18}")
    say(f"   {'instance':9}{'clients':>8}{'questions':>11}{'':14}{'median':>8}{'max':>9}{'median':>9}{'max':>9}")
    for name, those in [*rows, ("all", answers)]:
        bar = "" if name == "all" else "#" * round(12 * len(those) / most)
        say(f"   {name:9}{len({a.client for a in those}):>8}{len(those):>11}  {bar:12}"
            + times([a.first for a in those]) + times([a.total for a in those]))
    moved = [a for a in answers if int(a.instance) != demo.home[a.client]]
    say(f"   {len(answers)} asked, {len(answers)} answered, {len(moved)} by another instance than their "
        "client's own (ip_hash) because it")
    say("   was busy: each has one question at a time (max_inflight), the rest wait in weir's line")


def alone(demo, address):
    """One short question while nobody else asks."""
    client = Client(demo, address)
    answer = client.ask(demo.question(0), tokens=1)
    client.close()
    if answer.why:
        raise Failed(f"a question from {address} was not answered: {answer.why}")
    return answer


def times(values):
    return "".join(f"{f(values):7.2f} s" if values else f"{'-':>9}" for f in (statistics.median, max))


def leave(demo):
    """Who leaves stops costing: the instance is told at once and computes no more."""
    tokens = 400
    demo.title(f"Two clients ask for {tokens} tokens and leave")
    for when, read in (("before the first token", 0), ("in the middle", 12)):
        client = Client(demo, CLIENTS[0])
        port = demo.home[client.address]
        before = demo.stats(port)
        client.begin(demo.question(0), tokens=tokens)
        if read == 0:
            demo.until(lambda: demo.stats(port)["in_flight"] > 0, 10, "the question reaches its instance")
        else:
            answer = words(client.http.getresponse())
            for _ in range(read):
                next(answer, None)
        client.close()
        left = time.monotonic()
        demo.until(lambda: demo.stats(port)["abandoned"] > before["abandoned"], 10,
                   "the instance learns that its client has left")
        took, after = time.monotonic() - left, demo.stats(port)
        say(f"   {when:24}instance :{port} free after {took * 1000:3.0f} ms,"
            f"{after['tokens'] - before['tokens']:4} tokens computed,"
            f"{after['tokens_for_nobody'] - before['tokens_for_nobody']:2} of them for nobody")


def line(demo):
    """Who leaves while he waits costs nothing at all."""
    n, leaving = 20, 10
    demo.title(f"{n} clients ask at once; the last {leaving} leave while they wait in line")
    before = {port: demo.stats(port) for port in demo.models}
    clients = [Client(demo, CLIENTS[i % len(CLIENTS)]) for i in range(n)]
    for c in clients:
        c.begin(demo.question(0), stream=False)
    for c in clients[n - leaving:]:
        c.close()
    answers = [Answer(c.address) for c in clients[:n - leaving]]
    for c, a in zip(clients, answers):
        c.read(a, 0)
        c.close()
    bad = [a for a in answers if a.why or a.tokens != TOKENS]
    if bad:
        raise Failed(f"{len(bad)} of {len(answers)} questions were not answered: {bad[0].why}")
    tokens, nobody = (sum(demo.stats(port)[key] - before[port][key] for port in demo.models)
                      for key in ("tokens", "tokens_for_nobody"))
    say(f"   {len(answers)} answered, {tokens} tokens computed for {len(answers) * TOKENS} delivered, "
        f"{nobody} for who had left")
    if tokens != len(answers) * TOKENS:
        raise Failed("questions whose client had left were computed")


def kill(demo):
    """An instance dies with a question in it, which is asked again elsewhere, and nobody notices."""
    n = 2
    victim = demo.victim = collections.Counter(demo.home.values()).most_common(1)[0][0]
    demo.title(f"{n * len(CLIENTS)} questions, each answer in one piece; instance :{victim} is killed "
               "while they run")

    def strike():
        inside = 0

        def is_busy():
            nonlocal inside
            s = demo.stats(victim)
            inside = s["in_flight"] + s["waiting"]
            return inside >= 1
        demo.until(is_busy, 20, f"a question is in instance {victim}")
        demo.kill_model(victim)
        return inside

    answers, inside = demo.ask_all(n, stream=False, meanwhile=strike)
    moved = collections.Counter(int(a.instance) for a in answers
                                if demo.home[a.client] == victim != int(a.instance))
    say(f"   killed with {count(inside, 'question')} in it; {len(answers)} asked, {len(answers)} answered: "
        "nobody noticed")
    say(f"   {count(sum(moved.values()), 'question')} of its clients answered by others: "
        + ", ".join(f"{k} by :{port}" for port, k in sorted(moved.items())))
    totals = [a.total for a in answers]
    say(f"   whole answer: median {statistics.median(totals):.2f} s, max {max(totals):.2f} s")
    say("   (a stream that has begun cannot move: it would end with \"event: error\")")


def come_back(demo):
    """The instance is started again and gets its clients back."""
    victim, asked = demo.victim, 0
    demo.title(f"Instance :{victim} is started again")
    demo.start_model(victim)
    began, instance = time.monotonic(), None
    client = Client(demo, next(a for a, port in demo.home.items() if port == victim))
    while instance != str(victim):
        if time.monotonic() - began > 60:
            raise Failed(f"instance {victim} was not asked within 60 s of its new start")
        if asked > 0:
            status(f"   weir still leaves it out: {time.monotonic() - began:.0f} s")
            time.sleep(0.2)
        answer = client.ask(demo.question(asked), tokens=4)
        asked, instance = asked + 1, answer.instance
        demo.check()
        if answer.why:
            raise Failed(f"a question from {client.address} was not answered: {answer.why}")
    client.close()
    say(f"   asked again after {time.monotonic() - began:.1f} s (fail_timeout, from its failures on); "
        f"{asked} of {asked} answered")


def computed(demo):
    """Tokens that the instances computed so far, all together."""
    return sum(demo.stats(port)["tokens"] for port in demo.models)


def cached(demo):
    """A frequent question is answered from the cache; ten equal ones at once are computed once."""
    demo.title("Frequent questions, which the page sends with Cache-Control: public, max-age=300")
    frequent = {"Cache-Control": "public, max-age=300"}
    text = demo.question(0)
    client, times_of, had = Client(demo, CLIENTS[0]), [], computed(demo)
    for _ in range(2):
        answer = client.ask(text, fields=frequent)
        if answer.why:
            raise Failed(f"a frequent question was not answered: {answer.why}")
        times_of.append(answer)
    client.close()
    if computed(demo) - had != TOKENS:
        raise Failed(f"a question asked twice was computed more than once: {computed(demo) - had} tokens")
    say("   asked twice        " + ", then ".join(
        f"first token {a.first * 1000:.1f} ms, whole answer {a.total * 1000:.1f} ms" for a in times_of))
    text, had, answers = demo.question(1), computed(demo), []

    def run(address):
        one = Client(demo, address)
        answers.append(one.ask(text, fields=frequent))
        one.close()

    threads = [threading.Thread(target=run, args=(a,), daemon=True) for a in CLIENTS[:10]]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    bad = [a for a in answers if a.why]
    if bad or len(answers) != len(threads):
        raise Failed(f"equal questions were not all answered: {bad[0].why if bad else 'some still wait'}")
    tokens = computed(demo) - had
    if tokens != TOKENS:
        raise Failed(f"ten equal questions cost {tokens} tokens, not {TOKENS}")
    say(f"   ten at once        first token {statistics.median(a.first for a in answers):.2f} s (median); "
        f"{tokens} tokens computed for {len(answers) * TOKENS} delivered")


# Others join here.
SCENARIOS = [spread, cached, leave, line, kill, come_back]


# --- the command -----------------------------------------------------------------------------------

def stay(demo):
    """The page, until somebody ends it; without a terminal nobody would."""
    page = f"http://{HOST}:{demo.port}/"
    if not TERMINAL:
        say(f"\nThe page would be {page}; there is no terminal, so the demo ends here.")
        return
    say(f"\nOpen   {page}   (a chat page; its answers stream through weir)")
    say(f"Logs   {demo.folder}/weir.log   (a line for each question)")
    say("Stop   Ctrl-C here, or make demo-stop")
    terminal = select.poll()
    terminal.register(sys.stdin, 0)
    while not terminal.poll(200):       # it says nothing but that it was closed
        demo.weir.check()
        for port, child in list(demo.models.items()):
            if not child.lives():       # somebody tries it out
                say(f"instance :{port} {child.how()}; weir goes on with the others")
                del demo.models[port]


def show(args):
    """Runs it all; gives why it failed, or an empty text."""
    demo, why = None, ""
    try:
        demo = Demo(args)
        demo.start()
        say(f"weir on {HOST}:{demo.port} with {os.path.relpath(args.conf)} (its port changed), "
            f"model instances on {', '.join(f':{p}' for p in demo.ports)}")
        say(f"how it goes: curl --unix-socket {demo.admin()} http://weir/status (or /metrics)")
        for scenario in SCENARIOS:
            if args.only is None or scenario.__name__ in args.only.split(","):
                scenario(demo)
                demo.check()
        stay(demo)
    except Stop:
        pass
    except Exception as e:              # noqa: B902  (nothing may be left running)
        why = str(e) if isinstance(e, Failed) else f"{type(e).__name__}: {e}"
        if demo is not None and demo.weir is not None and demo.weir.wait(0.5):
            why = f"weir {demo.weir.how()}; its stderr:\n{demo.weir.last_words()}"
    finally:
        Signals.came = True             # the end is bounded in time and wants no signal
        if demo is not None:
            bad_end = demo.stop()
            why = why or bad_end
    return why


def run(args):
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, Signals.on_signal)
    why = show(args)
    try:
        status("")
        if not why:
            print("stopped", flush=True)
    except OSError:                     # nobody is there to read it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in why.splitlines():
        print(line if line.startswith(" ") else f"demo: {line}", file=sys.stderr)
    return 1 if why else 0


def stop(path):
    folder, processes = read_pids(path)
    if not processes:
        print("no demo is running")
    try:
        for p in processes:         # the script comes first, and ends the others
            p.signal(signal.SIGTERM)
            if p.name == "demo":
                p.wait(20)
        for p in processes:
            p.end()
    except PermissionError:
        print("demo: it belongs to another user: sudo make demo-stop", file=sys.stderr)
        return 1
    remove_folder(folder)
    with contextlib.suppress(OSError):
        os.unlink(path)
    if processes:
        print("the demo is stopped")
    return 0


def main():
    ap = argparse.ArgumentParser(description="Four model instances and weir in front.")
    ap.add_argument("--stop", action="store_true", help="end a running demo")
    ap.add_argument("--port", default=os.environ.get("DEMO_PORT", "8080"), help="of weir")
    ap.add_argument("--models", default=os.environ.get("DEMO_MODELS", "8001"),
                    help="the first port of four, or four with commas between")
    ap.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="where the programs are")
    ap.add_argument("--conf", default=os.path.join(ROOT, "conf", "weir.yaml"))
    ap.add_argument("--only", metavar="NAME,NAME", help="of " + ", ".join(f.__name__ for f in SCENARIOS))
    ap.add_argument("--pids", default=os.path.join(ROOT, "build", "demo.pids"), help="the pid file")
    args = ap.parse_args()
    return stop(args.pids) if args.stop else run(args)


if __name__ == "__main__":
    sys.exit(main())
