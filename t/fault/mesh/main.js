'use strict';
// The mesh under faults: real hosts in network namespaces, and a model of what must come of it.
//   node mesh/main.js [--seed N] [--seconds N] [--episodes N] [--hosts N] [--ensemble 1] [--convergence MS]
// runs episodes for so many seconds, or just so many episodes.

const { spawnSync } = require('child_process');
const fs = require('fs');
const { Random } = require('../../integration/lib/random');
const { impossible } = require('../../integration/lib/namespaces');
const { missing } = require('../../integration/lib/zookeeper');
const { makeNamespaces } = require('./network');
const { runMesh } = require('./run');

const DEFAULTS = { seed: 0, seconds: 60, episodes: 0, hosts: 3, ensemble: 0, convergence: 10000 };
const OTHER_VERSION_HOSTS = 2;
const HOSTS_MAX = 10;

function readArguments(words) {
    const options = { ...DEFAULTS };
    for (let i = 0; i < words.length; i += 2) {
        const name = words[i].replace(/^--/, '');
        if (!(name in DEFAULTS) || !/^[0-9]+$/.test(words[i + 1] || '')) {
            console.log(`mesh: takes ${Object.keys(DEFAULTS).map((one) => `--${one} N`).join(', ')}, not "${words.slice(i, i + 2).join(' ')}"`);
            process.exit(64);
        }
        options[name] = Number(words[i + 1]);
    }
    if (options.hosts < 2 || options.hosts > HOSTS_MAX) {
        console.log(`mesh: --hosts is from 2 to ${HOSTS_MAX}`);
        process.exit(64);
    }
    options.seed = options.seed || new Random().seed;
    return options;
}

function lacking() {
    const rights = impossible();
    if (rights) {
        return rights;
    }
    try {
        fs.closeSync(fs.openSync('/dev/net/tun', 'r+'));
    } catch (error) {
        return `no TAP devices here: ${error.message}`;
    }
    return missing();
}

// All of it runs inside the namespace that has ZooKeeper and the clients.
function main() {
    const options = readArguments(process.argv.slice(2));
    if (process.env.MESH_NAMESPACES) {
        runMesh({ ...options, versions: [options.hosts, OTHER_VERSION_HOSTS] }, process.env.MESH_NAMESPACES.split(' '));
        return;
    }
    const why = lacking();
    if (why) {
        console.log(`mesh: skipped: ${why}`);
        return;
    }
    const namespaces = makeNamespaces(options.hosts + OTHER_VERSION_HOSTS);
    const pass = () => {}; // the child has it too, from the terminal; then it ends, and we clean up
    ['SIGINT', 'SIGTERM'].forEach((signal) => process.on(signal, pass));
    try {
        const names = Object.values(namespaces.names);
        const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
        const { status } = spawnSync('ip', ['netns', 'exec', names[0], process.execPath, __filename, ...words],
            { env: { ...process.env, MESH_NAMESPACES: names.join(' ') }, stdio: 'inherit' });
        process.exitCode = status === null ? 1 : status;
    } finally {
        namespaces.dispose();
    }
}

main();
