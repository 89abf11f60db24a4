'use strict';
// One real server, and what is done to its processes.

const fs = require('fs');
const path = require('path');
const { Backend } = require('../integration/lib/backend');
const { Server, alive, children } = require('../integration/lib/server');
const { until } = require('../integration/lib/wait');
const { expect } = require('./model');
const { Volume } = require('./volume');

const LOG_KEPT = 64 * 1024;
const RECOVERY_LIMIT_MS = 20000;
const SERVING = 'event=serving';
const MISHAPS = /store-set-aside|store-unbalanced|store-failed|invariant-broken|frame-lost|Sanitizer|runtime error/;

const isStopped = (pid) => /^State:\s+T/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));

class Driver {
    constructor(settings, workers) {
        this.workers = workers;
        this.server = new Server({ workers, ...settings });
        this.volume = new Volume(path.join(this.server.directory, 'volume'));
        this.server.config.store = { engine: 'lmdb', path: path.join(this.volume.directory, 'store'), size: '16MiB' };
        this.kills = { worker: 0, relay: 0, master: 0, all: 0 };
        this.former = []; // backend connections from before the last fault
        this.children = [];
        this.paused = [];
        this.dying = [];
    }

    // Until it serves, a master gives up when a child dies.
    async start() {
        this.server.log = this.server.log.slice(-LOG_KEPT).replaceAll(SERVING, 'event=served');
        await this.server.start();
        await until('the master says that it serves', () => this.server.log.includes(SERVING), RECOVERY_LIMIT_MS);
        await this.recovered();
        // A slot whose process dies twice waits for seconds: each is killed once per master.
        this.fresh = new Set(this.children.map(({ pid }) => pid));
    }

    get backend() {
        return this.server.backend;
    }

    get url() {
        return this.server.url;
    }

    get killCount() {
        return Object.values(this.kills).reduce((sum, count) => sum + count, 0);
    }

    // Processes that may be killed without a long wait: [{pid, name}].
    targets(name) {
        return this.children.filter((child) => child.name === name && this.fresh.has(child.pid));
    }

    // --- faults ---

    // One that ended meanwhile, because its master did, is not counted.
    kill(pid, kind) {
        if (this.signal(pid, 'SIGKILL')) {
            this.kills[kind] += 1;
        }
    }

    signal(pid, name) {
        try {
            return process.kill(pid, name);
        } catch (error) {
            expect(error.code === 'ESRCH', `${name}: ${error.message}`);
            return false;
        }
    }

    killChildren(pids, kind) {
        pids.forEach((pid) => this.kill(pid, kind));
        this.dying.push(...pids);
    }

    // The children end by themselves.
    killMaster() {
        this.kill(this.server.process.pid, 'master');
        this.dying = this.children.map(({ pid }) => pid);
    }

    killAll() {
        this.dying = this.children.map(({ pid }) => pid);
        [this.server.process.pid, ...this.dying].forEach((pid) => this.kill(pid, 'all'));
    }

    terminate() {
        this.dying = this.children.map(({ pid }) => pid);
        this.server.process.kill('SIGTERM');
    }

    pause(pid) {
        if (this.signal(pid, 'SIGSTOP')) {
            this.paused.push(pid);
        }
    }

    resume() {
        this.paused.forEach((pid) => this.signal(pid, 'SIGCONT'));
        this.paused = [];
    }

    // --- recovery ---

    // Everything runs again: the master of itself; or started by us when it is gone, and before that
    // killed `early` ms after a start (null: not).
    async recover(masterGone, early) {
        await this.gone(masterGone);
        this.former.push(this.backend);
        if (!masterGone) {
            this.server.backend = new Backend(this.server.backendSocket);
            await this.recovered();
            return;
        }
        if (early !== null) {
            await this.killEarly(early);
        }
        await this.start();
    }

    // Once nothing is under way any more: a connection to a process that is gone must not be used again.
    leaveFormerConnections() {
        this.former.forEach((backend) => backend.close());
        this.former = [];
    }

    async gone(masterGone) {
        if (masterGone) {
            await this.server.exited;
        }
        await until('what was killed, or lost its master, ends', () => !this.dying.some(alive), RECOVERY_LIMIT_MS);
        this.dying = [];
    }

    async killEarly(ms) {
        this.server.options.ready = false;
        await this.server.start();
        await new Promise((resolve) => setTimeout(resolve, ms));
        // One that is stopped starts no child that we would not know.
        const { pid } = this.server.process;
        this.signal(pid, 'SIGSTOP');
        await until('the master is stopped', () => !alive(pid) || isStopped(pid), RECOVERY_LIMIT_MS, 1);
        this.children = children(pid);
        this.killAll();
        await this.gone(true);
        this.server.backend.close();
        this.server.options.ready = true;
    }

    // All children are there, each worker is linked to the relay, and no dead one is any more.
    recovered() {
        return until('every process is back', async () => {
            this.children = children(this.server.process.pid); // [{pid, name}]
            const names = this.children.map(({ name }) => name);
            return names.filter((name) => name === 'client-worker').length === this.workers && names.includes('relay-worker')
                && (await this.backend.call('GET', '/status')).body.workers === this.workers;
        }, RECOVERY_LIMIT_MS);
    }

    checkLog() {
        const mishap = MISHAPS.exec(this.server.log);
        expect(!mishap, () => `the server's log tells of ${mishap[0]}`);
        this.server.log = this.server.log.slice(-LOG_KEPT);
    }

    async dispose() {
        this.resume();
        try {
            await this.server.stop();
        } finally {
            this.volume.dispose();
            await this.server.dispose();
        }
    }
}

module.exports = { Driver };
