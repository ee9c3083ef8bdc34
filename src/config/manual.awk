# SPDX-License-Identifier: MIT
# A manual page from its template: a line .\" @NAME@ becomes what "weir --reference=NAME" prints.
# usage: awk -v weir=PATH -f manual.awk TEMPLATE
/^\.\\" @[a-z]+@$/ {
	split($0, part, "@")
	command = weir " --reference=" part[2]
	while ((got = (command | getline line)) > 0)
		print line
	if (got < 0 || close(command) != 0) {
		print FILENAME ":" FNR ": " command " failed" > "/dev/stderr"
		exit 1
	}
	next
}
{ print }
