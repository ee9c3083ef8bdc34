# SPDX-License-Identifier: MIT
"""TLS at both ends of the proxy: authorities made by the openssl program, clients, servers."""
import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

from harness import Client, Closed, Origin, OriginConn, Stream, _at_end, select

CONFIG = """
[ca]
default_ca = here
[here]
new_certs_dir = {dir}
database = {dir}/index
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
copy_extensions = none
[any]
countryName = optional
organizationName = optional
commonName = optional
[req]
distinguished_name = req_dn
[req_dn]
[ext]
{extensions}
"""
KEYS = {"ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "slow": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
        "weak": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]}


def openssl(*args, stdin=b"", ok=True, timeout=20):
    """(stdout and stderr) of the openssl program."""
    p = subprocess.run(["openssl", *map(str, args)], input=stdin, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=timeout, check=False)
    out = p.stdout.decode(errors="replace")
    assert p.returncode == 0 or not ok, f"openssl {args}: {out}"
    return out


class Folder:
    """A temporary folder that goes when all tests of the file are over."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="weir-test.")
        _at_end.append(lambda: shutil.rmtree(self.path, ignore_errors=True))

    def __truediv__(self, name):
        return os.path.join(self.path, name)


class Pair:
    """A certificate's files: cert has the chain, leaf the one alone."""

    def __init__(self, cert, leaf, key):
        self.cert, self.leaf, self.key = cert, leaf, key

    def __str__(self):
        return f"{{cert: {self.cert}, key: {self.key}}}"


class Authority:
    """Issues certificates; its own is in self.cert, self-signed unless it has an issuer."""

    def __init__(self, name="Test CA", issuer=None, folder=None):
        self.dir = folder or (issuer.dir if issuer else Folder())
        self.name, self.issuer = name, issuer
        self.count = 0
        stem = re.sub(r"\W+", "-", name)
        self.stem = stem
        self.key = self.dir / f"{stem}.key"
        self.cert = self.dir / f"{stem}.pem"
        self.db = self.dir / f"{stem}.db"
        os.makedirs(self.db, exist_ok=True)
        with open(os.path.join(self.db, "index"), "w", encoding="ascii"):
            pass
        make_key(self.key)
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign"
        if issuer:
            issuer._sign(self.key, self.cert, f"/CN={name}", extensions, -1, 3650)
        else:
            self._sign(self.key, self.cert, f"/CN={name}", extensions, -1, 3650, own=True)

    def _config(self, extensions):
        path = os.path.join(self.db, "config")
        with open(path, "w", encoding="ascii") as f:
            f.write(CONFIG.format(dir=self.db, extensions=extensions))
        return path

    def _sign(self, key, out, subject, extensions, start, days, own=False):
        config = self._config(extensions)
        csr = out + ".csr"
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", csr, "-config", config)
        now = datetime.datetime.utcnow()
        first, last = now + datetime.timedelta(days=start), now + datetime.timedelta(days=days, minutes=5)
        openssl("ca", "-batch", "-config", config, "-extensions", "ext", "-notext", "-in", csr, "-out", out,
                "-keyfile", self.key, *(["-selfsign"] if own else ["-cert", self.cert]),
                "-startdate", first.strftime("%Y%m%d%H%M%SZ"), "-enddate", last.strftime("%Y%m%d%H%M%SZ"))

    def issue(self, *names, days=90, start=-1, kind="ec", subject=None, extensions=""):
        """A Pair for the names (an address as "IP:1.2.3.4")."""
        self.count += 1
        stem = self.dir / f"{self.stem}-{self.count}"
        make_key(stem + ".key", kind)
        alt = ",".join(n if n.startswith("IP:") else "DNS:" + n for n in names)
        text = "basicConstraints=CA:FALSE\n" + (f"subjectAltName={alt}\n" if alt else "") + extensions
        self._sign(stem + ".key", stem + ".leaf", subject or f"/CN={names[0]}", text, start, days)
        with open(stem + ".pem", "w", encoding="ascii") as out:
            for path in (stem + ".leaf", *self.chain()):
                with open(path, encoding="ascii") as f:
                    out.write(f.read())
        return Pair(stem + ".pem", stem + ".leaf", stem + ".key")

    def chain(self):
        """Issuers but the root."""
        return [self.cert, *self.issuer.chain()] if self.issuer else []

    def root(self):
        return self.issuer.root() if self.issuer else self


def make_key(path, kind="ec"):
    openssl("genpkey", *KEYS[kind], "-out", path)
    os.chmod(path, 0o600)


# --- clients -----------------------------------------------------------------------------------

def client_context(ca=None, cert=None, alpn=("http/1.1",), version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        c.load_verify_locations(ca.root().cert)
    else:
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if cert:
        c.load_cert_chain(cert.cert, cert.key)
    if alpn:
        c.set_alpn_protocols(list(alpn))
    if version:
        c.minimum_version = c.maximum_version = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
    return c


class TlsStream(Stream):
    """eof is "fin" only behind close_notify; "cut" is an end without it."""

    def fill(self, size=65536):
        try:
            return super().fill(size)
        except ssl.SSLEOFError:
            self.eof = "cut"
            raise Closed(False, self.buf) from None
        except ssl.SSLError as e:
            self.eof = e.reason or "cut"
            raise Closed(True, self.buf) from None

    def is_closed(self):
        while not self.eof:
            if not self.sock.pending() and not select.select([self.sock], [], [], 0)[0]:
                return False
            self.sock.setblocking(False)
            try:
                self.fill()
            except (ssl.SSLWantReadError, BlockingIOError):
                return False
            except Closed:
                pass
            finally:
                with contextlib.suppress(OSError):
                    self.sock.settimeout(10)
        return True


class TlsClient(TlsStream, Client):
    """A client that speaks TLS; name is its SNI."""

    def __init__(self, to, name="a.example", context=None, ca=None, session=None, **more):
        Client.__init__(self, to, **more)
        self.plain = self.sock
        context = context or client_context(ca)
        try:
            self.sock = context.wrap_socket(self.plain, server_hostname=name, session=session,
                                            suppress_ragged_eofs=False)
        except (ssl.SSLError, OSError):
            self.close()
            raise

    def unwrap(self):
        """Sends close_notify and nothing else."""
        with contextlib.suppress(ssl.SSLError, OSError):
            self.sock.settimeout(0)
            self.sock.unwrap()


class Memory:
    """A TLS client whose records the test carries: it may cut, hold and mix them."""

    def __init__(self, to, name="a.example", context=None, ca=None):
        self.raw = to if isinstance(to, Stream) else Client(to)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context(ca)).wrap_bio(self.incoming, self.outgoing,
                                                            server_hostname=name)

    def step(self, call):
        """Calls until it is satisfied; each flight passes self.carry."""
        while True:
            try:
                got = call()
                self.carry(self.outgoing.read())
                return got
            except ssl.SSLWantReadError:
                self.carry(self.outgoing.read())
                self.incoming.write(self.raw.recv_some())

    def carry(self, data):
        if data:
            self.raw.send(data)

    def handshake(self):
        self.step(self.tls.do_handshake)
        return self

    def seal(self, data):
        """The records of the data, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def read(self, n=65536):
        return self.step(lambda: self.tls.read(n))

    def read_until(self, mark):
        data = b""
        while mark not in data:
            more = self.read()
            if not more:
                raise Closed(False, data)
            data += more
        return data


def handshake_error(to, **more):
    """The reason (a word of OpenSSL) why a handshake fails, "RESET", "EOF"; "SERVED" when it does not."""
    try:
        c = TlsClient(to, **more)
    except ssl.SSLEOFError:
        return "EOF"
    except ssl.SSLError as e:
        return e.reason or str(e)   # Python does not know the names of the newest alerts
    except (ConnectionError, OSError):
        return "RESET"
    # TLS 1.3: a server refuses a client's certificate after the client has finished.
    with contextlib.suppress(Closed, OSError):
        c.request().recv_head()
        c.eof = "SERVED"
    eof, _ = c.eof, c.close()
    return {"fin": "EOF", "cut": "EOF", "rst": "RESET"}.get(eof, eof)


def s_client(w, *args, stdin=b"", name="a.example", ok=True):
    """What "openssl s_client" says; it ends when its input does."""
    return openssl("s_client", "-connect", w.addr, "-servername", name, *args, stdin=stdin, ok=ok)


# --- servers -----------------------------------------------------------------------------------

def server_context(pair, client_ca=None, alpn=("http/1.1",)):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(pair.cert, pair.key)
    c.set_alpn_protocols(list(alpn))
    if client_ca:
        c.load_verify_locations(client_ca.root().cert)
        c.verify_mode = ssl.CERT_REQUIRED
    return c


class TlsOriginConn(TlsStream, OriginConn):
    pass


class TlsOrigin(Origin):
    """A scripted server that speaks TLS; what failed is in handshakes.  addr has its scheme."""

    def __init__(self, pair, handler=None, name="origin", context=None, client_ca=None, **more):
        self.context = context or server_context(pair, client_ca)
        self.names = []             # asked for by SNI
        self.resumed = []
        self.handshakes = []
        self.certificates = []
        self.context.sni_callback = lambda s, n, c: self.names.append(n)
        super().__init__(handler, name, **more)

    def start(self):
        self.tcp_addr = self.addr = self.addr.replace("https://", "")
        super().start()
        self.addr = "https://" + self.addr
        return self

    def _serve(self, conn):
        conn.__class__ = TlsOriginConn
        try:
            conn.sock.settimeout(20)
            conn.sock = self.context.wrap_socket(conn.sock, server_side=True, suppress_ragged_eofs=False)
            conn.sock.settimeout(None)
        except (ssl.SSLError, OSError) as e:
            self.handshakes.append(e)
            conn.gone = True
            conn.sock.close()
            return
        self.resumed.append(conn.sock.session_reused)
        self.certificates.append(conn.sock.getpeercert())
        super()._serve(conn)


def listen(*pairs, port="$PORT", more=""):
    """An entry of "listen:"."""
    return f'{{address: "127.0.0.1:{port}", tls: {{certificates: [{", ".join(map(str, pairs))}]{more}}}}}'


__all__ = [n for n in dir() if not n.startswith("_")]
