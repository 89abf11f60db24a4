#!/usr/bin/env bash
# run.sh BUILD SECONDS: each libFuzzer target for so long, from its corpus; what it finds stays in
# BUILD/findings.
set -u
build=$(readlink -f "${1:?build directory}")
seconds=${2:?seconds per target}
cd "$(dirname "$0")"
status=0 count=0
mkdir -p "$build/findings"
targets=$(cd "$build" && make --no-print-directory print-fuzz-targets)
# shellcheck disable=SC2086
make -C "$build" --no-print-directory -j"$(nproc)" $targets >"$build/fuzz-build.log" 2>&1 ||
	{ tail -n 30 "$build/fuzz-build.log"; echo "fuzz: the build failed"; exit 1; }
for target in $targets; do
	name=$(basename "$target")
	work=$(mktemp -d)
	log=$build/findings/$name.log
	options="-max_total_time=$seconds -artifact_prefix=$build/findings/$name- -print_final_stats=1"
	[ ! -e "$name.dict" ] || options="$options -dict=$name.dict"
	# shellcheck disable=SC2086
	if "$build/$target" $options "$work" "corpus/$name" >"$log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		coverage=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$log")
		echo "ok $((++count)) - $name: $runs runs in $seconds s, $coverage edges covered"
	else
		echo "not ok $((++count)) - $name: see $log"
		tail -n 20 "$log"
		status=1
	fi
	rm -rf "$work"
done
echo "1..$count"
exit $status
