# SPDX-License-Identifier: MIT
"""Debian's chromium without a window, driven over the DevTools protocol on two pipes."""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from harness import eventually
from programs import Program

FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --mute-audio "
         "--disable-background-networking --disable-component-update --disable-sync "
         "--disable-default-apps --disable-extensions --disable-dev-shm-usage --no-proxy-server "
         "--metrics-recording-only --password-store=basic --use-mock-keychain "
         "--remote-debugging-pipe about:blank").split()


class Browser(Program):
    """One browser with one page."""

    is_client = True

    def __init__(self, limit=30, authority=None, *flags):
        """authority: a PEM file of certificates that it shall believe."""
        self.limit = limit
        self.folder = tempfile.mkdtemp(prefix="weir-test-browser.")
        if authority:
            self.believe(authority)
        to_read, self.to = os.pipe()
        self.come, to_write = os.pipe()

        def plug():
            # It reads its orders from descriptor 3 and answers on 4; neither may be in the way.
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        try:
            super().__init__("chromium", f"--user-data-dir={self.folder}", *flags, *FLAGS, pass_fds=(3, 4),
                             preexec_fn=plug,
                             env={"HOME": self.folder, "TMPDIR": self.folder, "LC_ALL": "C.UTF-8"})
        finally:
            os.close(to_read)
            os.close(to_write)
        self.buf = b""
        self.serial = 0
        self.session = self.page = None
        page = eventually(lambda: [t for t in self.call("Target.getTargets")["targetInfos"]
                                   if t["type"] == "page"], 30, "chromium shows a page")[0]
        self.page = page["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=self.page,
                                 flatten=True)["sessionId"]
        self.call("Page.enable")

    def believe(self, authority):
        base = os.path.join(self.folder, ".pki", "nssdb")
        os.makedirs(base)
        for order in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "test", "-i", authority]):
            subprocess.run(["certutil", "-d", "sql:" + base, *order], check=True, timeout=20)

    def _receive(self, end):
        while b"\0" not in self.buf:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.come], [], [], left)[0], \
                f"chromium does not answer; its stderr: {self.stderr[-2000:]}"
            data = os.read(self.come, 1 << 16)
            assert data, f"chromium ended with {self.process.poll()}: {self.stderr[-2000:]}"
            self.buf += data
        text, _, self.buf = self.buf.partition(b"\0")
        return json.loads(text)

    def call(self, method, **params):
        self.serial += 1
        order = {"id": self.serial, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        os.write(self.to, json.dumps(order).encode() + b"\0")
        end = time.monotonic() + self.limit
        while True:
            m = self._receive(end)
            if m.get("id") == self.serial:
                assert "error" not in m, (method, m["error"])
                return m["result"]

    def run(self, script):
        """The value of an expression in the page; of what it promises."""
        r = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True,
                      userGesture=True)
        assert "exceptionDetails" not in r, r["exceptionDetails"]
        return r["result"].get("value")

    def open(self, url):
        r = self.call("Page.navigate", url=url)
        assert not r.get("errorText"), (url, r)
        eventually(lambda: self.run("document.readyState") == "complete", 20, f"{url} is loaded")

    def until(self, script, timeout=20):
        """Asks the page until the expression is true; gives it back."""
        return eventually(lambda: self.run(script), timeout, script)

    def close_page(self):
        self.session = None
        self.call("Target.closeTarget", targetId=self.page)

    def close(self):
        if self.process.poll() is None:
            # Told to, it ends its many processes by itself.
            try:
                self.session = None
                self.call("Browser.close")
                self.process.wait(10)
            except Exception:           # noqa: B902  (it is ended all the same)
                pass
        super().close()
        for fd in (self.to, self.come):
            if fd >= 0:
                os.close(fd)
        self.to = self.come = -1
        shutil.rmtree(self.folder, ignore_errors=True)
