#!/bin/sh
# SPDX-License-Identifier: MIT
# Functions that write without a bound, hide an error, or keep what they gave in a static place.
cd "$(dirname "$0")/../.." || exit 1
unbounded='strcpy|strcat|stpcpy|wcscpy|wcscat|sprintf|vsprintf|gets|alloca|strncpy|strncat'
careless='atoi|atol|atoll|atof|rand|srand|random|tmpnam|tempnam|mktemp|system|popen'
static='strtok|asctime|ctime|gmtime|localtime|inet_ntoa|inet_addr|gethostbyname|strerror_l|ttyname'
# Text in quotes and comments may name them.
find src include bench tests -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort | xargs awk -v \
	banned="(^|[^A-Za-z0-9_])($unbounded|$careless|$static)[ \t]*[(]" '
	{ line = $0
	  gsub(/\\./, "", line)
	  gsub(/"[^"]*"/, "", line)
	  sub(/^[ \t]*(\/\*|\*).*/, "", line)
	  sub(/\/\*.*/, "", line) }
	match(line, banned) {
		print FILENAME ":" FNR ": " substr(line, RSTART, RLENGTH) "...): use what is bounded and tells of errors"
		bad = 1
	}
	END { exit bad }'
