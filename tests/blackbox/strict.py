# SPDX-License-Identifier: MIT
"""A reading of HTTP/1.1 that forgives nothing: what passes it can be read in one way only."""
import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"%s (?:[!-\"$-~])+ HTTP/1\.1" % TOKEN)
STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-5][0-9][0-9] [\t -~\x80-\xff]*")
FIELD = re.compile(rb"(%s): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)" % TOKEN)
CHUNK = re.compile(rb"([1-9a-f][0-9a-f]*)\r\n")


class Ambiguous(Exception):
    pass


def need(truth, what, raw):
    if not truth:
        raise Ambiguous(f"{what}: {raw[:300]!r}")


def fields(lines, raw):
    """name (lower case) -> values"""
    out = {}
    for line in lines:
        m = FIELD.fullmatch(line)
        need(m, f"field line {line[:100]!r}", raw)
        out.setdefault(m.group(1).lower(), []).append(m.group(2))
    return out


def dechunk(body, raw):
    """(decoded, trailers, is_whole); a body in the making may end anywhere."""
    out, at = b"", 0
    while True:
        if body.startswith(b"0\r\n", at):
            end = body.find(b"\r\n\r\n", at + 1)
            if end < 0:
                return out, {}, False
            section = body[at + 3:end + 2]
            need(end + 4 == len(body), "bytes after the message", raw)
            return out, fields(section.split(b"\r\n")[:-1], raw), True
        m = CHUNK.match(body, at)
        if not m:
            need(re.fullmatch(rb"0?|[1-9a-f][0-9a-f]*\r?|0\r", body[at:]), "chunk line", raw)
            return out, {}, False
        size = int(m.group(1), 16)
        data = body[m.end():m.end() + size]
        out += data
        if len(body) < m.end() + size + 2:
            return out, {}, False
        need(body[m.end() + size:m.end() + size + 2] == b"\r\n", "end of a chunk", raw)
        at = m.end() + size + 2


def read(raw, start):
    """(start line, fields, body, is_whole) of bytes that are one message, or the beginning of one."""
    head, mark, body = raw.partition(b"\r\n\r\n")
    need(mark, "head without end", raw)
    lines = head.split(b"\r\n")
    need(start.fullmatch(lines[0]), "start line", raw)
    f = fields(lines[1:], raw)
    codings, lengths = f.get(b"transfer-encoding", []), f.get(b"content-length", [])
    need(len(codings) + len(lengths) <= 1, "more than one framing", raw)
    if codings:
        need(codings == [b"chunked"], "coding", raw)
        decoded, _, whole = dechunk(body, raw)
        return lines[0], f, decoded, whole
    n = 0
    if lengths:
        need(re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]), "length", raw)
        n = int(lengths[0])
    need(len(body) <= n, "bytes after the message", raw)
    return lines[0], f, body, len(body) == n


def request(raw):
    """(request line, fields, body) of bytes that are one whole request and nothing else."""
    line, f, body, whole = read(raw, REQUEST_LINE)
    need(len(f.get(b"host", [])) == 1, "Host", raw)
    need(whole, "not whole", raw)
    return line, f, body


def unfinished(raw):
    """True for the beginning of one request of which the end has not come."""
    return raw == b"" or not read(raw, REQUEST_LINE)[3]
