#!/usr/bin/env bash
# Every test that docs/guarantees.md names is there, and every row of its tables names one.
set -u
cd "$(dirname "$0")/../.."
status=0
complain() {
	echo "guarantees: $*"
	status=1
}
while IFS= read -r row; do
	tests=${row%|*}
	tests=${tests##*| }
	case $tests in "Shown by" | "Shown by " | ---*) continue ;; esac
	case $tests in \`*) ;; *) complain "names no test: $row" && continue ;; esac
	while IFS= read -r test; do
		file=$(sed -n 's/^ *`\([^`]*\)`.*/\1/p' <<<"$test")
		name=$(sed 's/^ *`[^`]*` *//; s/ *$//' <<<"$test")
		if [ -z "$file" ] || [ ! -e "$file" ]; then
			complain "no such test file: $test"
		elif [ -z "$name" ] || ! grep -qF -- "$name" "$file"; then
			complain "$file has no test named \"$name\""
		fi
	done < <(tr ';' '\n' <<<"$tests")
done < <(grep '^|' docs/guarantees.md)
exit $status
