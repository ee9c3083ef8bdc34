# SPDX-License-Identifier: MIT
# limit: 420
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

"""What a host gets: make install, the Debian package, the unit."""

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def run(*argv, **more):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
                       **more)
    return p.returncode, p.stdout + p.stderr


def files(d):
    return sorted(os.path.relpath(os.path.join(at, f), d) for at, _, names in os.walk(d) for f in names)


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"no {program} on this machine")


def make(*args):
    code, out = run("make", "--no-print-directory", "-C", ROOT, "SAN=", *args)
    assert code == 0, out
    return out


def test_install_and_uninstall():
    with folder() as d:
        make("install", f"DESTDIR={d}", "PREFIX=/opt/weir")
        got = files(d)
        assert got == ["etc/weir/weir.yaml", "opt/weir/lib/systemd/system/weir.service",
                       "opt/weir/lib/systemd/system/weir.socket", "opt/weir/sbin/weir",
                       "opt/weir/share/man/man5/weir.yaml.5", "opt/weir/share/man/man8/weir.8"], got
        with open(os.path.join(d, "opt/weir/lib/systemd/system/weir.service"), encoding="utf-8") as f:
            assert "ExecStart=/opt/weir/sbin/weir -c /etc/weir/weir.yaml\n" in f.read()
        code, out = run(os.path.join(d, "opt/weir/sbin/weir"), "-t", "-c", os.path.join(d, "etc/weir/weir.yaml"))
        assert code == 0, out
        make("install", f"DESTDIR={d}/b", "PREFIX=/usr", "CONFDIR=/etc/b")
        with open(os.path.join(d, "b/usr/lib/systemd/system/weir.service"), encoding="utf-8") as f:
            assert f.read().count("=/usr/sbin/weir -c /etc/b/weir.yaml\n") == 1
        make("uninstall", f"DESTDIR={d}/b", "PREFIX=/usr", "CONFDIR=/etc/b")
        assert files(os.path.join(d, "b")) == []
        # A file that was changed is nobody's to replace or remove.
        with open(os.path.join(d, "etc/weir/weir.yaml"), "a", encoding="utf-8") as f:
            f.write("# mine\n")
        make("install", f"DESTDIR={d}", "PREFIX=/opt/weir")
        make("uninstall", f"DESTDIR={d}", "PREFIX=/opt/weir")
        assert files(d) == ["etc/weir/weir.yaml"]
        with open(os.path.join(d, "etc/weir/weir.yaml"), encoding="utf-8") as f:
            assert f.read().endswith("# mine\n")


# In a fresh clone all is compiled first.
test_install_and_uninstall.limit = 200


def test_package():
    need("dpkg-shlibdeps")
    out = make("deb")
    path = os.path.join(ROOT, re.search(r"in '(build/weir_[^']*\.deb)'", out).group(1))
    code, fields = run("dpkg-deb", "-f", path, "Depends", "Version")
    assert code == 0 and "libevent-core" in fields and "libssl3" in fields, fields
    with folder() as d:
        run("dpkg-deb", "-x", path, d)
        assert {"etc/weir/weir.yaml", "etc/logrotate.d/weir", "lib/systemd/system/weir.service", "usr/sbin/weir",
                "usr/share/man/man8/weir.8.gz", "usr/share/man/man5/weir.yaml.5.gz",
                "usr/share/doc/weir/copyright"} <= set(files(d))
        run("dpkg-deb", "-e", path, os.path.join(d, "control"))
        with open(os.path.join(d, "control", "conffiles"), encoding="utf-8") as f:
            assert f.read().split() == ["/etc/logrotate.d/weir", "/etc/weir/weir.yaml"]
    need("lintian")
    code, out = run("lintian", "--no-tag-display-limit", path)
    assert code == 0 and not re.search(r"^E:", out, re.M), out


test_package.limit = 200


def test_unit_is_hardened():
    need("systemd-analyze")
    code, out = run("systemd-analyze", "security", "--offline=true", "--threshold=20",
                    os.path.join(ROOT, "conf", "systemd", "weir.service"))
    level = float(re.search(r"exposure level for weir.service: ([0-9.]+)", out).group(1))
    assert code == 0 and level <= 2.0, out


main()
