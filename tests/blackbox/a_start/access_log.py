# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

KEYS = {"time", "request_id", "client", "method", "target", "host", "protocol", "status", "bytes_in", "bytes_out",
        "end", "route", "upstream", "server", "tries", "queue_ms", "connect_ms", "first_byte_ms", "total_ms",
        "user_agent", "referer"}


def test_json_fields():
    o = Origin(lambda c, r: c.answer("12345"))
    with Weir(conf(), o) as w:
        get(w, "/a?b=c", {"User-Agent": "me \"x\" \\ \u00e9", "Referer": "http://r/"}, "POST", b"abc")
        line = w.last()
    missing = KEYS - set(line)
    assert not missing, (missing, line)
    want = {"client": "127.0.0.1", "method": "POST", "target": "/a?b=c", "host": "test.example",
            "protocol": "HTTP/1.1", "status": 200, "bytes_in": 3, "bytes_out": 5, "end": "ok", "upstream": "up",
            "server": o.addr, "tries": 1, "referer": "http://r/"}
    assert {k: line[k] for k in want} == want, line
    assert line["user_agent"].startswith("me \"x\" \\ "), line
    assert line["route"] in ("/", "/*"), line
    assert "rule" not in line, line
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(line["time"])), line
    for k in ("connect_ms", "first_byte_ms", "total_ms"):
        assert 0 <= float(line[k]) < 10000, line
    assert line["request_id"] == o.requests[0].get("X-Request-Id")


def test_json_survives_anything():
    with Weir(conf(), Origin()) as w:
        for value in (b"\xff\xfe\x80", b"\xc3\xa9", b"\"\\/", b"a\tb", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80"):
            r = raw(w, b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: " + value + b"\r\n\r\n")
            assert r.status == 200, value
        # A refused head may hold anything at all.
        raw(w, b"GET /\xff\x01 HTTP/1.1\r\nHost: a\r\n\r\n")
        lines = w.log(7)
        assert lines[3]["user_agent"] == "a\tb"
        assert lines[1]["user_agent"] == "\u00e9"
        assert lines[5]["user_agent"] == "\U0001f600"
        assert "\ufffd" in lines[0]["user_agent"]
        assert lines[6]["status"] == 400 and lines[6]["rule"], lines[6]


COMBINED = (r'127\.0\.0\.1 - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
            r'"(.*)" (\d{3}) (\d+|-) "(.*)" "(.*)"')


def test_combined():
    with Weir(conf().replace("format: json", "format: combined"), Origin()) as w:
        get(w, "/a?b", {"User-Agent": "me", "Referer": "http://r/"})
        raw(w, b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \"\x80\r\n\r\n")
        eventually(lambda: len(w.lines()) == 2)
        m = re.fullmatch(COMBINED, w.lines()[0])
        assert m and m.groups() == ("-", "GET /a?b HTTP/1.1", "200", "6", "http://r/", "me"), w.lines()
        m = re.fullmatch(COMBINED, w.lines()[1])
        assert m and m.group(6) == "\\x22\\x80", w.lines()


def test_own_format():
    text = conf().replace("format: json", "format: '$status $method $target $end $bytes_out'")
    with Weir(text, Origin()) as w:
        get(w, "/a")
        eventually(lambda: w.lines() == ["200 GET /a ok 6"], what=w.lines)
    with Weir(conf().replace("format: json", "format: '$$status=${status}s $$tries$$'"), Origin()) as w:
        get(w, "/a")
        eventually(lambda: w.lines() == ["$status=200s $tries$"], what=w.lines)


def test_off():
    with Weir(conf().replace("access_log: {path: $LOG, format: json}", "access_log: {path: \"off\"}"), Origin()) as w:
        assert get(w).status == 200
        w.stop()
        assert w.lines() == [] and w.stdout == ""


def test_stdout():
    with Weir(conf().replace("path: $LOG", "path: stdout"), Origin()) as w:
        get(w)
        eventually(lambda: w.stdout.endswith("}\n"))
        assert json.loads(w.stdout)["status"] == 200


@not_under_memcheck("what is in between keeps descriptors of its own")
def test_dev_stdout_that_is_a_socket():
    """As the journal's: it cannot be opened, and is what is meant."""
    with folder() as d, socket.socket(socket.AF_UNIX) as journal:
        journal.bind(os.path.join(d, "journal"))
        journal.listen(1)
        prefix = [sys.executable, "-c", "import os, socket, sys; s = socket.socket(socket.AF_UNIX); "
                  "s.connect(sys.argv[1]); os.dup2(s.fileno(), 1); s.close(); os.execv(sys.argv[2], sys.argv[2:])",
                  os.path.join(d, "journal")]
        with Weir(conf().replace("path: $LOG", "path: /dev/stdout"), Origin(), prefix=prefix) as w:
            with journal.accept()[0] as s:
                s.settimeout(10)
                get(w)
                w.signal(signal.SIGUSR1)
                eventually(lambda: "log files reopened" in w.stderr)
                assert json.loads(s.recv(65536))["status"] == 200


def test_usr1_opens_it_again():
    with Weir(conf(), Origin()) as w:
        get(w, "/1")
        w.log(1)
        os.rename(w.log_path, w.log_path + ".1")
        get(w, "/2")
        eventually(lambda: open(w.log_path + ".1").read().count("\n") == 2, what="the old file goes on")
        w.signal(signal.SIGUSR1)
        eventually(lambda: os.path.exists(w.log_path))
        get(w, "/3")
        assert [x["target"] for x in w.log(1)] == ["/3"]
        assert open(w.log_path + ".1").read().count("\n") == 2
        assert oct(os.stat(w.log_path).st_mode & 0o777) in ("0o640", "0o600"), oct(os.stat(w.log_path).st_mode)


def test_usr1_that_fails_keeps_the_old_one():
    with folder() as d:
        os.mkdir(d + "/logs")
        with Weir(conf(), Origin(), LOG=d + "/logs/a.log") as w:
            get(w, "/1")
            w.log(1)
            os.rename(d + "/logs", d + "/moved")
            w.signal(signal.SIGUSR1)
            eventually(lambda: "a.log" in w.stderr)
            get(w, "/2")
            eventually(lambda: open(d + "/moved/a.log").read().count("\n") == 2)


def test_log_carries_over_a_reload():
    with Weir(conf(), Origin()) as w:
        get(w, "/1")
        w.reload()
        get(w, "/2")
        w.reload(conf().replace("$LOG", "$LOG.new"))
        get(w, "/3")
        eventually(lambda: os.path.exists(w.log_path + ".new") and "/3" in open(w.log_path + ".new").read())
        assert [x["target"] for x in w.log(2)] == ["/1", "/2"]


def test_no_credentials_in_it():
    with Weir(conf(), Origin()) as w:
        get(w, "/", {"Authorization": "Bearer s3cr3t", "Cookie": "k=s3cr3t", "Proxy-Authorization": "Basic s3cr3t"})
        w.log(1)
        assert "s3cr3t" not in open(w.log_path).read() + w.stderr


if __name__ == "__main__":
    main()
