#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each fuzz target for a while.  NAME's seeds are in corpus/NAME, its words in NAME.dict; what is
# found stays in BUILD/corpus, what breaks in BUILD: once mended it belongs into corpus/NAME, where
# make test gives it to the target again.
# usage: run.sh BUILD SECONDS [NAME...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- $(cd "$here" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
bad=0
for name; do
	mkdir -p "$build/corpus/$name" "$here/corpus/$name"
	dict= more=
	[ ! -f "$here/$name.dict" ] || dict=-dict=$here/$name.dict
	# The words and the seeds that a configuration has of itself.
	if [ "$name" = config ]; then
		more=$here/../../conf
		{ cat "$here/$name.dict"
		  grep -o '[a-z_0-9]*: [^ ]*$\|[a-z_0-9]*:' "$more/reference.yaml" | sort -u |
		      sed 's/[\\"]/\\&/g; s/.*/"&"/'; } >"$build/$name.dict"
		dict=-dict=$build/$name.dict
	fi
	echo "fuzz_$name: $seconds s"
	"$build/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
	    -verbosity=0 $dict -artifact_prefix="$build/$name-" "$build/corpus/$name" "$here/corpus/$name" $more \
	    >"$build/$name.log" 2>&1 || {
		tail -n 60 "$build/$name.log"
		bad=1
	}
	grep '^stat::number_of_executed_units\|^stat::peak_rss' "$build/$name.log" || true
done
exit $bad
