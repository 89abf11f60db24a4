#!/usr/bin/env bash
# run.sh BUILD [--quick] [--hosts N] [--connections N] [--json FILE] [SCENARIO...]: measures the programs in BUILD.
# Figures depend on the machine; compare only what one run measured side by side.
set -u
build=$(readlink -f "${1:?build directory}")
shift
quick= json= scenarios=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=1 ;;
	--json)
		[ $# -gt 1 ] || { echo "bench: --json needs a file"; exit 64; }
		json=$(readlink -m "$2")
		shift
		;;
	--hosts)
		[[ ${2:-} =~ ^[1-9][0-9]*$ && $2 -gt 1 ]] || { echo "bench: --hosts needs a number from 2"; exit 64; }
		export BENCH_HOSTS=$2
		shift
		;;
	--connections)
		[[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "bench: --connections needs a number"; exit 64; }
		export BENCH_CONNECTIONS=$2
		shift
		;;
	connect | fanout | idle | mesh | mesh-relay | store | unicast) scenarios="$scenarios $1" ;;
	*)
		echo "bench: no scenario \"$1\"; there are: connect, fanout, idle, mesh, mesh-relay, store, unicast"
		exit 64
		;;
	esac
	shift
done
cd "$(dirname "$0")"
ulimit -n "$(ulimit -Hn)"
export MSGSERVER_BUILD=$build BENCH_QUICK=$quick
results=$(mktemp)
trap 'rm -f "$results"' EXIT
# --quick alone leaves out those that start a hundred hosts, or rounds by the dozen.
[ -n "$scenarios" ] || { [ -n "$quick" ] && scenarios="fanout unicast idle connect" || scenarios="fanout unicast idle connect store mesh mesh-relay"; }
for scenario in $scenarios; do
	node "$scenario.js" "$results" || { echo "bench: $scenario failed"; exit 1; }
done
[ -z "$json" ] || node -e '
	const lines = require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n");
	console.log(JSON.stringify(Object.assign({}, ...lines.map((line) => JSON.parse(line))), null, 2));
' "$results" >"$json"
