#!/bin/sh
# SPDX-License-Identifier: MIT
# conf/reference.yaml and weir.yaml.5 are what the program prints; every option is in weir.8; mandoc
# has nothing to say about the pages.
cd "$(dirname "$0")/../.." || exit 1
weir=${WEIR_BUILD:-build/san}/weir
bad=0

drifted() {
	echo "$1 is not what the program prints: run make docs"
	bad=1
}
"$weir" --reference | diff -u conf/reference.yaml - || drifted conf/reference.yaml
awk -v weir="$weir" -f src/config/manual.awk src/config/weir.yaml.5.in |
    diff -u src/config/weir.yaml.5 - || drifted src/config/weir.yaml.5

# Long options, in the text of --help and as the page marks them.
options=$("$weir" --help | grep -o -e '--[a-z]*' | sort -u)
pages=$(grep '^\.\(It \)\{0,1\}Fl\|^\.It.*Fl Fl' src/daemon/weir.8 | grep -o 'Fl Fl [a-z]*' | sed 's/Fl Fl /--/' | sort -u)
[ "$options" = "$pages" ] || {
	echo "options of weir --help:" $options
	echo "options in src/daemon/weir.8:" $pages
	bad=1
}

# Whether the other page is installed is no matter of ours.
said=$(mandoc -T lint src/daemon/weir.8 src/config/weir.yaml.5 2>&1 | grep -v 'referenced manual not found\|outdated mandoc.db')
[ -z "$said" ] || { echo "$said"; bad=1; }
# The other reader of such pages, where it is there; it wants one page at a time.
for page in src/daemon/weir.8 src/config/weir.yaml.5; do
	command -v groff >/dev/null || break
	said=$(groff -ww -z -mdoc -Tutf8 "$page" 2>&1)
	[ -z "$said" ] || { echo "$said"; bad=1; }
done
exit $bad
