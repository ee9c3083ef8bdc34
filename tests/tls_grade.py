#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""testssl.sh looks at a weir with its default settings: nothing above LOW, and A- where it grades.

What its words are about is not weir but the site (revocation and headers) is there, as on a real one.
usage: tls_grade.py BUILD
"""
import json
import os
import re
import subprocess
import sys

os.environ.setdefault("WEIR_BUILD", os.path.abspath(sys.argv[1]))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "blackbox"))
import harness  # noqa: E402
from certs import Authority, listen  # noqa: E402

FINE = ("OK", "INFO", "LOW", "WARN", "DEBUG")
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


def main():
    ca = Authority()
    site = "authorityInfoAccess=OCSP;URI:http://ocsp.example\ncrlDistributionPoints=URI:http://crl.example/x.crl"
    pairs = [ca.issue("localhost", kind=kind, extensions=site) for kind in ("ec", "rsa")]
    with harness.Weir(CONF.format(listen=listen(*pairs))) as w:
        out = os.path.join(w.dir, "findings.json")
        subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--add-ca", ca.cert, "--jsonfile",
                        out, f"localhost:{w.port}"], stdin=subprocess.DEVNULL, check=False, timeout=1800)
        with open(out, encoding="utf-8") as f:
            findings = json.load(f)
    assert len(findings) > 100, "testssl.sh did not come to its end"
    bad = [x for x in findings if x["severity"] not in FINE]
    grade = next((x["finding"] for x in findings if x["id"] == "overall_grade"), None)
    for x in bad:
        print(f"{x['severity']}: {x['id']}: {x['finding']}")
    low = [x["id"] for x in findings if x["severity"] in ("LOW", "WARN")]
    print(f"{len(findings)} findings, {len(bad)} above LOW; LOW or not tested: {', '.join(low)}; grade: {grade or 'none '}"
          f"{'' if grade else '(this testssl.sh does not grade)'}")
    for call in harness._at_end:
        call()
    sys.exit(0 if not bad and (grade is None or re.match(r"A", grade)) else 1)


main()
