#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs lint scripts, unit binaries and black-box files; ends with "N passed, N failed".

Every black-box file is a process of its own in its own process group, with a time limit ("# limit:
SECONDS" among its first lines, else 60).  "# valgrind: no" among them keeps it out of such a run.  A line "ok NAME" or "not ok NAME..." is a test.
"""
import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 60
RESULT = re.compile(r"^(not )?ok\b(?!.*# SKIP)", re.M)
SKIPPED = re.compile(r"^ *ok (\S+) # SKIP (.*)$", re.M)


# "make valgrind" (see harness.py): unit tests are run under it as they are.
VALGRIND = ("valgrind --tool=memcheck --quiet --leak-check=full --errors-for-leak-kinds=definite "
            "--error-exitcode=99 --vgdb=no").split()
SLOW = 10               # a guard against hanging, no more


def environment(build, valgrind):
    env = dict(os.environ, WEIR_BUILD=build, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1",
               PYTHONPATH=os.path.join(ROOT, "tests", "blackbox"))
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    if valgrind:
        env["WEIR_VALGRIND"] = "1"
    return env


def run(command, limit, env):
    """(exit code or None when the time was up, output)"""
    p = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = p.communicate(timeout=limit)
        code = p.returncode
    except subprocess.TimeoutExpired:
        code = None
    finally:
        # The group is ours: its leader is the child started above.
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    if code is None:
        out, _ = p.communicate()
        out += b"\ntime limit of %d s is up\n" % limit
    return code, out.decode("utf-8", "replace")


def mark(path, name, default):
    """What stands behind "# NAME:" among a file's first lines."""
    with open(path, encoding="utf-8") as f:
        m = re.search(rf"^# {name}: (\w+)", f.read(900), re.M)
    return m.group(1) if m else default


def listing(directory, want):
    return sorted(f for f in (os.listdir(directory) if os.path.isdir(directory) else []) if want(f))


def blackbox(name, directory):
    for f in listing(directory, lambda f: f.endswith(".py")):
        path = os.path.join(directory, f)
        yield f"{name}/{f}", [sys.executable, path], int(mark(path, "limit", LIMIT)), True


def collect(build):
    """(name, command, limit, counts by lines)"""
    lint = os.path.join(ROOT, "tests", "lint")
    for f in listing(lint, lambda f: f.endswith(".sh")):
        yield "lint/" + f, ["sh", os.path.join(lint, f)], LIMIT, False
    unit = os.path.join(build, "unit")
    for f in listing(unit, lambda f: f.startswith("test_") and "." not in f):
        yield "unit/" + f, [os.path.join(unit, f)], LIMIT, True
    fuzz = os.path.join(build, "fuzz")
    for f in listing(fuzz, lambda f: f.startswith("replay_") and "." not in f):
        kept = os.path.join(ROOT, "tests", "fuzz", "corpus", f[len("replay_"):])
        yield "fuzz/" + f, [os.path.join(fuzz, f), kept], LIMIT, True
    top = os.path.join(ROOT, "tests", "blackbox")
    for topic in listing(top, lambda d: os.path.isdir(os.path.join(top, d)) and d[0] != "_"):
        yield from blackbox("blackbox/" + topic, os.path.join(top, topic))


def under_memcheck(jobs):
    """The same under valgrind, which a black-box file puts before the daemon itself."""
    for name, command, limit, by_lines in jobs:
        kind = name.split("/")[0]
        if kind == "lint" or (kind == "blackbox" and mark(command[-1], "valgrind", "yes") == "no"):
            continue
        yield name, command if kind == "blackbox" else VALGRIND + command, limit * SLOW, by_lines


def judge(code, out, by_lines):
    """(passed, failed)"""
    if not by_lines:
        return (1, 0) if code == 0 else (0, 1)
    lines = [m.group(1) for m in RESULT.finditer(out)]
    passed, failed = lines.count(None), len(lines) - lines.count(None)
    # A crash, a time limit or a file without tests is one more failure; what a machine cannot do is told.
    if (code != 0 and failed == 0) or code is None or not (lines or SKIPPED.search(out)):
        failed += 1
    return passed, failed


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build/san")
    ap.add_argument("-k", default="", metavar="PATTERN", help="only names that contain this")
    ap.add_argument("-j", type=int, default=3)
    ap.add_argument("--valgrind", action="store_true", help="the daemon and the unit tests under memcheck")
    ap.add_argument("--long", action="store_true", help="instead, what takes minutes")
    args = ap.parse_args()
    build = os.path.abspath(args.build)
    env = environment(build, args.valgrind)
    jobs = under_memcheck(collect(build)) if args.valgrind else collect(build)
    if args.long:
        jobs = blackbox("long", os.path.join(ROOT, "tests", "blackbox", "_long"))
    jobs = [j for j in jobs if args.k in j[0]]
    passed = failed = 0

    def work(job):
        began = time.monotonic()
        code, out = run(job[1], job[2], env)
        return job, code, out, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for job, code, out, took in pool.map(work, jobs):
            good, bad = judge(code, out, job[3])
            passed, failed = passed + good, failed + bad
            if bad:
                why = "time limit" if code is None else f"exit {code}"
                print(f"FAILED {job[0]}: {good} passed, {bad} failed ({why}, {took:.1f} s)")
                print("\n".join("    " + line for line in out.splitlines()), flush=True)
            else:
                print(f"ok     {job[0]}: {good} ({took:.1f} s)", flush=True)
                for name, reason in SKIPPED.findall(out):
                    print(f"       skipped {name}: {reason}", flush=True)
    if not jobs:
        print(f"nothing matches {args.k!r}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
