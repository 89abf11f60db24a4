'use strict';
// A phone: clients in a process of its own, in another network namespace, steered from the test.
//   const phone = new Phone(netns);
//   phone.connect(id, transport, url, key)   phone.confirm(id, ids)   phone.dispose()
//   phone.received.get(id): the highest message ID that client `id` has
//   phone.ends.get(id): how its connection ended

const { spawn } = require('child_process');
const readline = require('readline');
const { Inbox, newClient } = require('./clients');

class Phone {
    constructor(netns) {
        this.received = new Map();
        this.errors = [];
        this.ends = new Map();
        this.process = spawn('ip', ['netns', 'exec', netns, process.execPath, __filename],
            { stdio: ['pipe', 'pipe', 'inherit'] });
        this.exited = new Promise((resolve) => { this.process.on('exit', resolve); });
        readline.createInterface({ input: this.process.stdout }).on('line', (line) => {
            const { id, highest, error, end } = JSON.parse(line);
            if (error) {
                this.errors.push(error);
            } else if (end) {
                this.ends.set(id, end);
            } else {
                this.received.set(id, highest);
            }
        });
    }

    tell(order) {
        this.process.stdin.write(`${JSON.stringify(order)}\n`);
    }

    connect(id, transport, url, key) {
        this.received.set(id, 0);
        this.tell({ id, transport, url, key });
    }

    confirm(id, ids) {
        this.tell({ id, ids });
    }

    async dispose() {
        this.process.stdin.end();
        await this.exited;
    }
}

function serve() {
    const clients = new Map();
    const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
    const connect = ({ id, transport, url, key }) => {
        const inbox = new Inbox();
        const client = newClient(transport, url, key, {
            onPack: (pack, text) => {
                try {
                    inbox.take(pack, text);
                    say({ id, highest: inbox.highest });
                } catch (error) {
                    say({ id, error: error.message });
                }
            },
            onEnd: (...end) => say({ id, end: end.map(String).join(' ') || 'closed' }),
        });
        clients.set(id, client);
        client.connect();
    };
    const input = readline.createInterface({ input: process.stdin });
    input.on('line', (line) => {
        const order = JSON.parse(line);
        if (order.ids) {
            clients.get(order.id).confirm(order.ids);
        } else {
            connect(order);
        }
    });
    input.on('close', () => process.exit(0));
}

if (require.main === module) {
    serve();
} else {
    module.exports = { Phone };
}
