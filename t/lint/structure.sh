#!/usr/bin/env bash
# The rules of the tree that a compiler does not see: who may include whom, how long a file may be,
# and what must not be left in it.
set -u
cd "$(dirname "$0")/../.."
status=0
complain() {
	echo "structure: $*"
	status=1
}

# forbid DIRECTORY PATTERN WHY: no file in the directory includes what the pattern says.
forbid() {
	local hits
	hits=$(git grep -nE "^#include [<\"]($2)" -- "$1/*.[ch]" "$1/**/*.[ch]")
	[ -z "$hits" ] || complain "$3:"$'\n'"$hits"
}
forbid src '(ctl|master|workers|t)/' "src/ includes a process"
forbid src/base '(codecs|io)/|ev\.h|openssl|jansson|czmq|zmq' "src/base is not on libc alone"
forbid src/codecs 'io/|ev\.h|czmq|zmq|zookeeper|yaml|sys/socket|unistd\.h>.*read' "a codec knows I/O"
forbid src/io 'czmq|zmq|zookeeper|yaml|jansson|openssl' "src/io knows more than libev"
forbid src/store 'ev\.h|czmq|zmq|zookeeper|yaml|jansson|openssl' "src/store knows more than LMDB"
forbid 'src/base' 'store/' "src/base includes the store"
forbid src/codecs 'store/' "a codec includes the store"
forbid src/io 'store/' "src/io includes the store"
forbid master 'store/' "the master includes the store"
forbid workers/client 'store/' "the client worker includes the store"
forbid master 'ctl/|workers/|czmq|zmq' "the master includes another program, or ZeroMQ"
forbid workers/relay 'ctl/|master/|workers/client/|yaml|zookeeper|openssl' "the relay includes what is not its own"
forbid workers/client 'ctl/|master/|workers/relay/|czmq|zmq|yaml|zookeeper' "the client worker includes what is not its own"
for floor in src master workers; do
	forbid $floor 'curl/' "only msgserverctl uses libcurl"
done
forbid ctl 'master/|workers/|ev\.h|czmq|zmq|yaml|zookeeper|openssl' "msgserverctl includes what is not its own"

while read -r lines file; do
	[ "$file" = total ] || [ "$lines" -le 900 ] || complain "$file has $lines lines; 900 is the limit"
done < <(git ls-files '*.c' '*.h' '*.js' '*.sh' bootstrap | xargs wc -l)

markers=$(git grep -nE '\b(TODO|FIXME|XXX|HACK)\b' -- '*.c' '*.h' '*.js' '*.am' '*.ac' || true)
[ -z "$markers" ] || complain "left-over markers:"$'\n'"$markers"
# What Makefile.am does not name, by itself or by its directory, is in no distribution. The source of
# a program of one file is named by the program.
missing=$(git ls-files ctl src master workers conf docs t | awk '
	NR == FNR { for (i = 1; i <= NF; i++) named[$i] = 1; next }
	{
		path = $0
		known = path in named
		while (!known && (sub(/\.c$/, "", path) || sub(/\/[^\/]*$/, "", path)))
			known = path in named
		if (!known)
			print
	}' Makefile.am -)
[ -z "$missing" ] || complain "not in Makefile.am:"$'\n'"$missing"
exit $status
