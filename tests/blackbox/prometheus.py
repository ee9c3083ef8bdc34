# SPDX-License-Identifier: MIT
"""Prometheus's text format 0.0.4, read so strictly that what passes can be scraped; and numbers of it."""
import math
import re

from harness import get

TYPE = "text/plain; version=0.0.4; charset=utf-8"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
NUMBER = re.compile(r"\d+(\.\d+)?")
ESCAPED = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


def unescape(text):
    return re.sub(r'\\[\\n"]', lambda m: ESCAPED[m.group()], text)


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"labels {text!r} at {at}"
        name, value, _ = m.groups()
        assert name not in labels and value, f"label {name} in {text!r}"
        labels[name] = unescape(value)
        at = m.end()
    assert not text.endswith(","), text
    return labels


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.type = name, help, None
        self.samples = {}           # (name, labels as sorted pairs): number

    def check(self):
        assert self.samples, f"{self.name}: without samples"
        assert (self.type == "counter") == self.name.endswith("_total"), f"{self.name} is a {self.type}"
        if self.type != "histogram":
            assert all(name == self.name for name, _ in self.samples), self.name
            return
        series = {}
        for (name, labels), number in self.samples.items():
            rest = tuple(pair for pair in labels if pair[0] != "le")
            part = name[len(self.name):]
            assert part in ("_bucket", "_sum", "_count") and (part == "_bucket") == (rest != labels), name
            if part == "_bucket":
                series.setdefault(rest, {}).setdefault("buckets", []).append((dict(labels)["le"], number))
            else:
                series.setdefault(rest, {})[part] = number
        for rest, one in series.items():
            bounds = [float(le) for le, _ in one["buckets"]]
            counts = [n for _, n in one["buckets"]]
            assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf, (self.name, rest, bounds)
            assert one["buckets"][-1][0] == "+Inf"
            assert counts == sorted(counts) and counts[-1] == one["_count"], (self.name, rest, counts)
            assert one["_sum"] >= 0 and (one["_count"] > 0 or one["_sum"] == 0), (self.name, rest)


def parse(text):
    """The families by name."""
    assert text.endswith("\n")
    families, now = {}, None
    for line in text[:-1].split("\n"):
        m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if m and m.group(1) == "HELP":
            if now:
                now.check()
            name, words = m.group(2), m.group(3)
            assert name not in families, f"{name} stands in two places"
            assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", words), line
            now = families[name] = Family(name, unescape(words))
            continue
        if m:
            assert now and now.name == m.group(2) and now.type is None and not now.samples, line
            assert m.group(3) in ("counter", "gauge", "histogram"), line
            now.type = m.group(3)
            continue
        m = SAMPLE.fullmatch(line)
        assert m and now and now.type, f"no sample: {line!r}"
        assert m.group(1).startswith(now.name), f"{line!r} under {now.name}"
        assert NUMBER.fullmatch(m.group(3)), line
        key = (m.group(1), tuple(sorted(read_labels(m.group(2) or "").items())))
        assert key not in now.samples, f"twice: {line}"
        now.samples[key] = float(m.group(3))
    now.check()
    return families


class Scrape:
    """One look at /metrics."""

    def __init__(self, address):
        r = get(address, "/metrics")
        assert r.status == 200 and r.complete and r.get("Content-Type") == TYPE, r
        self.text = r.body.decode("utf-8", errors="strict")
        self.families = parse(self.text)

    def all(self, name, /, **labels):
        """Every number of the name whose labels are these and maybe more: {labels: number}."""
        family = self.families.get(name)
        if family is None:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            family = self.families.get(base)
        if family is None:
            return {}
        want = set(labels.items())
        return {key: n for (sample, key), n in family.samples.items()
                if sample == name and want <= set(key)}

    def __call__(self, name, /, **labels):
        """The one number with these labels, exactly; None when it is not there."""
        return self.all(name, **labels).get(tuple(sorted(labels.items())))

    def sum(self, name, /, **labels):
        return sum(self.all(name, **labels).values())
