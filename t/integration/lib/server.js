'use strict';
// Starts real msgserverd processes, each with a configuration and ports of its own.

const { spawn } = require('child_process');
const fs = require('fs');
const http = require('http');
const net = require('net');
const os = require('os');
const path = require('path');
const { until } = require('./wait');
const { Backend } = require('./backend');

const BUILD = process.env.MSGSERVER_BUILD || path.resolve(__dirname, '../../../build');

// Sanitized programs are slower, and tests that count processor time or memory leave them out.
const SANITIZED = fs.existsSync(path.join(BUILD, 'config.status')) &&
    fs.readFileSync(path.join(BUILD, 'config.status'), 'utf8').includes('--enable-sanitizers');

// Starts a program as root whom permissions of files concern as they do others.
const OBEDIENT = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];

// Below the kernel's own range for outgoing connections, so that no client of another test sits on
// the port before the server does.
function freePort(host = '127.0.0.1') {
    const port = 10240 + Math.floor(Math.random() * 20000);
    return new Promise((resolve, reject) => {
        const server = net.createServer();
        server.on('error', (error) => (error.code === 'EADDRINUSE' ? resolve(freePort(host)) : reject(error)));
        server.listen(port, host, () => server.close(() => resolve(port)));
    });
}

// The child processes of a process: [{pid, name}].
function children(pid) {
    const found = [];
    for (const entry of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
            const stat = fs.readFileSync(`/proc/${entry}/stat`, 'utf8');
            const [, , name, parent] = /^(\d+) \((.*)\) \S+ (\d+)/.exec(stat);
            if (Number(parent) === pid) {
                found.push({ pid: Number(entry), name });
            }
        } catch (error) {
            // the process ended meanwhile
        }
    }
    return found;
}

function alive(pid) {
    try {
        return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch (error) {
        return false;
    }
}

class Server {
    // config: the mapping under `server:`, completed with a client port and a backend socket.
    // options: {host, netns, obedient, descriptors (their limit), env, args, logging, ready, files: {name: text}}
    constructor(config = {}, options = {}) {
        this.config = config;
        this.options = options;
        this.host = options.host || '127.0.0.1';
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-test.'));
        this.log = '';
        this.exit = null;
    }

    static async start(config, options) {
        const server = new Server(config, options);
        await server.start();
        return server;
    }

    // Also starts a stopped server again, on the same port.
    async start() {
        const config = JSON.parse(JSON.stringify(this.config));
        if (!config.clientHost || !config.clientHost.bind) {
            this.port = this.port || await freePort(this.options.netns ? '127.0.0.1' : this.host);
            config.clientHost = { ...config.clientHost, bind: { host: this.host, port: this.port } };
        } else {
            this.port = config.clientHost.bind.port;
        }
        this.backendSocket = path.join(this.directory, 'backend.sock');
        config.backendHost = config.backendHost || { bind: { file: this.backendSocket } };
        config.store = { path: path.join(this.directory, 'store'), size: '64MiB', ...config.store };
        config.workers = config.workers === undefined ? 2 : config.workers;
        this.workers = config.workers;
        fs.writeFileSync(path.join(this.directory, 'default.yaml'),
            JSON.stringify({ server: config, ...(this.options.logging ? { logging: this.options.logging } : {}) }));
        for (const [name, text] of Object.entries(this.options.files || {})) {
            fs.writeFileSync(path.join(this.directory, name), text);
        }
        this.spawn();
        this.backend = new Backend(this.backendSocket);
        if (this.options.ready !== false) {
            await this.ready();
        }
        return this;
    }

    spawn() {
        let command = path.join(BUILD, 'msgserverd');
        let args = ['--config-dir', this.directory, ...(this.options.args || [])];
        if (this.options.netns) {
            args = ['netns', 'exec', this.options.netns, command, ...args];
            command = 'ip';
        }
        if (this.options.obedient) {
            args = [...OBEDIENT.slice(1), command, ...args];
            [command] = OBEDIENT;
        }
        if (this.options.descriptors) {
            args = [`--nofile=${this.options.descriptors}`, command, ...args];
            command = 'prlimit';
        }
        this.exit = null;
        this.process = spawn(command, args, {
            stdio: ['ignore', 'ignore', 'pipe'],
            env: {
                PATH: process.env.PATH,
                MSGSERVER_LIBEXECDIR: BUILD,
                RUNTIME_DIRECTORY: this.directory,
                STATE_DIRECTORY: this.directory,
                ASAN_OPTIONS: 'abort_on_error=1',
                ...(this.options.env || {}),
            },
        });
        this.process.stderr.on('data', (data) => {
            this.log += data;
            if (process.env.SHOW_LOG) {
                process.stderr.write(data);
            }
        });
        this.exited = new Promise((resolve) => {
            this.process.on('exit', (code, signal) => {
                this.exit = { code, signal };
                resolve(this.exit);
            });
        });
    }

    // The relay answers through a worker, and every worker is there.
    ready() {
        return until('msgserverd is ready', async () => {
            if (this.exit) {
                return true;
            }
            const { status } = await this.backend.call('GET', '/status');
            return status === 200 && (typeof this.workers !== 'number' ||
                this.pids('client-worker').length >= this.workers);
        }, 30000).catch((error) => error).then((result) => {
            if (result instanceof Error || this.exit) {
                throw new Error(`${result.message || 'msgserverd ended'}\n--- log\n${this.log}`);
            }
        });
    }

    get url() {
        return `http://${this.host}:${this.port}/msgstream`;
    }

    pids(name) {
        return children(this.process.pid).filter((p) => p.name === name).map((p) => p.pid);
    }

    // Resolves with {code, signal, ms}; kills what does not stop, which then shows in `signal`.
    async stop(signal = 'SIGTERM') {
        const start = Date.now();
        const pids = this.exit ? [] : children(this.process.pid).map((p) => p.pid);
        if (!this.exit) {
            this.process.kill(signal);
            const timer = setTimeout(() => this.process.kill('SIGKILL'), 15000);
            await this.exited;
            clearTimeout(timer);
        }
        const ms = Date.now() - start;
        await until('the children are gone', () => !pids.some(alive), 5000);
        this.backend.close();
        return { ...this.exit, ms };
    }

    // stop() and away with the directory; for t.after(). Throws when the log tells of a bug of ours.
    async dispose() {
        await this.stop();
        fs.rmSync(this.directory, { recursive: true, force: true });
        if (/Sanitizer|runtime error|invariant-broken/.test(this.log)) {
            throw new Error(`the server's log tells of a bug:\n${this.log}`);
        }
    }
}

// A server for `work(server, backend)`, gone afterwards; it must have lived until then.
async function withServer(config, work, options) {
    const server = await Server.start(config, options);
    try {
        await work(server, server.backend);
        if (server.exit) {
            throw new Error(`msgserverd ended by itself: ${JSON.stringify(server.exit)}`);
        }
    } finally {
        await server.dispose();
    }
}

// One request to the client listener: {status, headers, body}.
function get(url, options = {}) {
    return new Promise((resolve, reject) => {
        const request = http.request(url, options, (response) => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', (data) => { body += data; });
            response.on('error', reject);
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
        });
        request.on('error', reject);
        request.end(options.body);
    });
}

module.exports = { BUILD, OBEDIENT, SANITIZED, Server, alive, children, freePort, get, withServer };
