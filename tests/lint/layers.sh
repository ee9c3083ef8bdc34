#!/bin/sh
# SPDX-License-Identifier: MIT
# A folder of src/ is a layer; an include of a layer that is not named beside it is an error.
cd "$(dirname "$0")/../.." || exit 1
exec awk 'FNR == NR { ok[$1,$1] = 1; for (i = 2; i <= NF; i++) ok[$1,$i] = 1; next }
     FNR == 1  { split(FILENAME, p, "/"); own = p[2] }
     match($0, /^#include "[a-z0-9]+\//) {
	dep = substr($0, RSTART + 10, RLENGTH - 11)
	if (!((own, dep) in ok)) { print FILENAME ":" FNR ": " own " may not use " dep; bad = 1 }
     }
     END { exit bad }' tests/lint/layers $(find src include -name '*.[ch]')
