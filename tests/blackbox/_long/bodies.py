# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

# limit: 900
# A gigabyte each way, against the memory that is stated for an exchange.  For the release build: what
# a sanitizer keeps of freed memory would hide the daemon's own.
import zlib

GB = 1 << 30
PIECE = 1 << 20
# 256 KB for what waits to be sent each way, and retry.keep_body (1 MB), with as much again for malloc.
STATED = 3 << 20


def peak(w):
    """The most memory so far, in bytes."""
    with open(f"/proc/{w.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) << 10


def pieces():
    """A gigabyte, each megabyte another."""
    base = bytes(range(256)) * (PIECE // 256)
    for i in range(GB // PIECE):
        yield b"%16d" % i + base[16:]


def checksum():
    crc = 0
    for p in pieces():
        crc = zlib.crc32(p, crc)
    return crc


def read_body(s, message, pause):
    """(length, checksum); reads in fits and starts when there is a pause."""
    n = crc = 0
    view = memoryview(bytearray(PIECE))
    if message.is_chunked:
        while True:
            size = int(s.recv_until(b"\r\n"), 16)
            if size == 0:
                s.recv_until(b"\r\n")
                return n, crc
            data = s.recv_exactly(size)
            s.recv_exactly(2)
            n, crc = n + size, zlib.crc32(data, crc)
    left = int(message.get("Content-Length"))
    while left > 0:
        if s.buf:
            data = s.take(left)
        else:
            got = s.sock.recv_into(view[:min(left, PIECE)])
            assert got > 0, "cut"
            data = view[:got]
        n, crc, left = n + len(data), zlib.crc32(data, crc), left - len(data)
        if pause and n % (64 << 20) < len(data):
            time.sleep(pause)           # a slow reader: what weir holds meanwhile is measured
    return n, crc


def send_body(s, chunked):
    for p in pieces():
        if chunked:
            for i in range(0, PIECE, 65536):
                s.sock.sendall(b"10000\r\n" + p[i:i + 65536] + b"\r\n")
        else:
            s.sock.sendall(p)
    if chunked:
        s.sock.sendall(b"0\r\n\r\n")


def framing(chunked):
    return b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % GB


def transfer(chunked=False, server_pause=0, client_pause=0, at_once=False):
    got = {}

    def handler(c, r):
        c.sock.settimeout(120)
        if at_once:
            t = Background(lambda: (c.send(b"HTTP/1.1 200 OK\r\n" + framing(chunked)), send_body(c, chunked)))
        got["up"] = read_body(c, r, server_pause)
        if at_once:
            t.result(300)
        else:
            c.send(b"HTTP/1.1 200 OK\r\n" + framing(chunked))
            send_body(c, chunked)
    o = Origin(handler, read_body=False)
    with Weir(conf(route="max_body: 2GB"), o) as w:
        before = peak(w)
        c = Client(w, timeout=120)
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing(chunked))
        t = Background(send_body, c, chunked)
        r = c.recv_head()
        assert r.status == 200, r
        got["down"] = read_body(c, r, client_pause)
        t.result(300)
        assert got["up"] == got["down"] == (GB, checksum()), got
        grown = peak(w) - before
        print(f"# {grown >> 10} KB more at the peak than at rest")
        assert grown <= STATED, f"{grown} bytes"
        assert (w.last()["bytes_in"], w.last()["bytes_out"], w.last()["end"]) == (GB, GB, "ok"), w.last()


def test_counted():
    transfer()


def test_chunked():
    transfer(chunked=True)


def test_both_ways_at_once():
    transfer(at_once=True)


def test_a_slow_server():
    transfer(server_pause=0.2)


def test_a_slow_client():
    transfer(client_pause=0.2)


for f in (test_counted, test_chunked, test_both_ways_at_once, test_a_slow_server, test_a_slow_client):
    f.limit = 300


if __name__ == "__main__":
    main()
