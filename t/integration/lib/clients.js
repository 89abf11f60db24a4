'use strict';
// Clients of the four transports with one face: they receive packs, confirm, and leave.
//   newClient(transport, url, key, {onPack(pack, text, eventId), onEnd(reason)})
//   connect() (resolves when the attempt is decided)   confirm(ids)   close(abruptly)

const http = require('http');
const WebSocket = require('ws');
const EventSource = require('eventsource');

const query = (parameters) => new URLSearchParams(parameters).toString();
const nothing = () => {};

class WebSocketClient {
    constructor(url, key, handlers) {
        this.url = `${url.replace(/^http/, 'ws')}?${query({ sessionKey: key })}`;
        this.handlers = handlers;
    }

    connect() {
        this.socket = new WebSocket(this.url);
        this.socket.on('message', (data) => this.handlers.onPack(JSON.parse(data.toString()), data.toString()));
        this.socket.on('error', nothing);
        this.socket.on('close', (code, reason) => this.handlers.onEnd(code, reason.toString()));
        return new Promise((resolve) => {
            this.socket.once('open', resolve);
            this.socket.once('close', resolve);
        });
    }

    confirm(ids) {
        if (this.socket.readyState === WebSocket.OPEN) {
            this.socket.send(ids.join(','));
        }
    }

    // Politely, or like a phone in a tunnel.
    close(abruptly) {
        this.socket.removeAllListeners('message');
        if (abruptly) {
            this.socket.terminate();
        } else {
            this.socket.close();
        }
    }
}

// An event stream has no way back: what was received is confirmed by the next connection, as a
// browser does by Last-Event-ID, or by a poll.
class EventStreamClient {
    constructor(url, key, handlers) {
        this.url = url;
        this.key = key;
        this.handlers = handlers;
        this.received = [];
    }

    connect() {
        const { url, key, handlers } = this;
        this.source = new EventSource(`${url}?${query({ transport: 'sse', sessionKey: key })}`);
        this.source.onmessage = (event) => handlers.onPack(JSON.parse(event.data), event.data, event.lastEventId);
        return new Promise((resolve) => {
            this.source.onopen = resolve;
            this.source.onerror = (error) => {
                resolve();
                handlers.onEnd(error.status);
            };
        });
    }

    confirm(ids) {
        this.received.push(...ids);
    }

    close() {
        this.source.close();
    }
}

class PollClient {
    constructor(url, key, handlers, transport) {
        Object.assign(this, { url, key, handlers, transport });
        this.received = [];
        this.closed = false;
        this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    }

    connect() {
        this.poll();
        return Promise.resolve();
    }

    poll() {
        const parameters = { transport: this.transport, sessionKey: this.key };
        if (this.received.length > 0) {
            parameters.confirmIds = this.received.join(',');
            this.received = [];
        }
        this.request = http.get(`${this.url}?${query(parameters)}`, { agent: this.agent }, (response) => {
            let body = '';
            response.setEncoding('utf8');
            response.on('data', (data) => { body += data; });
            response.on('error', nothing);
            response.on('end', () => this.answered(response, body));
        });
        this.request.on('error', () => this.again(50));
    }

    answered(response, body) {
        if (this.closed || !response.complete) {
            return;
        }
        if (response.statusCode === 200) {
            this.handlers.onPack(JSON.parse(body), body);
        } else if (response.statusCode !== 204) {
            this.handlers.onEnd(response.statusCode, body);
            return;
        }
        this.again(this.transport === 'shortpolling' ? 50 : 0);
    }

    again(after) {
        if (!this.closed) {
            clearTimeout(this.timer);
            this.timer = setTimeout(() => !this.closed && this.poll(), after);
        }
    }

    confirm(ids) {
        this.received.push(...ids);
    }

    close() {
        this.closed = true;
        clearTimeout(this.timer);
        this.request.destroy();
        this.agent.destroy();
    }
}

const TRANSPORTS = {
    websocket: WebSocketClient,
    sse: EventStreamClient,
    longpolling: PollClient,
    shortpolling: PollClient,
};

function newClient(transport, url, key, handlers) {
    return new TRANSPORTS[transport](url, key, { onEnd: nothing, ...handlers }, transport);
}

// Checks, for one session over all its connections: no ID is missing, none is out of order within a
// pack, and every ID has one body for ever.
class Inbox {
    constructor() {
        this.bodies = new Map();
        this.highest = 0;
        this.duplicates = 0;
        this.unset = null;
    }

    // Returns the IDs that the pack brought; throws on a broken promise.
    take(pack, text) {
        const ids = [];
        let previous = 0;
        for (const [name, body] of Object.entries(pack)) {
            const id = Number(name);
            if (id === 0) {
                [, this.unset] = body[0];
                continue;
            }
            if (previous > 0 && id !== previous + 1) {
                throw new Error(`IDs are no ascending run: ${text.slice(0, 200)}`);
            }
            if (id > this.highest + 1) {
                throw new Error(`ID ${id} came, but ${this.highest + 1} never did`);
            }
            this.keep(id, JSON.stringify(body));
            previous = id;
            ids.push(id);
        }
        return ids;
    }

    keep(id, bytes) {
        if (this.bodies.has(id)) {
            this.duplicates += 1;
            if (this.bodies.get(id) !== bytes) {
                throw new Error(`ID ${id} had another body before`);
            }
        }
        this.bodies.set(id, bytes);
        this.highest = Math.max(this.highest, id);
    }
}

module.exports = { Inbox, TRANSPORTS: Object.keys(TRANSPORTS), newClient };
