#!/usr/bin/env bash
# run.sh BUILD [--quick] [--hosts N] [--connections N] [--json FILE] [SCENARIO...]: measures the
# programs in BUILD. Figures depend on the machine; compare only what one run measured side by side.
# run.sh --check …: says whether the rest makes sense, and does nothing.
set -u
all="fanout unicast transports growth idle connect store mesh-relay mesh"
quick="fanout unicast idle" # --quick alone: under a minute
build=${1:?build directory}
shift
is_quick= json= scenarios=

number_from() { # MINIMUM OPTION VALUE
	[[ $3 =~ ^[1-9][0-9]*$ && $3 -ge $1 ]] || { echo "bench: $2 needs a number from $1"; exit 64; }
}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) is_quick=1 ;;
	--json)
		[ $# -gt 1 ] || { echo "bench: --json needs a file"; exit 64; }
		json=$(readlink -m "$2")
		[ -d "$(dirname "$json")" ] || { echo "bench: there is no folder for $2"; exit 64; }
		shift
		;;
	--hosts)
		number_from 2 --hosts "${2:-}"
		export BENCH_HOSTS=$2
		shift
		;;
	--connections)
		number_from 1 --connections "${2:-}"
		export BENCH_CONNECTIONS=$2
		shift
		;;
	*)
		[[ " $all " = *" $1 "* ]] || { echo "bench: no scenario \"$1\"; there are: $all"; exit 64; }
		scenarios="$scenarios $1"
		;;
	esac
	shift
done
[ "$build" != --check ] || exit 0
build=$(readlink -f "$build")
cd "$(dirname "$0")"
ulimit -n "$(ulimit -Hn)"
export MSGSERVER_BUILD=$build BENCH_QUICK=$is_quick
results=$(mktemp)
trap 'rm -f "$results"' EXIT
[ -n "$scenarios" ] || { [ -n "$is_quick" ] && scenarios=$quick || scenarios=$all; }
for scenario in $scenarios; do
	node "$scenario.js" "$results" || { echo "bench: $scenario failed"; exit 1; }
done
[ -z "$json" ] || node -e '
	const lines = require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n");
	console.log(JSON.stringify(Object.assign({}, ...lines.map((line) => JSON.parse(line))), null, 2));
' "$results" >"$json"
