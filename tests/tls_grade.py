#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""testssl.sh looks at a weir with its default settings: nothing above LOW, and A- at least.

Debian 12's testssl.sh finds but does not grade; Debian 13's does, by the guide of SSL Labs.  It is a script: where
the installed one is the older, the newer package is fetched from the mirror that apt uses here and unpacked below
BUILD, and this machine's sources and packages stay as they are.  What their words are about is not weir but the
site (revocation and headers) is there, as on a real one.
usage: tls_grade.py BUILD
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(sys.argv[1])
os.environ.setdefault("WEIR_BUILD", BUILD)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "blackbox"))
import harness  # noqa: E402
from certs import Authority, listen  # noqa: E402

FINE = ("OK", "INFO", "LOW", "WARN", "DEBUG")
GRADES = ("A-", "A", "A+")
NEWER = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CONF = """
listen: [{listen}]
routes:
  - path: /
    respond: {{body: "hello\\n"}}
    response_headers:
      set: {{Strict-Transport-Security: max-age=31536000, X-Content-Type-Options: nosniff, X-Frame-Options: DENY,
             Content-Security-Policy: "default-src 'self'", Referrer-Policy: no-referrer}}
access_log: off
"""


class Tester:
    """One testssl.sh: its program, and the folder of its data when that is not where it looks."""

    def __init__(self, program, data=None):
        self.program = program
        self.env = dict(os.environ, **({"TESTSSL_INSTALL_DIR": data} if data else {}))
        out = subprocess.run([program, "--version"], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False, timeout=60).stdout.decode(errors="replace")
        found = re.search(r"testssl.*?(\d+)\.(\d+)\.\d+", re.sub(r"\x1b\[[\d;]*m", "", out))
        assert found, out
        self.version = (int(found.group(1)), int(found.group(2)))

    def grades(self):
        return self.version >= (3, 2)

    def look_at(self, w, ca):
        """Its findings."""
        out = os.path.join(w.dir, f"findings-{self.version[0]}.{self.version[1]}.json")
        subprocess.run([self.program, "--quiet", "--color", "0", "--warnings", "off", "--add-ca", ca.cert, "--jsonfile",
                        out, f"localhost:{w.port}"], env=self.env, stdin=subprocess.DEVNULL, check=False, timeout=1800)
        with open(out, encoding="utf-8") as f:
            findings = json.load(f)
        assert len(findings) > 100, "testssl.sh did not come to its end"
        return findings


def apt(folder, *args, program="apt-get", **more):
    """Apt with a list of sources and a state of its own."""
    options = {"Dir::State": f"{folder}/state", "Dir::Cache": f"{folder}/cache", "Dir::State::status": "/dev/null",
               "Dir::Etc::sourcelist": f"{folder}/sources.list", "Dir::Etc::sourceparts": "/dev/null",
               "APT::Sandbox::User": "", "Acquire::Languages": "none"}
    words = [w for k, v in options.items() for w in ("-o", f"{k}={v}")]
    return subprocess.run([program, *words, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=600, check=True, **more)


def mirror():
    """Where this machine's own Debian packages come from."""
    out = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)",
                          "Created-By: Packages"], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
    return next(line.split()[2] for line in out.splitlines()
                if line.startswith("Debian main ") and "security" not in line)


def fetch(to):
    """The newer package, unpacked."""
    with tempfile.TemporaryDirectory(prefix="weir-apt.") as d:
        for name in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(d, name))
        with open(os.path.join(d, "sources.list"), "w", encoding="ascii") as f:
            f.write(f"deb [signed-by={KEYRING}] {mirror()} {NEWER} main\n")
        apt(d, "update")
        apt(d, "download", "testssl.sh", cwd=d)
        subprocess.run(["dpkg-deb", "-x", glob.glob(os.path.join(d, "testssl.sh_*.deb"))[0], os.path.join(d, "tree")],
                       check=True, timeout=60)
        shutil.rmtree(to, ignore_errors=True)
        shutil.move(os.path.join(d, "tree"), to)


def testers():
    """The installed one, and one that grades."""
    own = Tester("testssl")
    if own.grades():
        return [own]
    tree = os.path.join(os.path.dirname(BUILD), "testssl-" + NEWER)
    program, data = os.path.join(tree, "usr/bin/testssl"), os.path.join(tree, "etc/testssl")
    if not os.path.exists(program):
        print(f"fetching the testssl.sh of Debian {NEWER}, which grades")
        try:
            fetch(tree)
        except (OSError, subprocess.SubprocessError) as e:
            print(f"it cannot be had ({e}): no grade this time")
            return [own]
    return [own, Tester(program, data)]


def judge(tester, findings):
    """Whether it is content; says what it found."""
    bad = [x for x in findings if x["severity"] not in FINE]
    low = [x["id"] for x in findings if x["severity"] in ("LOW", "WARN")]
    said = {x["id"]: x["finding"] for x in findings}
    for x in bad:
        print(f"{x['severity']}: {x['id']}: {x['finding']}")
    print(f"testssl.sh {tester.version[0]}.{tester.version[1]}: {len(findings)} findings, {len(bad)} above LOW; "
          f"LOW or not tested: {', '.join(low)}")
    if not tester.grades():
        return not bad
    scores = ", ".join(f"{k.replace('_', ' ')} {said.get(k)}" for k in
                       ("protocol_support_score", "key_exchange_score", "cipher_strength_score", "final_score"))
    why = [x["finding"] for x in findings if x["id"].startswith("grade_cap_")]
    print(f"grade {said.get('overall_grade')} ({scores}{''.join('; ' + x for x in why)})")
    return not bad and said.get("overall_grade") in GRADES


def main():
    ca = Authority()
    site = "authorityInfoAccess=OCSP;URI:http://ocsp.example\ncrlDistributionPoints=URI:http://crl.example/x.crl"
    pairs = [ca.issue("localhost", kind=kind, extensions=site) for kind in ("ec", "rsa")]
    with harness.Weir(CONF.format(listen=listen(*pairs))) as w:
        ok = [judge(t, t.look_at(w, ca)) for t in testers()]
    for call in harness._at_end:
        call()
    sys.exit(0 if all(ok) else 1)


main()
