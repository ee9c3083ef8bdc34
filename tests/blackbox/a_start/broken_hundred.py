# SPDX-License-Identifier: MIT
"""
Broken configurations, each with exactly what is said of it.  tests/unit/test_config.c reads all of
broken_hundred.txt; here some of it goes through the command, and what a text file cannot show.
"""
import concurrent.futures
import difflib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "..", "..", "..", "conf", "reference.yaml")
ROUTES = "routes: [{path: /, upstream: up}]\n"
MACROS = {
    "HEAD": "listen: [8080]\nupstreams: {up: {servers: [127.0.0.1:1]}}\n" + ROUTES,
    "UP": "listen: [8080]\nupstreams:\n  up:\n    servers: [127.0.0.1:1]\n",
    "ROUTES": ROUTES,
}
HEAD = MACROS["HEAD"]
NOTHING = ["1:1: listen: missing, give a port, ADDRESS:PORT, [IPV6]:PORT or unix:/path, a mapping with one, or a list of them",
           "1:1: routes: missing, say what is answered how: - {path: /, upstream: NAME}"]

# The environment of each: one is no text, one holds what would be YAML.
ENVIRONMENT = {"WEIR_TEST_SET": "5 minutes", "WEIR_TEST_NEWLINE": "5s\nx: 1", "WEIR_TEST_BYTES": b"\xff\xfe"}

# What a text file cannot show.
BYTES = [
    (b"", NOTHING),
    (b"\n\n# only a comment\n", NOTHING),
    ("\ufeff" + HEAD + "x: 1\n", ["4:1: x: unknown key, known are <root>"]),
    ("\ufeffx: 1\n" + HEAD, ["1:1: x: unknown key, known are <root>"]),
    (HEAD.encode("utf-16"), ["1:1: this is not YAML: invalid leading UTF-8 octet"]),
    (HEAD.encode("utf-16-be"), ["1:1: this is not YAML: control characters are not allowed"]),
    (b"\xff\xfe", ["1:1: this is not YAML: invalid leading UTF-8 octet"]),
    (b"listen: [8080]\0\nroutes: []\n", ["1:15: this is not YAML: control characters are not allowed"]),
    (b"\1", ["1:1: this is not YAML: control characters are not allowed"]),
    (b"listen: 1\nx: \"\xc3\xa9\xff\"\n", ["2:6: this is not YAML: invalid leading UTF-8 octet"]),
    (b"listen: 1\nx: \"a\xc0\x80\"\n", ["2:6: this is not YAML: invalid length of a UTF-8 sequence"]),
    (b"listen: 1\nx: \"a\xed\xa0\x80\"\n", ["2:6: this is not YAML: invalid Unicode character"]),
    (b"listen: 1\nx: \"a\xc3(\"\n", ["2:7: this is not YAML: invalid trailing UTF-8 octet"]),
    (b"listen: 1\nx: \"a\xc3", ["2:6: this is not YAML: incomplete UTF-8 octet sequence"]),
    (HEAD + "access_log: {path: \"a\1b\"}\n", ["4:22: this is not YAML: control characters are not allowed"]),
    (HEAD + "access_log: {path: \"a\x7fb\"}\n", ["4:22: this is not YAML: control characters are not allowed"]),
    (HEAD.replace("\n", "\r\n") + "x: 1\r\n", ["4:1: x: unknown key, known are <root>"]),
    ("listen: " + "[" * 5000 + "\n", ["1:41: nested too deeply: 32 levels are the most"]),
    ("listen: " + "{a: " * 5000 + "\n", ["1:134: nested too deeply: 32 levels are the most"]),
    ("- " * 5000 + "\n", ["1:67: nested too deeply: 32 levels are the most"]),
    ("listen: [" + "1, " * 100001 + "1]\n",
     ["1:300001: too many values: 100000 are the most, an alias counts as what it stands for"]),
    ("listen: [" + ", ".join(map(str, range(1, 66))) + "]\n" + HEAD[15:],
     ["1:9: listen: 65 entries, 1 to 64 are possible"]),
    (HEAD + "access_log: {path: \"" + "a" * 9000 + "\"}\n", ["4:20: access_log.path: longer than 8 KB"]),
    (HEAD + "access_log: {format: \"" + "$status " * 65 + "\"}\n",
     ["4:22: access_log.format: \"" + "$status " * 65 + "\": the format has too many parts"]),
    (HEAD + "drain_timeout: \"" + "\u00e9\\n" * 40 + "\"\n",
     ["4:16: drain_timeout: \"" + "\u00e9?" * 40 + "\" is no duration, write 250ms, 10s, 5m or 1h"]),
    (HEAD + "".join(f"x{i}: 1\n" for i in range(600)),
     [f"{i + 4}:1: x{i}: unknown key, known are <root>" for i in range(500)] + ["and 100 more errors"]),
    (HEAD + "client: {" + "".join(f"x{i}: 1, " for i in range(1001)) + "}\n",
     ["4:8900: too many keys: 1000 are the most in a mapping"]),
    (HEAD + "x" * 300 + ": 1\n", ["4:1: " + "x" * 300 + ": unknown key, known are <root>"]),
]


def tables():
    """What <NAME> stands for: keys of sections in their order, and the tables of names."""
    found, stack = {}, []
    with open(REFERENCE, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"( *)#?(- )?#?([a-z_0-9]+):", line)
            if not m:
                continue
            indent = len(m.group(1)) + (2 if m.group(2) else 0)
            while stack and stack[-1][0] >= indent:
                stack.pop()
            found.setdefault(".".join(name for _, name in stack) or "root", []).append(m.group(3))
            stack.append((indent, m.group(3)))
    for name in ("variables", "fields"):
        found[name] = re.findall(r"^\.It Ic (\S+)$", run_weir("--reference=" + name)[1], re.M)
    return {name: ", ".join(words) for name, words in found.items()}


def read_rows():
    with open(os.path.join(HERE, "broken_hundred.txt"), encoding="utf-8") as f:
        blocks = f.read().split("%%\n")[1:]
    for block in blocks:
        text, want = "", []
        for line in block.split("\n")[:-1]:
            if line.startswith("> "):
                want.append(line[2:])
            else:
                text += MACROS.get(line, line + "\n")
        yield text, want


def errors(d, number, text):
    path = os.path.join(d, f"{number}.yaml")
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    code, out, err = run_weir("-t", "-c", path, env=ENVIRONMENT)
    assert (code, out) == (1, ""), (code, out, err)
    lines = err.split("\n")
    assert lines.pop() == "" and all(line.startswith(path + ":") for line in lines), err
    return [line[len(path) + 1:].lstrip(" ") for line in lines]


def check(rows):
    known = tables()

    def one(numbered):
        number, (text, want) = numbered
        want = [re.sub(r"<([a-z_.]+)>", lambda m: known.get(m.group(1), m.group(0)), w) for w in want]
        try:
            got = errors(d, number, text)
        except AssertionError as e:
            return f"{text[:400]!r}\n{e}"
        if got == want:
            return None
        return f"{text[:400]}\n" + "\n".join(line[:600] for line in difflib.ndiff(want, got))

    with folder() as d, concurrent.futures.ThreadPoolExecutor(2) as pool:
        bad = [b for b in pool.map(one, enumerate(rows)) if b]
    assert not bad, f"{len(bad)} of {len(rows)}, - is what was expected:\n" + "\n".join(bad)


def test_some_are_told_exactly():
    rows = list(read_rows())
    assert len(rows) >= 100, len(rows)
    check(rows[::12])


def test_bytes_and_bounds_are_told_exactly():
    check(part(BYTES))


def test_a_long_line_keeps_its_ends():
    with folder() as d:
        line, = errors(d, 1, HEAD + "drain_timeout: " + "x" * 5000 + "\n")
        assert re.fullmatch(r"4:16: drain_timeout: \"x+ \.\.\. x+\" is no duration, write 250ms, .*", line), line
        assert len(line) < 1100, len(line)


def test_a_file_too_large():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "wb") as f:
            f.write(HEAD.encode() + b"#" * (4 << 20))
        assert run_weir("-t", "-c", path) == (1, "", f"{path}: larger than 4 MB, that is no configuration\n")


if __name__ == "__main__":
    main()
