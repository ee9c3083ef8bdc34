#!/bin/sh
# SPDX-License-Identifier: MIT
# Side by side: see README.  Ends what it started by process id.
set -eu
cd "$(dirname "$0")/.."
exec /usr/bin/python3 bench/compare.py
