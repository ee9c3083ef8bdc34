#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source file: its licence in the first three lines, no white space that nobody sees.
cd "$(dirname "$0")/../.." || exit 1
find src include tests bench Makefile \( -name '*.[ch]' -o -name '*.def' -o -name '*.py' -o -name '*.sh' \
	-o -name Makefile \) | LC_ALL=C sort | xargs awk '
	function done() { if (file != "" && !licensed) tell(file, 1, "no SPDX-License-Identifier line") }
	function tell(f, n, why) { print f ":" n ": " why; bad = 1 }
	FNR == 1 { done(); file = FILENAME; licensed = 0 }
	FNR <= 3 && /SPDX-License-Identifier: MIT/ { licensed = 1 }
	/[ \t\r]$/ { tell(FILENAME, FNR, "white space at the end of the line") }
	/^\t* +\t/ && FILENAME ~ /\.[ch]$/ { tell(FILENAME, FNR, "a blank before a tab") }
	END { done(); exit bad }'
