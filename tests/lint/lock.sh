#!/bin/sh
# SPDX-License-Identifier: MIT
# The lock file of the npm packages names no host: which registry serves them is each machine's affair.
set -eu
cd "$(dirname "$0")/../.."
lock=tests/blackbox/k_clients/package-lock.json
if grep -n -e '://' -e '"resolved"' "$lock"; then
	echo "$lock: written with a registry's addresses; use npm install --omit-lockfile-registry-resolved" >&2
	exit 1
fi
grep -q '"integrity"' "$lock"
