# SPDX-License-Identifier: MIT
"""The page of README.md on automatic certificates, word by word, against an authority of one's own.

Pebble is that authority; what is replaced in the words is where things are, not what they are.
"""
# limit: 240
import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403
from certs import *  # noqa: E402,F403
from programs import Program  # noqa: E402

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "README.md")
NAME = "chat.example.org"


def page():
    """(the commands, the pieces of configuration) of the section, in their order."""
    with open(README, encoding="utf-8") as f:
        text = f.read().split("\n## Automatic certificates\n")[1].split("\n## ")[0]
    yaml = re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)
    text = re.sub(r"^```yaml\n.*?^```$", "", text, flags=re.M | re.S)
    blocks = re.findall(r"(?:^ {4}.+\n)+", text, re.M)
    return ["\n".join(line[4:] for line in b.rstrip("\n").split("\n")) for b in blocks], yaml


def need(*programs):
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        raise Skip(f"{', '.join(missing)} not installed: make test-acme installs them")


class Authority8555:
    """Pebble and its name server; its answers come from self.url, signed for localhost by ca."""

    def __init__(self, http_port, folder_):
        self.ca = Authority("Pebble's own", folder=folder_)
        pair = self.ca.issue("localhost", "IP:127.0.0.1")
        api, management, dns, unused = (free_port() for _ in range(4))
        config = folder_ / "pebble.json"
        with open(config, "w", encoding="ascii") as f:
            json.dump({"pebble": {"listenAddress": f"127.0.0.1:{api}", "managementListenAddress": f"127.0.0.1:{management}",
                                  "certificate": pair.cert, "privateKey": pair.key, "httpPort": http_port,
                                  "tlsPort": unused, "ocspResponderURL": "",
                                  "externalAccountBindingRequired": False}}, f)
        self.names = Program("pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "",
                             "-tlsalpn01", "", "-management", f"127.0.0.1:{free_port()}", "-defaultIPv6", "")
        self.pebble = Program("pebble", "-config", config, "-dnsserver", f"127.0.0.1:{dns}",
                              env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
        self.url = f"https://localhost:{api}/dir"
        self.management = f"https://localhost:{management}"
        context = ssl.create_default_context(cafile=self.ca.cert)

        def answers():
            assert self.pebble.process.poll() is None, self.pebble.stderr
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(self.management + "/roots/0", context=context, timeout=5).read()
        root = eventually(answers, 30)
        self.root = folder_ / "issuer.pem"
        with open(self.root, "wb") as f:
            f.write(root)


class Site:
    """The page's folders, moved to one of the test; weir with its first configuration."""

    owner = os.getuid()         # whom weir runs as, in the page's words "-o weir"

    def __init__(self):
        self.dir = Folder()
        self.commands, self.yaml = page()
        self.run(self.commands[0])
        text = self.place(self.yaml[0]).replace("listen: [80]", 'listen: ["127.0.0.1:$PORT"]')
        self.first = text + "  - {path: /, respond: {body: secret}}\n" + DEFAULTS
        self.w = Weir(self.first)
        self.acme = Authority8555(self.w.port, self.dir)

    def place(self, text):
        for there, here in (("/var/lib/weir/", self.dir / "lib/"), ("/etc/weir/", self.dir / "etc/"),
                            ("-o weir", f"-o {self.owner}")):
            text = text.replace(there, here)
        return text

    def run(self, command, ok=True, prefix=(), env=None):
        text = self.place(command)
        if hasattr(self, "w"):
            text = text.replace("systemctl reload weir", f"kill -HUP {self.w.pid}")
        p = subprocess.run([*prefix, "sh", "-ec", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, timeout=120, check=False)
        out = p.stdout.decode(errors="replace")
        assert (p.returncode == 0) == ok, f"{text}\n{p.returncode}: {out}\n{self.w.stderr}"
        return out

    def check_https(self):
        """The second configuration: who asks by http is sent to https, where the new certificate is."""
        w, port = self.w, free_port()
        second = re.sub(r"^listen:.*?(?=^routes)", self.place(self.yaml[1]).replace("- 80", '- "127.0.0.1:$PORT"')
                        .replace("address: 443", f"address: 127.0.0.1:{port}"), self.first, flags=re.M | re.S)
        w.reload(second)
        assert get(w, host=NAME).get("Location") == f"https://{NAME}/"
        context = ssl.create_default_context(cafile=self.acme.root)
        c = TlsClient(f"127.0.0.1:{port}", NAME, context=context)
        assert c.ask(host=NAME).body == b"secret"
        return c.sock.getpeercert()["serialNumber"]

    def serial(self):
        return openssl("x509", "-noout", "-serial", "-in", self.dir / "etc/tls/chat.pem")


def test_the_page_is_as_expected():
    commands, yaml = page()
    assert [c.split()[0] for c in commands] == ["mkdir", "certbot", "uacme",
                                                "UACME_CHALLENGE_PATH=/var/lib/weir/acme/.well-known/acme-challenge"], commands
    assert len(yaml) == 2, yaml


def test_certbot():
    need("pebble", "pebble-challtestsrv", "certbot")
    s = Site()
    # What stands on the command line of the page stays; the rest is certbot's own configuration.
    with open(s.dir / "cli.ini", "w", encoding="ascii") as f:
        f.write(f"server = {s.acme.url}\nno-verify-ssl = true\nagree-tos = true\nregister-unsafely-without-email = true\n"
                f"non-interactive = true\nconfig-dir = {s.dir / 'le'}\nwork-dir = {s.dir / 'le-work'}\n"
                f"logs-dir = {s.dir / 'le-logs'}\nno-random-sleep-on-renew = true\n")
    os.makedirs(s.dir / "config/letsencrypt")
    shutil.copy(s.dir / "cli.ini", s.dir / "config/letsencrypt/cli.ini")
    env = {"XDG_CONFIG_HOME": s.dir / "config"}
    s.run(s.commands[1], env=env)
    assert any(x["target"].startswith("/.well-known/acme-challenge/") and x["status"] == 200 for x in s.w.log(1))
    eventually(lambda: "reload: ok" in s.w.stderr)
    first = s.check_https()
    # As its timer does it, but at once.
    before = s.serial()
    had = len(s.w.stderr)
    s.run("certbot renew --force-renewal", env=env)
    eventually(lambda: "reload: ok" in s.w.stderr[had:])
    assert s.serial() != before and s.check_https() != first
    assert not os.listdir(s.dir / "lib/acme/.well-known/acme-challenge"), "cleaned up"


def test_uacme():
    need("pebble", "pebble-challtestsrv", "uacme", "unshare")
    s = Site()
    # It believes the system's authorities alone: here they are the test's.
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    prefix = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
              "sh", "-ec", f'mount --bind {s.acme.ca.cert} {bundle}; exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, timeout=20, check=False).returncode != 0:
        raise Skip("no mount namespaces here")
    s.owner = 0                 # so is whoever runs the test called in there
    new, issue = (re.sub(r"\buacme -", f"uacme -a {s.acme.url} -", c) for c in s.commands[2:4])
    s.run(new, prefix=prefix)
    s.run(issue, prefix=prefix)
    assert any(x["target"].startswith("/.well-known/acme-challenge/") and x["status"] == 200 for x in s.w.log(1))
    eventually(lambda: "reload: ok" in s.w.stderr)
    first = s.check_https()
    # The next day: nothing to do, nothing is reloaded.
    had = len(s.w.stderr)
    s.run(issue, prefix=prefix, ok=False)
    assert s.w.stderr[had:] == ""
    s.run(issue.replace(" issue ", " -f issue "), prefix=prefix)
    eventually(lambda: "reload: ok" in s.w.stderr[had:])
    assert s.check_https() != first
    assert not os.listdir(s.dir / "lib/acme/.well-known/acme-challenge"), "cleaned up"


if __name__ == "__main__":
    main()
