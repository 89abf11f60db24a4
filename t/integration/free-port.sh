#!/usr/bin/env bash
# Prints a TCP port of 127.0.0.1 that was free a moment ago.
exec node -e 'const s = require("net").createServer();
s.listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); });'
