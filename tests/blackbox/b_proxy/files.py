# SPDX-License-Identifier: MIT
"""A folder whose files are answered: those directly in it, and nothing else on this machine."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

PATH = "/.well-known/acme-challenge/"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


def text_of(folder_path, path=PATH, more=""):
    return (f"listen: '127.0.0.1:$PORT'\nroutes:\n  - {{path: {path}, respond: {{files: {folder_path}}}{more}}}\n"
            "  - {path: /, respond: {status: 418, body: other}}\n" + DEFAULTS)


@contextlib.contextmanager
def serving(path=PATH, more=""):
    with folder() as d:
        root = os.path.join(d, "acme")
        os.mkdir(root)
        with open(os.path.join(d, "secret"), "w", encoding="ascii") as f:
            f.write("secret")
        with Weir(text_of(root, path, more)) as w:
            w.root = root
            yield w


def put(w, name, data=b"x"):
    with open(os.path.join(w.root, name), "wb") as f:
        f.write(data)


def test_files():
    with serving() as w:
        put(w, TOKEN, b"token.thumbprint")
        put(w, "binary", bytes(range(256)))
        put(w, "empty", b"")
        put(w, "a.b c", b"odd\tname\r\n")
        r = get(w, PATH + TOKEN)
        assert (r.status, r.body, r.get("Content-Type")) == (200, b"token.thumbprint", "text/plain")
        r = get(w, PATH + "binary")
        assert (r.status, r.body, r.get("Content-Type")) == (200, bytes(range(256)), "application/octet-stream")
        r = get(w, PATH + "empty")
        assert (r.status, r.body, r.get("Content-Length")) == (200, b"", "0")
        r = get(w, PATH + TOKEN, method="HEAD")
        assert (r.status, r.body, r.get("Content-Length")) == (200, b"", "16")
        assert get(w, PATH + TOKEN + "?x=y").body == b"token.thumbprint"
        # Written anew, gone, come: it is looked at each time.
        put(w, TOKEN, b"new")
        assert get(w, PATH + TOKEN).body == b"new"
        os.unlink(os.path.join(w.root, TOKEN))
        assert get(w, PATH + TOKEN).status == 404
        put(w, TOKEN, b"again")
        assert get(w, PATH + TOKEN).body == b"again"


def test_nothing_else():
    with serving() as w:
        put(w, "file")
        put(w, ".hidden")
        os.mkdir(os.path.join(w.root, "sub"))
        put(w, "sub/file")
        os.symlink(os.path.join(w.root, "file"), os.path.join(w.root, "link"))
        os.symlink("/etc/passwd", os.path.join(w.root, "passwd"))
        os.symlink(w.root, os.path.join(w.root, "self"))
        os.mkfifo(os.path.join(w.root, "fifo"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(w.root, "socket"))
            put(w, "large", b"y" * (1 << 20) + b"y")
            put(w, "just", b"y" * (1 << 20))
            for name in ("", "nothing", ".hidden", "sub", "sub/", "sub/file", "link", "passwd", "self/file", "fifo",
                         "socket", "large", "file/", "file/.", "//file", "%66ile", "file%00", "%2e%2e%2fsecret",
                         "..%2fsecret", "x" * 300, "*", "~root", "file\\..\\secret"):
                r = get(w, PATH + name)
                assert r.status == 404, (name, r.status, r.body[:100])
            for target in (PATH + "../secret", PATH + "../../secret", PATH + "x/../../acme-challenge/../secret",
                           PATH + "%2e%2e/secret"):
                r = get(w, target)
                assert r.status == 418, (target, r.status)
            assert get(w, PATH[:-1]).status == 418, "no file of that name: another route"
            assert len(get(w, PATH + "just").body) == 1 << 20
            assert get(w, PATH + "../acme-challenge/file").status == 404, "written in another way"
        assert {(x["end"], x.get("rule")) for x in w.log(1) if x["status"] == 404} == {("no_route", "no_file")}


def test_methods():
    with serving() as w:
        put(w, "file")
        assert get(w, PATH + "file", method="POST").status == 418, "the next route's"
        w.reload("".join(line for line in text_of(w.root).splitlines(True) if "418" not in line))
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            r = get(w, PATH + "file", method=method, body=b"x")
            assert (r.status, r.get("Allow")) == (405, "GET"), (method, r)
        assert open(os.path.join(w.root, "file"), "rb").read() == b"x"


def test_connection_goes_on():
    with serving() as w:
        put(w, "file")
        c = Client(w)
        for _ in range(3):
            assert c.ask(target=PATH + "nothing").status == 404
            assert c.ask(target=PATH + "file").status == 200


def test_prefix_without_its_slash():
    with serving("/files") as w:
        put(w, "file")
        assert get(w, "/files/file").status == 200
        assert get(w, "/files").status == 404 and get(w, "/files/").status == 404
        assert get(w, "/filesfile").status == 418


def test_slow_clients_of_large_files():
    with serving() as w:
        put(w, "large", os.urandom(1 << 16) * 16)
        slow = [Client(w, rcvbuf=4096).request(target=PATH + "large") for _ in range(10)]
        assert get(w, PATH + "large").complete
        for c in slow:
            r = c.recv_response()
            assert r.complete and len(r.body) == 1 << 20


def test_folder_comes_later():
    with folder() as d:
        root = os.path.join(d, "later")
        with Weir(text_of(root)) as w:
            assert re.search(r"warning: \S+later: there is no such folder yet", w.stderr)
            assert get(w, PATH + "file").status == 404
            os.mkdir(root)
            w.root = root
            put(w, "file")
            assert get(w, PATH + "file").status == 200


def check(text):
    with folder() as d:
        path = os.path.join(d, "weir.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("$PORT", "8080").replace("$LOG", "off"))
        return run_weir("-t", "-c", path)


def test_what_is_wrong_with_it():
    for respond, words in (("files: /nowhere/acme", "warning: /nowhere/acme: there is no such folder yet"),
                           ("files: /etc/passwd", "that is a file"), ("files: /etc/passwd/x", "Not a directory"),
                           ('files: ""', "name a folder"), ("files: /tmp, status: 200", "status: has no effect"),
                           ("files: /tmp, body: x", "body: has no effect"), ("files: [/tmp]", "a text is expected")):
        code, _, err = check(f"listen: '127.0.0.1:$PORT'\nroutes: [{{path: /x, respond: {{{respond}}}}}]\n" + DEFAULTS)
        assert words in err and code == (0 if "warning" in words else 1), (respond, code, err)
    for route, words in (("exact: /x", "files need a path"), ("path: /x, methods: [POST]", "for GET and HEAD")):
        code, _, err = check(f"listen: '127.0.0.1:$PORT'\nroutes: [{{{route}, respond: {{files: /tmp}}}}]\n" + DEFAULTS)
        assert code == 1 and words in err, err


if __name__ == "__main__":
    main()
