'use strict';
// Two networks between the namespaces of the hosts. The one of the clients is a bridge, and always
// works. The other one, for MMRP and ZooKeeper, is a wire (wire.c) whose every direction can be cut,
// lose packets, or be slow. The first namespace is the hub: this process, and ZooKeeper.

const { execFileSync, spawn } = require('child_process');
const path = require('path');
const readline = require('readline');
const { BUILD } = require('../../integration/lib/server');
const { Namespaces } = require('../../integration/lib/namespaces');

const WIRE = path.join(BUILD, 't/fault/mesh/wire');
const GOOD = { cuts: 0, loss: 0, delay: 0, jitter: 0 };

const clientAddress = (number) => `10.78.0.${number}`;
const meshAddress = (number) => `10.79.0.${number}`;
const hardwareAddress = (number) => `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;

// Names of the places: the hub, and one for each host.
const placeNames = (hosts) => ['hub', ...Array.from({ length: hosts }, (_, i) => `host${i + 1}`)];

function makeNamespaces(hosts) {
    return new Namespaces(Object.fromEntries(placeNames(hosts).map((name, i) => [name, clientAddress(i + 1)])));
}

// A place has a number from 1: its port of the wire, and the last part of its addresses.
class Network {
    // netns: the namespaces' names, the hub's first
    static async open(netns, seed) {
        const network = new Network(netns);
        await network.start(seed);
        return network;
    }

    constructor(netns) {
        this.netns = netns;
        this.directions = new Map();
        this.answers = []; // that are awaited
    }

    async start(seed) {
        this.wire = spawn(WIRE, [String(seed), ...this.netns], { stdio: ['pipe', 'pipe', 'pipe'] });
        this.errors = '';
        this.wire.stderr.on('data', (data) => { this.errors += data; });
        this.wire.stdin.on('error', () => {}); // told by 'exit'
        this.wire.on('exit', () => this.answers.splice(0).forEach(({ reject }) => reject(new Error(`the wire broke: ${this.errors}`))));
        readline.createInterface({ input: this.wire.stdout }).on('line', () => this.answers.shift().resolve());
        await this.answer();
        this.netns.forEach((netns, i) => this.configure(netns, i + 1));
    }

    answer() {
        return new Promise((resolve, reject) => this.answers.push({ resolve, reject }));
    }

    configure(netns, number) {
        const lines = [`addr add ${meshAddress(number)}/24 dev mesh0`, 'link set mesh0 up'];
        this.netns.forEach((_, i) => {
            if (i + 1 !== number) {
                lines.push(`neigh replace ${meshAddress(i + 1)} lladdr ${hardwareAddress(i + 1)} nud permanent dev mesh0`);
            }
        });
        execFileSync('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
    }

    // Changes what one place sends to another: by change(state), where state has `cuts` (how many faults
    // cut it), `loss` (percent), `delay` and `jitter` (ms).
    change(from, to, change) {
        const name = `${from} ${to}`;
        const state = this.directions.get(name) || { ...GOOD };
        change(state);
        this.directions.set(name, state);
        if (this.wire.exitCode !== null) {
            return Promise.reject(new Error(`the wire broke: ${this.errors}`));
        }
        this.wire.stdin.write(`set ${name} ${state.cuts > 0 ? 1 : 0} ${state.loss} ${state.delay} ${state.jitter}\n`);
        return this.answer();
    }

    async cut(pairs) {
        await Promise.all(pairs.map(([from, to]) => this.change(from, to, (state) => { state.cuts += 1; })));
    }

    async join(pairs) {
        await Promise.all(pairs.map(([from, to]) => this.change(from, to, (state) => { state.cuts -= 1; })));
    }

    // Every direction but a place's to itself.
    get allPairs() {
        return this.netns.flatMap((_, i) => this.netns.flatMap((__, k) => (i === k ? [] : [[i + 1, k + 1]])));
    }

    async impair(impairment) {
        await Promise.all(this.allPairs.map(([from, to]) => this.change(from, to, (state) => Object.assign(state, impairment))));
    }

    async dispose() {
        if (this.wire.exitCode === null) {
            const exited = new Promise((resolve) => { this.wire.once('exit', resolve); });
            this.wire.stdin.end();
            await exited;
        }
    }
}

module.exports = { Network, clientAddress, makeNamespaces, meshAddress };
