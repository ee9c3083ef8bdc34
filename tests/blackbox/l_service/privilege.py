# SPDX-License-Identifier: MIT
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import Authority  # noqa: E402

import grp  # noqa: E402
import pwd  # noqa: E402

"""From root to somebody, for good."""


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def status(w):
    with open(f"/proc/{w.pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def open_up(w):
    """The folder of the test is root's alone."""
    os.chmod(w.dir, 0o755)


def test_becomes_the_user():
    need_root()
    nobody = pwd.getpwnam("nobody")
    w = Weir(conf(extra="user: nobody"), Origin())
    open_up(w)
    s = status(w)
    assert s["Uid"].split() == [str(nobody.pw_uid)] * 4, s["Uid"]
    assert s["Gid"].split() == [str(nobody.pw_gid)] * 4, s["Gid"]
    assert set(s["Groups"].split()) <= {str(nobody.pw_gid)}, s["Groups"]
    assert s["NoNewPrivs"] == "1" and int(s["CapEff"], 16) == int(s["CapPrm"], 16) == 0, s
    assert get(w).status == 200 and w.log(1)
    assert os.stat(w.log_path).st_uid == nobody.pw_uid
    with open(f"/proc/{w.pid}/limits", encoding="ascii") as f:
        assert re.search(r"^Max core file size +0 +0 ", f.read(), re.M)
    w.stop()


def test_group():
    need_root()
    w = Weir(conf(extra="user: nobody\ngroup: daemon"), Origin())
    assert status(w)["Gid"].split() == [str(grp.getgrnam("daemon").gr_gid)] * 4
    w.stop()


def test_reload_as_that_user():
    need_root()
    text = conf(extra="user: nobody")
    w = Weir(text, Origin())
    open_up(w)
    os.chmod(w.file, 0o644)
    w.reload()
    # What only root may do fails, and changes nothing.
    w.write(conf(listen='"127.0.0.1:$PORT", "127.0.0.1:81"', extra="user: nobody"))
    os.chmod(w.file, 0o644)
    said = w.reload(ok=False)
    assert "need root or CAP_NET_BIND_SERVICE" in said, said
    assert get(w).status == 200
    w.stop()


@not_under_memcheck("another user cannot write its report")
def test_who_is_not_root():
    need_root()
    with folder() as d:
        os.chmod(d, 0o777)
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'listen: "127.0.0.1:{free_port()}"\nroutes: [{{path: /, respond: {{status: 200}}}}]\n'
                    f"user: daemon\n")
        os.chmod(path, 0o644)
        nobody = pwd.getpwnam("nobody")
        reachable = shutil.copy(WEIR, d)    # what lies in root's home is not
        code, _, err = run_weir("-c", path, program=reachable, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
        assert code == 3 and "only root can become daemon" in err, err


def test_what_that_user_cannot_use():
    """Read by root at start and by nobody with a reload: -t tells before."""
    need_root()
    with folder() as d:
        os.chmod(d, 0o755)

        def put(name, text, mode):
            path = os.path.join(d, name)
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(path, mode)
            return path

        def check():
            return run_weir("-t", "-c", os.path.join(d, "weir.yaml"))

        def give(uid):
            for name in ("users", "keys", "weir.yaml", "www", "log", leaf.key):
                os.chown(os.path.join(d, name), uid, -1)

        leaf = Authority().issue("a.example")
        for path in (os.path.dirname(leaf.cert), leaf.cert):
            os.chmod(path, 0o755)
        os.mkdir(os.path.join(d, "www"), 0o700)
        os.mkdir(os.path.join(d, "log"), 0o700)
        put("users", "a:$6$aaaaaaaa$" + "x" * 86 + "\n", 0o600)
        put("keys", "a:" + "0" * 64 + "\n", 0o600)
        text = f"""listen: {{address: "127.0.0.1:{free_port()}", tls: {{certificates: [{leaf}]}}}}
user: nobody
routes:
  - {{path: /a/, respond: {{files: {d}/www}}}}
  - {{path: /, respond: {{}}, auth: {{basic: {{file: {d}/users}}, keys: {{file: {d}/keys}}}}}}
access_log: {d}/log/a.log
"""
        file = put("weir.yaml", text, 0o600)
        give(pwd.getpwnam("nobody").pw_uid)
        assert check() == (0, f"{file}: configuration ok\n", ""), check()
        give(0)
        code, _, err = check()
        reading = "nobody cannot read it, or enter its folder, so reloads will fail: give it a group of that user"
        assert code == 1, "files that are never found are an error"
        for where, what in ((f":2:7: user: warning: {file}", reading),
                            ("tls.certificates[0].key: warning: ", reading),
                            ("auth.basic.file: warning: ", reading), ("auth.keys.file: warning: ", reading),
                            ("access_log: warning: ", "nobody cannot enter"),
                            ("respond.files: /", "nobody cannot enter that folder, nothing in it would be found")):
            assert any(where in line and what in line for line in err.split("\n")), (where, err)
        os.chmod(os.path.join(d, "www"), 0o711)
        code, out, err = check()
        assert code == 0 and err.count("warning") == 5, err
        # Who names nobody is nobody else.
        put("weir.yaml", text.replace("user: nobody\n", ""), 0o600)
        assert check()[2] == ""


def test_another_user_takes_a_restart():
    need_root()
    w = Weir(conf(extra="user: nobody"), Origin())
    open_up(w)
    w.write(conf(extra="user: daemon"))
    os.chmod(w.file, 0o644)
    assert "user: and group: have changed, which takes a restart" in w.reload()
    assert status(w)["Uid"].split()[0] == str(pwd.getpwnam("nobody").pw_uid)
    w.stop()


def test_unknown():
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("listen: 1\nroutes: [{path: /, respond: {status: 200}}]\nuser: no-such\ngroup: nor-this\n")
        code, _, err = run_weir("-t", "-c", path)
        assert code == 1
        assert f"{path}:3:7: user: this machine has no user no-such, make one with adduser --system no-such" in err
        assert f"{path}:4:8: group: this machine has no group nor-this" in err, err


def test_says_so_when_it_stays_root():
    need_root()
    with Weir(conf(), Origin()) as w:
        assert "running as root: name a user in user:" in w.stderr


main()
