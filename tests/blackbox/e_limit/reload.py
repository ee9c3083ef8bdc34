# SPDX-License-Identifier: MIT
"""What is counted survives a reload, unless the key rule is another."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import *  # noqa: E402,F403

CHANGED = "its key has changed, what was counted is forgotten"


def limited(limit, route="limit: l"):
    return conf(route=route, extra=f"limits: {{l: {limit}}}\n")


def statuses(w, n, **more):
    return [get(w, **more).status for _ in range(n)]


def test_state_is_kept():
    with Weir(limited("{rate: 6/h, burst: 1}"), Origin()) as w:
        assert statuses(w, 3) == [200, 200, 429]
        said = w.reload()
        assert CHANGED not in said, said
        assert statuses(w, 2) == [429, 429]
        assert statuses(w, 3, source="127.0.0.2") == [200, 200, 429]


def test_other_numbers_apply_to_what_was_counted():
    with Weir(limited("{rate: 6/h, burst: 1}"), Origin()) as w:
        assert statuses(w, 3) == [200, 200, 429]
        said = w.reload(limited("{rate: 6/h, burst: 3, status: 503}"))
        assert CHANGED not in said, said
        assert statuses(w, 4) == [200, 200, 503, 503], "two of the four were used before"
        w.reload(limited("{rate: 6/h, burst: 3, size: 1MB}"))
        assert statuses(w, 2) == [429, 429]
        w.reload(limited("{rate: 6/h, burst: 3, size: 64KB}"))
        assert statuses(w, 2) == [429, 429]
        # At a thousand a second nobody has to wait for hours any more.
        w.reload(limited("{rate: 1000/s, burst: 3}"))
        eventually(lambda: get(w).status == 200)


def test_another_key_begins_anew():
    with Weir(limited("{rate: 6/h, burst: 1}"), Origin()) as w:
        assert statuses(w, 3) == [200, 200, 429]
        said = w.reload(limited('{rate: 6/h, burst: 1, key: "header:X-Key"}'))
        assert f"limit l: {CHANGED}" in said, said
        assert statuses(w, 3) == [200, 200, 429]
        said = w.reload(limited('{rate: 6/h, burst: 1, key: "header:X-Other"}'))
        assert f"limit l: {CHANGED}" in said, said
        assert statuses(w, 3) == [200, 200, 429]
        assert CHANGED not in w.reload()


def test_a_broken_file_changes_nothing():
    with Weir(limited("{rate: 6/h, burst: 1}"), Origin()) as w:
        assert statuses(w, 3) == [200, 200, 429]
        w.reload(limited('{rate: 0/h, key: "header:X-Key"}'), ok=False)
        assert statuses(w, 2) == [429, 429]
        # Nor does a file that is right but cannot be had: the new key's zone is not left behind.
        said = w.reload(limited('{rate: 6/h, key: "header:X-Key"}').replace("path: $LOG",
                                                                          "path: /nonexistent/x"), ok=False)
        assert CHANGED not in said, said
        assert statuses(w, 2) == [429, 429]


def test_a_limit_that_comes_and_goes():
    with Weir(conf(), Origin()) as w:
        assert statuses(w, 3) == [200] * 3
        w.reload(limited("{rate: 6/h}"))
        assert statuses(w, 2) == [200, 429]
        w.reload(conf())
        assert statuses(w, 3) == [200] * 3
        w.reload(limited("{rate: 6/h}"))
        assert statuses(w, 2) == [200, 429], "nothing is kept of what nobody names"


if __name__ == "__main__":
    main()
