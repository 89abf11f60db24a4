'use strict';
// A server with its load generator, both of which stay up while others take their turns.

const { spawn } = require('child_process');
const path = require('path');
const readline = require('readline');
const { BUILD } = require('../../integration/lib/server');
const { cpuWhenQuiet, end, family } = require('./processes');

class Subject {
    // server: what servers.js started.
    static async start(name, server, { clients, oneChannel = false, transport = 'websocket' }) {
        const subject = new this(name, server);
        try {
            await subject.connect([clients, ...(oneChannel ? ['one'] : []), transport]);
        } catch (error) {
            await subject.stop();
            throw error;
        }
        return subject;
    }

    constructor(name, server) {
        this.name = name;
        this.server = server;
        this.results = {};
    }

    async connect(options) {
        const { kind, port, publish } = this.server;
        this.load = spawn(path.join(BUILD, 'bench-load'), [kind, port, publish, ...options],
            { stdio: ['pipe', 'pipe', 'inherit'] });
        this.load.stdin.on('error', () => {}); // the answer that does not come tells
        this.answers = readline.createInterface({ input: this.load.stdout })[Symbol.asyncIterator]();
        await this.answer();
        this.members = family(this.server.pid);
    }

    async answer() {
        const { value, done } = await this.answers.next();
        if (done) {
            throw new Error(`bench-load gave up on ${this.name}\n${this.server.log()}`);
        }
        return value;
    }

    async command(line) {
        this.load.stdin.write(`${line}\n`);
        return JSON.parse(await this.answer());
    }

    // One round. Afterwards the result holds the microseconds of processor time per delivery: of the
    // whole server (cpu), of each of its programs (by name), and of the load generator (loadCpu).
    async measure(kind, line) {
        const before = await cpuWhenQuiet(this.members);
        const result = await this.command(line);
        const after = await cpuWhenQuiet(this.members);
        result.rate = result.deliveries / result.seconds;
        result.loadCpu = result.ownSeconds * 1e6 / result.deliveries;
        result.parts = {};
        for (const name of Object.keys(after)) {
            result.parts[name] = (after[name] - before[name]) / result.deliveries;
        }
        result.cpu = result.parts.total;
        (this.results[kind] = this.results[kind] || []).push(result);
        return result;
    }

    figures(kind, figure) {
        return this.results[kind].map((result) => result[figure]);
    }

    async stop() {
        if (this.load) {
            await end(this.load);
        }
        await this.server.stop();
    }
}

module.exports = { Subject };
