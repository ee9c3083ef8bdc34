# SPDX-License-Identifier: MIT
"""The canonical text of JSON against a reference: Python's own parser and exact decimals.

Two texts must have one canonical text exactly when the reference finds their values equal, and none
exactly when the reference refuses them.  The texts are random values written in many ways, their
neighbours in value, and all of them with bytes changed.
"""
import decimal
import json
import os
import random
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

DRIVER = os.path.join(BUILD, "unit", "json_lines")
SEED = int(os.environ.get("WEIR_SEED", "1"))
IGNORED = ("user", "stream_options")


def canonical_texts(texts):
    """What the program says of each text: bytes, or a str that says why there is none."""
    p = subprocess.run([DRIVER], input=b"".join(struct.pack("<I", len(t)) + t for t in texts),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 0 and not p.stderr, p.stderr.decode(errors="replace")[-3000:]
    lines = p.stdout.decode().split("\n")
    assert lines.pop() == "" and len(lines) == len(texts), (len(lines), len(texts))
    return [line[2:] if line.startswith("! ") else bytes.fromhex(line) for line in lines]


# --- the reference ---------------------------------------------------------------------------------

class Refused(Exception):
    pass


def number(text):
    if len(text.lower().partition("e")[2].lstrip("+-0")) > 15:
        raise Refused("json-number")
    sign, digits, exponent = decimal.Decimal(text).as_tuple()
    digits = "".join(map(str, digits)).lstrip("0")
    stripped = digits.rstrip("0")
    if not stripped:
        if sign or not -300 <= exponent - 1 <= 300:
            raise Refused("json-number")
        return ("number", 0, "", 0)
    exponent += len(digits) - len(stripped)
    if len(stripped) > 100 or not -300 <= exponent + len(stripped) - 1 <= 300:
        raise Refused("json-number")
    return ("number", sign, stripped, exponent)


def members(pairs):
    if len({k for k, _ in pairs}) < len(pairs):
        raise Refused("json-duplicate")
    return dict(pairs)


def constant(text):
    raise Refused("json-invalid")


DECODER = json.JSONDecoder(object_pairs_hook=members, parse_int=number, parse_float=number,
                           parse_constant=constant)


def freeze(value, depth):
    """As something that compares by value; numbers are tuples already."""
    if isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise Refused("json-invalid")
        return ("string", value)
    if isinstance(value, (dict, list)) and depth == 64:
        raise Refused("json-deep")
    if isinstance(value, dict):
        return ("object", tuple(sorted((freeze(k, 0), freeze(v, depth + 1)) for k, v in value.items()
                                       if not (depth == 0 and k in IGNORED) or freeze(v, 1) == 0)))
    if isinstance(value, list):
        return ("array", tuple(freeze(v, depth + 1) for v in value))
    return value if isinstance(value, tuple) else ("word", str(value))


def reference(text):
    """The value of a text; raises Refused."""
    try:
        text = text.decode("utf-8")
        if text.startswith("\ufeff"):
            raise Refused("json-invalid")
        return freeze(DECODER.decode(text), 0)
    except (ValueError, RecursionError) as e:
        raise Refused("json-invalid") from e


# --- random values, and ways to write them ---------------------------------------------------------

CHARS = "abAB \"\\/\b\f\n\r\t\0\x1f\x7f{}[]:,éß€河流😀\u2028\ufeff\uffff\U0010ffff"
NAMES = ["a", "b", "aa", "ab", "A", "", "é", "role", "content", "user", "stream_options", "a\"", "a\\", "a\n",
         "😀", "\uffff", "longname1", "longname2", "longname", "longnam"]


def random_string(r):
    return "".join(r.choice(CHARS) for _ in range(r.choice([0, 1, 2, 3, 8, 30])))


def random_number(r):
    kind = r.randrange(8)
    if kind == 0:
        return decimal.Decimal(r.randrange(-3, 4))
    if kind == 1:
        return decimal.Decimal(10000000000000000 + r.randrange(3))
    if kind == 2:
        return decimal.Decimal(r.randrange(10 ** r.randrange(1, 105))) * r.choice([1, -1])
    if kind == 3:
        return decimal.Decimal((0, tuple(r.randrange(10) for _ in range(r.randrange(1, 20))), r.randrange(-320, 320)))
    if kind == 4:
        return decimal.Decimal(repr(r.uniform(-2, 2)))
    if kind == 5:
        return decimal.Decimal(r.randrange(100)).scaleb(r.randrange(-4, 4))
    if kind == 6:
        return decimal.Decimal("0.1") + decimal.Decimal(r.randrange(3)).scaleb(-r.randrange(1, 60))
    return decimal.Decimal(r.randrange(1000))


def random_value(r, depth=0):
    kind = r.randrange(10 if depth < 4 else 6)
    if kind < 2:
        return random_string(r)
    if kind < 4:
        return random_number(r)
    if kind < 6:
        return r.choice([True, False, None])
    if kind < 8:
        return [random_value(r, depth + 1) for _ in range(r.choice([0, 1, 2, 5]))]
    return {r.choice(NAMES): random_value(r, depth + 1) for _ in range(r.choice([0, 1, 2, 5, 9]))}


def write_string(r, s):
    short = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\", "/": "\\/"}
    out = []
    for c in s:
        must = c < " " or c in '"\\'
        if not must and r.random() < 0.8:
            out.append(c)
        elif c in short and r.random() < 0.6:
            out.append(short[c])
        else:
            units = struct.unpack(f">{len(c.encode('utf-16-be')) // 2}H", c.encode("utf-16-be"))
            form = r.choice(["\\u%04x", "\\u%04X"])
            out.append("".join(form % u for u in units))
    return '"' + "".join(out) + '"'


def write_number(r, d):
    sign, digits, exponent = d.as_tuple()
    digits = "".join(map(str, digits)).lstrip("0") or "0"
    minus = "-" if sign else ""
    zeros = r.choice([0, 0, 1, 3]) if digits != "0" else 0
    digits, exponent = digits + "0" * zeros, exponent - zeros
    way = r.randrange(4)
    if way == 0 and -40 < exponent <= 0:
        digits = digits.rjust(-exponent + 1, "0")
        return minus + digits[:len(digits) + exponent] + ("." + digits[exponent:] if exponent else "")
    if way == 1 and 0 <= exponent < 40:
        return minus + digits + ("0" * exponent if digits != "0" else "")
    e = r.choice("eE")
    if way == 2:
        point = r.randrange(1, len(digits) + 1)
        rest = digits[point:]
        exponent += len(rest)
        digits = digits[:point] + ("." + rest if rest else "")
    plus = r.choice(["", "+", "+0", "0"]) if exponent >= 0 else "-" + r.choice(["", "00"])
    return f"{minus}{digits}{e}{plus}{abs(exponent)}"


def write(r, value):
    """One of the many texts of a value."""
    def blank():
        return r.choice(["", "", "", " ", "\n", "\t ", "\r\n"])

    if isinstance(value, str):
        text = write_string(r, value)
    elif isinstance(value, decimal.Decimal):
        text = write_number(r, value)
    elif isinstance(value, list):
        text = "[" + ",".join(write(r, v) for v in value) + blank() + "]"
    elif isinstance(value, dict):
        items = list(value.items())
        r.shuffle(items)
        text = "{" + ",".join(blank() + write_string(r, k) + blank() + ":" + write(r, v)
                              for k, v in items) + blank() + "}"
    else:
        text = {True: "true", False: "false", None: "null"}[value]
    return blank() + text + blank()


def neighbour(r, value):
    """The value with one thing in it changed."""
    if isinstance(value, list) and value and r.random() < 0.8:
        i = r.randrange(len(value))
        return value[:i] + [neighbour(r, value[i])] + value[i + 1:] if r.random() < 0.7 else \
            value[:i] + value[i + 1:]
    if isinstance(value, dict) and value and r.random() < 0.8:
        k = r.choice(list(value))
        out = dict(value)
        old = out.pop(k)
        if r.random() < 0.7:
            out[k] = neighbour(r, old)
        elif r.random() < 0.5:
            out[r.choice(NAMES)] = old
        return out
    if isinstance(value, decimal.Decimal):
        return value + r.choice([1, decimal.Decimal("1e-30"), decimal.Decimal("1e16")]) \
            if r.random() < 0.7 else str(value)
    if isinstance(value, str) and value:
        i = r.randrange(len(value))
        return value[:i] + r.choice(CHARS) + value[i + r.randrange(2):]
    return random_value(r, 3)


def damage(r, text):
    """Bytes changed, taken out, put in, doubled."""
    text = bytearray(text)
    for _ in range(r.choice([1, 1, 2, 5])):
        at = r.randrange(len(text) + 1)
        what = r.randrange(4)
        if what == 0 and at < len(text):
            text[at] = r.choice([r.randrange(256), ord(r.choice('{}[]",:\\u0e-.19 ')), text[at] ^ 1])
        elif what == 1:
            del text[at:at + r.choice([1, 2, 6])]
        elif what == 2:
            text[at:at] = r.choice([b"\\u0061", b"\\ud800", b"\\udc00", b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"\0",
                                    b"0", b"-", b"e9", b".0", b",", b"null", b'"a":1,', b"[", b"]", b"\xef\xbb\xbf", b"\n"])
        else:
            end = r.randrange(at, len(text) + 1)
            text[end:end] = text[at:end]
    return bytes(text)


# --- the comparison --------------------------------------------------------------------------------

def compare(texts):
    """Checks that the program and the reference part the texts in the same way; (accepted, values)."""
    by_value, by_canonical, accepted = {}, {}, 0
    for text, got in zip(texts, canonical_texts(texts)):
        try:
            value = reference(text)
        except Refused as why:
            # What is wrong twice may be told by either.
            assert isinstance(got, str), (why, text, got)
            continue
        assert isinstance(got, bytes), (got, text)
        accepted += 1
        other = by_value.setdefault(value, (got, text))
        assert other[0] == got, ("one value, two canonical texts", other, got, text)
        other = by_canonical.setdefault(got, (value, text))
        assert other[0] == value, ("two values, one canonical text", other[1], text, got)
        assert reference(back_to_json(got)) == value, ("not the value any more", text, got)
    return accepted, len(by_value)


def back_to_json(canonical):
    """The canonical text as JSON: it says what it came from, nothing is lost in it."""
    out, i, quoted = bytearray(), 0, False
    while i < len(canonical):
        c = canonical[i:i + 1]
        if quoted and c == b"\\":
            i += 1
            c = canonical[i:i + 1]
            out += b"\\" + c if c in b'"\\' else b"\\u%04x" % (c[0] - 0x60)
        elif not quoted and c == b"," and canonical[i + 1:i + 2] in (b"]", b"}"):
            pass
        else:
            quoted ^= c == b'"'
            out += c
        i += 1
    return bytes(out)


def test_random_values():
    decimal.getcontext().prec = 400
    r = random.Random(SEED)
    texts = []
    for _ in range(2500):
        value = random_value(r)
        texts += [write(r, value).encode("utf-8", "surrogatepass") for _ in range(3)]
        value = neighbour(r, value)
        texts += [write(r, value).encode() for _ in range(2)]
        texts += [damage(r, r.choice(texts[-5:])) for _ in range(3)]
    accepted, values = compare(texts)
    # The test is worth something: many are taken, many are refused, many are equal.
    assert len(texts) * 0.5 < accepted < len(texts) * 0.95, (accepted, len(texts))
    assert accepted * 0.2 < values < accepted * 0.8, (values, accepted)


def test_numbers():
    """Every way to write small numbers, and what stands at the edges."""
    r = random.Random(SEED + 1)
    texts = [f"{sign}{whole}{fraction}{exponent}".encode() for sign in ("", "-") for whole in ("0", "1", "10", "12", "00")
             for fraction in ("", ".", ".0", ".5", ".05", ".50") for exponent in ("", "e0", "E1", "e-1", "e+01", "e")]
    texts += [b"1" + b"0" * n for n in (0, 1, 99, 100, 299, 300, 301)]
    texts += [b"9" * n for n in (99, 100, 101)] + [b"0." + b"0" * n + b"1" for n in (298, 299, 300)]
    texts += [f"{d}e{e}".encode() for d in ("1", "1.5", "0.1", "10", "0", "0.0") for e in
              (-302, -301, -300, -299, 298, 299, 300, 301, 302, 10 ** 9, -10 ** 9, 10 ** 20)]
    texts += [write_number(r, random_number(r)).encode() for _ in range(3000)]
    compare(texts)


def test_nesting():
    texts = []
    for n in (1, 63, 64, 65, 200):
        texts += [b"[" * n + b"]" * n, b'{"a":' * n + b"1" + b"}" * n, b"[" * n, b'[{"b":1,"a":' * n + b"2" + b"}]" * n]
    compare(texts)


def test_names_in_any_order():
    r = random.Random(SEED + 2)
    names = [random_string(r) + str(i) for i in range(300)]
    texts = []
    for _ in range(40):
        r.shuffle(names)
        texts.append(("{" + ",".join(f"{write_string(r, n)}:{len(n)}" for n in names) + "}").encode())
    accepted, values = compare(texts)
    assert (accepted, values) == (40, 1), (accepted, values)


if __name__ == "__main__":
    main()
