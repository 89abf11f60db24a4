#!/usr/bin/env bash
# Prints a TCP port of 127.0.0.1 that was free a moment ago.
cd "$(dirname "$0")"
exec node -e 'require("./lib/server").freePort().then((port) => console.log(port));'
