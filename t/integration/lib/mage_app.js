'use strict';
// What MAGE 1.6 does with the envelopes of its relay: mailboxes of its own sessions, and the clients
// of its workers. It reads as much of an envelope as MAGE does: the first two messages of a connect,
// the first of a disconnect.
//
//   const app = new MageApp(host);                 // a MageHost
//   app.mailbox('sess/bob:key');                   // a session made here; app.send(address, body)
//   const client = app.client(address, 'never');   // one of its workers' clients, of any host's session

const ids = (map) => [...map.keys()].map(String);

class MageApp {
    constructor(host) {
        this.host = host;
        this.mailboxes = new Map(); // address → {last (ID), waiting: ID → body, style, route or null}
        this.clients = new Map(); // worker → its client
        this.workers = 0;
        this.broadcasts = [];
        this.adopt();
    }

    // The host's peer from now on: also that of a new process, which has the mailboxes that the old one
    // stored, but knows of no clients.
    adopt() {
        this.mailboxes.forEach((mailbox) => { mailbox.route = null; });
        this.clients.clear();
        this.host.peer.onEnvelope = (envelope) => this.take(envelope);
        this.host.peer.envelopes.splice(0).forEach((envelope) => this.take(envelope));
    }

    mailbox(address) {
        const mailbox = { last: 0, waiting: new Map(), style: 'never', route: null };
        this.mailboxes.set(address, mailbox);
        return mailbox;
    }

    send(address, ...bodies) {
        const mailbox = this.mailboxes.get(address);
        bodies.forEach((body) => mailbox.waiting.set(mailbox.last += 1, body));
        this.deliver(address, mailbox);
    }

    // To all mailboxes here, and to every peer.
    broadcast(body) {
        [...this.mailboxes.keys()].forEach((address) => this.send(address, body));
        return this.host.peer.send([this.host.ours, '*:c'], [body], 'msgServer.broadcast', { track: true });
    }

    // All that is unconfirmed goes out again with each new message.
    deliver(address, mailbox) {
        if (!mailbox.route || (mailbox.waiting.size === 0 && mailbox.style !== 'always')) {
            return;
        }
        const route = mailbox.route;
        if (mailbox.style !== 'never') {
            mailbox.route = null;
        }
        const messages = [...mailbox.waiting].flatMap(([id, body]) => [String(id), body]);
        this.host.peer.send(route, [address, ...messages], 'msgServer.messagepack').catch(() => {});
    }

    // One of its workers' clients.
    client(address, style) {
        this.workers += 1;
        const client = new MageClient(this, `${this.host.id}:${4000 + this.workers}:0`, address, style);
        this.clients.set(client.worker, client);
        return client;
    }

    take({ route, messages, returnRoute, type }) {
        const [first, second] = messages.map(String);
        const mailbox = this.mailboxes.get(first);
        const client = this.clients.get(route[0]);
        switch (type) {
        case 'msgServer.connect':
            if (mailbox) {
                Object.assign(mailbox, { style: second, route: returnRoute });
                this.deliver(first, mailbox);
            } else {
                this.host.peer.send(returnRoute, [first], 'msgServer.hostGone').catch(() => {});
            }
            break;
        case 'msgServer.disconnect':
            if (mailbox) {
                mailbox.route = null;
            }
            break;
        case 'msgServer.confirm': {
            const { msgIds, address } = JSON.parse(first);
            const confirmed = this.mailboxes.get(address);
            msgIds.forEach((id) => confirmed && confirmed.waiting.delete(Number(id)));
            break;
        }
        case 'msgServer.send':
            if (mailbox) {
                this.send(first, ...messages.slice(1).map(String));
            }
            break;
        case 'msgServer.broadcast':
            this.broadcasts.push(first);
            [...this.mailboxes.keys()].forEach((address) => this.send(address, first));
            break;
        case 'msgServer.messagepack':
            if (client) {
                client.pack(messages.slice(1).map(String));
            }
            break;
        case 'msgServer.hostGone':
            if (client) {
                client.gone = true;
            }
            break;
        case 'mmrp.sendError':
            if (client && second === 'msgServer.connect') {
                client.gone = true;
            }
            break;
        default:
        }
    }
}

class MageClient {
    constructor(app, worker, address, style) {
        Object.assign(this, { app, worker, address, style });
        this.seen = new Map(); // ID → body, each once
        this.unconfirmed = new Map();
        this.packs = 0;
        this.repeats = 0;
        this.gone = false;
        this.closed = false;
    }

    say(messages, type, track) {
        const { peer, ours } = this.app.host;
        return peer.send([ours], messages, type, track ? { returnRoute: [this.worker] } : {}).catch(() => {});
    }

    connect() {
        return this.say([this.address, this.style], 'msgServer.connect', true);
    }

    confirm() {
        const message = JSON.stringify({ msgIds: ids(this.unconfirmed), address: this.address });
        this.unconfirmed.clear();
        return this.say([message], 'msgServer.confirm');
    }

    disconnect() {
        this.closed = true;
        return this.say([this.address], 'msgServer.disconnect');
    }

    // A poll asks again, and its confirmation goes first.
    pack(messages) {
        this.packs += 1;
        for (let i = 0; i < messages.length; i += 2) {
            const id = Number(messages[i]);
            this.repeats += this.seen.has(id) ? 1 : 0;
            this.seen.set(id, messages[i + 1]);
            this.unconfirmed.set(id, messages[i + 1]);
        }
        if (this.closed) {
            return;
        }
        if (this.unconfirmed.size > 0) {
            this.confirm();
        }
        if (this.style === 'ondelivery') {
            this.connect();
        } else if (this.style === 'always') {
            setTimeout(() => !this.closed && this.connect(), 20);
        }
    }
}

module.exports = { MageApp };
