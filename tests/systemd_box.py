#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The package under a real systemd: a small Debian in namespaces of its own, with the unit as it is shipped.

What the other tests see from outside (sockets, words to a manager, lintian) is done here for real: the sandbox of
the unit, where a system call that it forbids kills; sockets that systemd holds; reload, restart, upgrade and removal.
Needs root and a mirror.  The box has its own mounts, processes, network and control group: nothing of it is seen
by this machine, and all of it ends with the script.
usage: systemd_box.py
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SUITE = "bookworm"
INCLUDE = "systemd,systemd-sysv,dbus,adduser,curl,python3,logrotate,ssl-cert,apache2-utils"

INSIDE = r"""
set -e
ip link set lo up 2>/dev/null || true
mount --bind "$1" "$1"
cd "$1"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 dev/${d%:*} c 1 ${d#*:}; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
touch dev/console
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --show-status=no
"""

ORIGIN = r"""
import http.server, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(int(self.path.partition("=")[2] or 0)):
            self.wfile.write(b"1\r\nx\r\n")
            time.sleep(1)
        self.wfile.write(b"3\r\nend\r\n0\r\n\r\n")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Handler).serve_forever()
"""

# Asks on and on until it is told to stop; says how many were answered and how many not.
HAMMER = r"""
import os, socket, sys, time
good, bad = 0, []
while not os.path.exists("/run/enough"):
    data, began = b"", time.time()
    try:
        with socket.create_connection(("127.0.0.1", 80), 20) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while piece := s.recv(4096):
                data += piece
        why = "" if data.startswith(b"HTTP/1.1 200") and b"end" in data else "no whole answer"
    except OSError as e:
        why = str(e)
    if why:
        bad.append((began, time.time(), why, data))
    good += not why
print(good, bad)
"""

CONF = """
listen:
  - 80
  - "unix:/run/weir/http.sock"
  - {address: 443, tls: {certificates: [{cert: /etc/ssl/certs/ssl-cert-snakeoil.pem,
                                         key: /etc/ssl/private/ssl-cert-snakeoil.key}]}}
upstreams:
  a: {servers: ["localhost:8001"], health_check: {path: /, interval: 1s}}
routes:
  - {path: /auth/, upstream: a, auth: {basic: {file: /etc/weir/users}}}
  - {path: /, upstream: a}
admin: {listen: 127.0.0.1:9145}
access_log: /var/log/weir/access.log
drain_timeout: 20s
"""

# A call that the unit forbids is the end, where the shipped unit would only refuse it; and it may be started often.
STRICT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nSystemCallErrorNumber=\nWatchdogSec=2s\nTimeoutStopSec=2s\n"


def call(*argv, **more):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       check=False, timeout=300, **more)
    return p.returncode, p.stdout


def must(*argv, **more):
    code, out = call(*argv, **more)
    assert code == 0, f"{' '.join(argv)}: {code}\n{out}"
    return out


def until(predicate, what, seconds=20):
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.05)


class Box:
    def __init__(self, folder):
        self.root = os.path.join(folder, "root")
        print("making a Debian")
        must("unshare", "-m", "--propagation", "private", "debootstrap", "--variant=minbase", f"--include={INCLUDE}",
             SUITE, self.root)
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/srv/origin.py", ORIGIN)
        self.write("/srv/hammer.py", HAMMER)
        self.write("/srv/inside", INSIDE)
        self.process = self.pid = None

    def write(self, path, text):
        at = self.root + path
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "w", encoding="ascii") as f:
            f.write(text)

    def chroot(self, script):
        return must("unshare", "-m", "--propagation", "private", "chroot", self.root, "sh", "-ec",
                    "mount -t proc proc /proc; export DEBIAN_FRONTEND=noninteractive; " + script)

    def boot(self):
        group = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
        self.group = os.path.join(group, f"weir-box-{os.getpid()}")
        os.makedirs(self.group)

        def join():
            with open(os.path.join(self.group, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "--kill-child",
             "--propagation", "private", "sh", self.root + "/srv/inside", self.root],
            stdin=subprocess.DEVNULL, preexec_fn=join)

        def child():
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
                self.pid = f.read().strip()
            return self.pid
        until(child, "a first process")
        until(lambda: self.run("systemctl is-system-running")[1].strip() in ("running", "degraded"), "it is up", 60)

    def run(self, script):
        return call("nsenter", "-t", self.pid, "-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w", "env", "-i",
                    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script)

    def do(self, script):
        code, out = self.run(script)
        assert code == 0, f"{script}: {code}\n{out}\n" + self.run("journalctl -u weir -n 40 --no-pager -o cat")[1]
        return out

    def show(self, what):
        return self.do(f"systemctl show weir -p {what} --value").strip()

    def background(self, script):
        return subprocess.Popen(["nsenter", "-t", self.pid, "-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w",
                                 "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def end(self):
        if self.process is None:
            return
        self.process.kill()             # the first process of the box with it, and so all
        self.process.wait()
        until(lambda: not os.path.exists(f"/proc/{self.pid}"), "the box is empty")
        until(lambda: not rmdir(self.group), "its control group is gone")


def rmdir(path):
    """Whether something is in it still; the groups below it go first."""
    try:
        for at, _, _ in os.walk(path, topdown=False):
            os.rmdir(at)
    except OSError:
        pass
    return os.path.isdir(path)


class Hammer:
    """Somebody asks all the time: nobody is refused."""

    def __init__(self, box):
        self.box = box

    def __enter__(self):
        self.box.do("rm -f /run/enough")
        self.process = self.box.background("python3 /srv/hammer.py")
        time.sleep(0.5)

    def __exit__(self, kind, *_):
        self.box.do("touch /run/enough")
        good, bad = self.process.communicate(timeout=60)[0].split(" ", 1)
        assert kind or (int(good) > 10 and bad == "[]\n"), \
            f"{good} answered, and not: {bad}\n" + self.box.run("journalctl -u weir -n 60 --no-pager -o cat")[1]


def package(box, version):
    out = must("sh", "conf/debian/build.sh", version, "build", cwd=ROOT)
    path = os.path.join(ROOT, re.search(r"in '(build/weir_[^']*\.deb)'", out).group(1))
    shutil.move(path, os.path.join(box.root, "srv", f"{version}.deb"))


def files(box):
    """What is there, but for what others note of others' work."""
    return set(box.do(r"""find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /var/cache -o -path
        /var/lib/dpkg -o -path /var/log/journal -o -path /root -o -path /srv -o -path /tmp -o -path /dev -o -path
        /var/lib/logrotate -o -path /var/lib/systemd/linger \) -prune -o -print; cut -d: -f1 /etc/passwd /etc/group"""
                      .replace("\n", " ")).split("\n"))


def test_install(box):
    box.do("dpkg -i /srv/1.deb")
    assert box.run("systemctl is-active weir")[1].strip() == "inactive", "somebody has to read the file first"
    box.write("/etc/weir/weir.yaml", CONF)
    box.write("/etc/systemd/system/weir.service.d/strict.conf", STRICT)
    box.do("htpasswd -Bbc -C 8 /etc/weir/users ada pw; chgrp weir /etc/weir/users; chmod 640 /etc/weir/users; "
           "adduser -q weir ssl-cert; systemctl daemon-reload; systemd-run -q --unit=origin python3 /srv/origin.py; "
           "systemctl start weir")
    until(lambda: "1 of 1 servers up" in box.show("StatusText"), "the server is up")


def test_sandbox(box):
    """Whatever it does is allowed; else it would be dead."""
    status = box.do(f"cat /proc/{box.show('MainPID')}/status")
    assert re.search(r"CapEff:\t0*400\n", status) and "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status
    for how in ("http://127.0.0.1/", "--unix-socket /run/weir/http.sock http://x/", "-k https://127.0.0.1/",
                "-u ada:pw http://127.0.0.1/auth/", "http://127.0.0.1:9145/metrics"):
        box.do(f"curl -sf -m 10 {how}")
    assert box.do("curl -s -o /dev/null -w '%{http_code}' -u ada:no http://127.0.0.1/auth/") == "401"
    box.do("logrotate -f /etc/logrotate.d/weir; curl -sf http://127.0.0.1/")
    until(lambda: box.run("test -s /var/log/weir/access.log -a -s /var/log/weir/access.log.1")[0] == 0, "a new log")
    assert box.do("stat -c %U:%G /var/log/weir /var/log/weir/access.log").split() == ["weir:adm"] * 2
    level = float(re.search(r"exposure level for weir.service: ([0-9.]+)",
                            box.do("systemd-analyze security weir.service --no-pager")).group(1))
    assert level <= 2.0, level


def test_reload(box):
    box.do("systemctl reload weir")
    box.write("/etc/weir/weir.yaml", CONF.replace("upstreams", "upstream"))
    assert box.run("systemctl reload weir")[0] != 0
    assert box.show("ActiveState") == "active"
    box.do("systemctl kill -s HUP --kill-who=main weir")
    until(lambda: "did you mean upstreams" in box.show("StatusText"), "the status says what is wrong")
    box.write("/etc/weir/weir.yaml", CONF)
    box.do("systemctl reload weir; curl -sf http://127.0.0.1/")


def test_upgrade(box):
    """What is being answered is finished, nobody is refused, and the new program is the service."""
    old = box.show("MainPID")
    stream = box.background("curl -sN 'http://127.0.0.1/?n=5'")
    with Hammer(box):
        box.do("dpkg -i /srv/2.deb")
        assert box.show("MainPID") not in (old, "0")
    assert stream.communicate(timeout=60)[0] == "xxxxxend"
    until(lambda: box.run(f"test -e /proc/{old}")[0] != 0, "the old one ends")
    assert box.show("ActiveState") == "active"
    # One that cannot start changes nothing.
    box.write("/etc/weir/weir.yaml", "nonsense")
    assert "has not taken over" in box.do("dpkg -i /srv/1.deb")
    box.do("curl -sf http://127.0.0.1/")
    box.write("/etc/weir/weir.yaml", CONF)


def test_sockets(box):
    box.do("systemctl enable weir.socket; systemctl stop weir; systemctl start weir.socket weir")
    with Hammer(box):
        for _ in range(3):
            box.do("systemctl restart weir")
        box.do("systemctl kill -s USR2 --kill-who=main weir")
        time.sleep(1)
        box.do("systemctl restart weir")


def test_drain_and_watchdog(box):
    stream = box.background("curl -sN 'http://127.0.0.1/?n=6'")
    time.sleep(0.5)
    box.do("systemctl stop weir")        # TimeoutStopSec is less than that takes
    assert stream.communicate(timeout=60)[0] == "xxxxxxend" and box.show("Result") == "success"
    box.do("systemctl start weir; sleep 3")
    assert box.show("NRestarts") == "0", "it lives"
    pid = int(box.show("MainPID"))
    assert pid > 1, box.run("systemctl status weir weir.socket --no-pager -l")[1]
    box.do(f"kill -STOP {pid}")
    until(lambda: box.show("NRestarts") == "1", "who hangs is started anew")
    until(lambda: box.run("curl -sf http://127.0.0.1/")[0] == 0, "and answers")


def test_removal(box, before):
    box.do("rm -r /etc/systemd/system/weir.service.d /etc/weir/users; dpkg -r weir")
    assert box.run("systemctl is-active weir weir.socket")[1].split() == ["inactive"] * 2
    box.do("dpkg -P weir")
    left = files(box) - before
    assert not left, left


def main():
    if os.geteuid() != 0:
        sys.exit("systemd_box.py: needs root")
    with tempfile.TemporaryDirectory(prefix="weir-box.") as folder:
        box = Box(folder)
        for version in ("1", "2"):
            package(box, version)
        depends = must("dpkg-deb", "-f", box.root + "/srv/1.deb", "Depends")
        names = " ".join(re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends))
        box.chroot(f"apt-get install -y --no-install-recommends {names}; : >/etc/machine-id")
        try:
            box.boot()
            before = files(box)
            for test in (test_install, test_sandbox, test_reload, test_upgrade, test_sockets,
                         test_drain_and_watchdog):
                test(box)
                print("ok", test.__name__)
            test_removal(box, before)
            print("ok test_removal")
        finally:
            box.end()


main()
