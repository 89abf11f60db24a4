#!/usr/bin/env bash
# run.sh BUILD [--seed N] [--kills N]: kills and pauses processes under load, and counts messages.
set -u
build=$(readlink -f "${1:?build directory}")
shift
seed= kills=20
while [ $# -gt 0 ]; do
	case $1 in
	--seed | --kills)
		[[ ${2:-} =~ ^[0-9]+$ ]] || { echo "fault: $1 needs a number"; exit 64; }
		[ "$1" = --seed ] && seed=$2 || kills=$2
		shift
		;;
	*)
		echo "fault: takes --seed N and --kills N, not \"$1\""
		exit 64
		;;
	esac
	shift
done
cd "$(dirname "$0")"
export MSGSERVER_BUILD=$build SEED=$seed
exec node kills.js "$kills"
