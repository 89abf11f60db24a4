'use strict';
// A real ZooKeeper server of Debian's package (zookeeper.sh starts it), and a client of it that was
// not written here.

const { execFile, execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const client = require('node-zookeeper-client');

const SCRIPT = path.resolve(__dirname, '../zookeeper.sh');
const PARENT = '/mage/mmrp/tcp';
const JAR = '/usr/share/java/zookeeper.jar';

// Why there is no ZooKeeper to test with, or false.
function missing() {
    try {
        execFileSync('java', ['-version'], { stdio: 'ignore' });
    } catch (error) {
        return 'java is not installed';
    }
    return fs.existsSync(JAR) ? false : `${JAR} is not installed (apt install zookeeper)`;
}

const promised = (call) => new Promise((resolve, reject) => {
    call((error, ...values) => (error ? reject(error) : resolve(values)));
});

class ZooKeeper {
    // options: {host, netns (runs there), tick (ms: sessions last from 2 to 20 ticks),
    // ensemble (lines "server.N=HOST:PORT:PORT" of all its members), id (which of them it is)}
    static async start(options = {}) {
        const zookeeper = new ZooKeeper(options);
        await zookeeper.start();
        return zookeeper;
    }

    constructor(options = {}) {
        this.options = options;
        this.host = options.host || '127.0.0.1';
        this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-zookeeper.'));
        this.announcer = null; // the connection whose session the announcements of tests belong to
    }

    run(command, ...args) {
        const prefix = this.options.netns ? ['ip', 'netns', 'exec', this.options.netns] : [];
        const [file, ...rest] = [...prefix, SCRIPT, command, this.directory, ...args];
        return new Promise((resolve, reject) => {
            const { tick = 200, ensemble = [], id = '' } = this.options;
            const env = {
                ...process.env, TICK_MS: String(tick), OWNER_PID: String(process.pid), ENSEMBLE: ensemble.join('\n'), SERVER_ID: String(id),
            };
            execFile(file, rest, { env },
                (error, stdout, stderr) => (error ? reject(new Error(`${error.message}\n${stderr}`)) : resolve(stdout)));
        });
    }

    // Also starts a stopped server again, on its port. `port`: of the first start, any by default.
    async start(port = '') {
        this.port = Number((await this.run('start', this.port || port, this.host)).split(' ')[0]);
    }

    stop() {
        return this.run('stop');
    }

    wipe() {
        return this.run('wipe');
    }

    pause() {
        return this.run('pause');
    }

    resume() {
        return this.run('resume');
    }

    get hosts() {
        return `${this.host}:${this.port}`;
    }

    connect() {
        return new Promise((resolve, reject) => {
            const connection = client.createClient(this.hosts, { sessionTimeout: 4000, retries: 0 });
            const timer = setTimeout(() => {
                connection.close();
                reject(new Error(`ZooKeeper at ${this.hosts} does not answer`));
            }, 5000);
            connection.once('connected', () => {
                clearTimeout(timer);
                resolve(connection);
            });
            connection.connect();
        });
    }

    async with(work) {
        const connection = await this.connect();
        try {
            return await work(connection);
        } finally {
            connection.close();
        }
    }

    // All announcements: {name: {data (parsed JSON), ephemeral}}; none when there is not even a parent.
    nodes() {
        return this.with(async (connection) => {
            const found = {};
            let names = [];
            try {
                [names] = await promised((done) => connection.getChildren(PARENT, done));
            } catch (error) {
                if (error.getCode && error.getCode() === client.Exception.NO_NODE) {
                    return found;
                }
                throw error;
            }
            for (const name of names) {
                const [data, stat] = await promised((done) => connection.getData(`${PARENT}/${name}`, done));
                found[name] = {
                    data: JSON.parse(data.toString()),
                    ephemeral: !stat.ephemeralOwner.equals(Buffer.alloc(8)),
                };
            }
            return found;
        });
    }

    // The bytes of an announcement.
    data(name) {
        return this.with(async (connection) =>
            (await promised((done) => connection.getData(`${PARENT}/${name}`, done)))[0]);
    }

    // Removes an announcement, whosever it is.
    remove(name) {
        return this.with((connection) => promised((done) => connection.remove(`${PARENT}/${name}`, done)));
    }

    // An ephemeral node with any name and bytes; resolves with a function that withdraws it.
    async put(name, data) {
        this.announcer = this.announcer || this.connect();
        const connection = await this.announcer;
        const path = `${PARENT}/${name}`;
        await promised((done) => connection.mkdirp(PARENT, done));
        await promised((done) => connection.create(path, Buffer.from(data), client.CreateMode.EPHEMERAL, done));
        return () => promised((done) => connection.remove(path, done));
    }

    // Announces a host as MAGE does, or with a public key as ours do; resolves with a function that
    // withdraws it. `name` is the node's; its cluster ID is the same unless it has another.
    announce(name, { ips, game, version, clusterId = name, publicKey, timestamp = Date.now() }) {
        return this.put(name, JSON.stringify({ ips, data: { game, version, clusterId, timestamp, publicKey } }));
    }

    async dispose() {
        if (this.announcer) {
            (await this.announcer).close();
        }
        await this.run('stop');
        fs.rmSync(this.directory, { recursive: true, force: true });
    }
}

module.exports = { ZooKeeper, missing };
