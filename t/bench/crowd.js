'use strict';
// Many silent WebSocket clients: bench-crowd processes, each with addresses of its own.

const { spawn } = require('child_process');
const path = require('path');
const readline = require('readline');
const { BUILD } = require('../integration/lib/server');

const PER_PROCESS = 18000; // descriptors are often limited to 20,000

class Process {
    constructor(port, number, first, count, target) {
        this.child = spawn(path.join(BUILD, 'bench-crowd'),
            [port, `127.0.${1 + number}.1`, first, count, target].map(String),
            { stdio: ['pipe', 'pipe', 'inherit'] });
        this.answers = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
        this.exited = new Promise((resolve) => this.child.on('exit', resolve));
        this.child.stdin.on('error', () => {}); // the answer that does not come tells
        this.count = count;
    }

    async command(line) {
        this.child.stdin.write(`${line}\n`);
        const { value, done } = await this.answers.next();
        if (done) {
            throw new Error(`bench-crowd ended at "${line}"`);
        }
        return JSON.parse(value);
    }
}

class Crowd {
    // `target`: the backend API's socket, or what the number of a client is appended to.
    constructor(port, count, target, processes = 1) {
        this.count = count;
        this.processes = [];
        const each = Math.min(PER_PROCESS, Math.ceil(count / processes));
        for (let first = 0; first < count; first += each) {
            this.processes.push(new Process(port, this.processes.length, first, Math.min(each, count - first), target));
        }
    }

    // All processes at once; resolves with {open, failures, ms}.
    async command(line) {
        const start = process.hrtime.bigint();
        const answers = await Promise.all(this.processes.map((one) => one.command(line)));
        const sum = (name) => answers.reduce((total, answer) => total + answer[name], 0);
        return { open: sum('open'), failures: sum('failures'), ms: Number(process.hrtime.bigint() - start) / 1e6 };
    }

    open(atOnce) {
        return this.command(`open ${Math.ceil(atOnce / this.processes.length)}`);
    }

    // Until the server has closed `count` connections of the crowd; with several processes, of each its share.
    lost(count) {
        return this.command(`lost ${count}`);
    }

    async stop() {
        this.processes.forEach(({ child }) => child.kill());
        await Promise.all(this.processes.map(({ exited }) => exited));
    }
}

module.exports = { Crowd };
