'use strict';
// One connection of one session's client, by any transport. It hands each message to the model, and
// checks the order: IDs ascend by one, from the lowest unconfirmed on.

const http = require('http');
const WebSocket = require('../integration/node_modules/ws');
const { Violation } = require('./model');

const TRANSPORTS = ['websocket', 'sse', 'longpolling', 'shortpolling'];
// After this, a relay's death is no excuse for a message that comes again.
const REPEAT_LIMIT_MS = 10000;
// A long poll ends by itself after 45 s.
const POLL_MS = 40000;
// Answers and close codes by which the server says that it, or we, failed.
const FAILURES = [400, 404, 431, 500, 503, 1002, 1003, 1007, 1008, 1009, 1011];
const SUPERSEDED = { websocket: [4001], sse: ['end of stream'], longpolling: [200, 204], shortpolling: [200, 204] };
const nothing = () => {};
let attachments = 0;

class Attachment {
    // options: {confirm: an ID that the request confirms, tooMuch: one that the session never had,
    // onViolation(error), onEnd(attachment)}
    constructor(transport, url, session, options) {
        Object.assign(this, { transport, session, options });
        attachments += 1;
        this.name = `${transport}#${attachments}`;
        this.url = url;
        this.next = 0; // the ID that is due; 0: the first was not received yet
        this.last = 0; // the highest ID so far
        this.messages = 0;
        this.bytes = 0;
        this.repeats = []; // {at, floor}: deaths of the relay, each good for one new beginning
        this.floor = session.floor;
        this.early = !session.registered;
        this.end = null; // why it is over: a close code, a status, or text
        this.unset = null;
        this.left = false; // by us
        this.openedAt = Date.now();
        this.confirmed = options.confirm || 0; // the last confirmation on this connection
        session.attachments.add(this);
        session.newest = this;
        if (options.confirm) {
            session.confirming(options.confirm);
        }
        this.start();
    }

    static open(transport, ...rest) {
        return new CLASSES[transport](transport, ...rest);
    }

    get parameters() {
        const ids = this.options.tooMuch || this.confirmsInQuery;
        return { sessionKey: this.session.key, ...(ids ? { confirmIds: ids } : {}) };
    }

    get confirmsInQuery() {
        return this.options.confirm;
    }

    target(more) {
        return `${this.url}?${new URLSearchParams({ ...this.parameters, ...more })}`;
    }

    ended(reason) {
        if (this.end === null) {
            this.end = reason;
            this.session.attachments.delete(this);
            this.session.events += 1;
            this.options.onEnd(this);
        }
    }

    // What arrives is judged at once; a wrong message is told to the instance.
    take(text) {
        try {
            const pack = JSON.parse(text); // has its IDs in order, whatever the text has
            this.session.expect(JSON.stringify(pack) === text, () => `${this}: IDs do not ascend: ${text.slice(0, 200)}`);
            this.takePack(pack);
        } catch (error) {
            this.options.onViolation(error instanceof Violation ? error : new Violation(`${this}: ${error.message}: ${text.slice(0, 200)}`, this.session));
        }
    }

    takePack(pack) {
        for (const [name, body] of Object.entries(pack)) {
            if (name === '0') {
                [[, this.unset]] = body;
            } else {
                this.takeMessage(Number(name), JSON.stringify(body));
            }
        }
    }

    takeMessage(id, text) {
        const { session } = this;
        this.checkOrder(id);
        session.delivered(id, text);
        if (this.messages === 0) {
            this.answered();
        }
        this.last = Math.max(this.last, id);
        this.messages += 1;
        this.bytes += text.length;
    }

    checkOrder(id) {
        const { session, next } = this;
        if (id !== next) {
            const since = next > 0 ? this.takeRepeat(id) : Math.max(this.floor, this.options.confirm || 0);
            session.expect(since !== null && session.mayStartAt(id, since), () => `${this}: ID ${id} came where ${next || 'the first'} was due; `
                + `everything is confirmed to ${session.floors.join(' or ')}`);
        }
        this.next = id + 1;
    }

    // When the relay dies, a stream that lives on is given all that is unconfirmed once more.
    relayDied() {
        this.repeats.push({ at: Date.now(), floor: this.session.floor });
    }

    takeRepeat(id) {
        this.repeats = this.repeats.filter(({ at }) => Date.now() - at < REPEAT_LIMIT_MS);
        return id < this.next && this.repeats.length > 0 ? this.repeats.shift().floor : null;
    }

    // The relay has seen this attachment, and what it confirms.
    answered() {
        if (this.options.confirm) {
            this.session.confirmedTo(this.options.confirm);
        }
        this.session.heldAt = Math.max(this.session.heldAt, this.openedAt);
    }

    // What is still to come on this connection, when the server's view is `record`; or null.
    awaits(record) {
        if (this.opening) {
            return 'the handshake';
        }
        if (this.isStream ? record.pending > 0 && this.last < record.lastId : record.pending > 0 || this.transport === 'shortpolling') {
            return this.isStream ? `message ${record.lastId}, has ${this.last}` : 'an answer';
        }
        const { sure } = this.session.between(this.confirmed);
        return record.confirmed < this.session.confirmed + sure - this.session.ahead ? `the confirmation of ${this.confirmed}` : null;
    }

    // What is wrong with the way it ended; or null. `disturbed`: there was a fault in this step.
    judge({ disturbed, sessions, limits }) {
        if (FAILURES.includes(this.end)) {
            return 'the server failed';
        }
        if (this.unset) {
            return sessions.includes(this.session) && !this.early ? `told ${this.unset}, but the session lives` : null;
        }
        if (this.left || disturbed) {
            return null;
        }
        if (this.session.newest !== this) {
            return SUPERSEDED[this.transport].includes(this.end) ? null : `superseded, and ended with ${this.end}`;
        }
        return this.mayEndByItself(limits) ? null : 'it ended, and nothing was done to it';
    }

    mayEndByItself(limits) {
        if (this.transport === 'sse') {
            return this.messages >= limits.mailboxMessages / 2;
        }
        if (this.transport === 'longpolling') {
            return this.end === 200 ? this.messages > 0 : this.end === 204 && Date.now() - this.openedAt > POLL_MS;
        }
        return this.transport === 'shortpolling' && this.end === (this.messages > 0 ? 200 : 204);
    }

    get opening() {
        return false;
    }

    get isStream() {
        return this.transport === 'websocket' || this.transport === 'sse';
    }

    toString() {
        return `${this.name}${this.end === null ? '' : ` (over: ${this.end})`}`;
    }
}

class WebSocketAttachment extends Attachment {
    start() {
        this.socket = new WebSocket(this.target({}).replace(/^http/, 'ws'), { perMessageDeflate: false });
        this.socket.on('message', (data) => this.end === null && this.take(data.toString()));
        this.socket.on('error', nothing); // told by 'close'
        this.socket.on('close', (code) => this.ended(code));
    }

    get opening() {
        return this.socket.readyState === WebSocket.CONNECTING;
    }

    get canConfirm() {
        return this.end === null && !this.left && this.socket.readyState === WebSocket.OPEN;
    }

    confirm(id) {
        this.session.confirming(id);
        this.confirmed = Math.max(this.confirmed, id);
        this.socket.send(String(id));
    }

    leave(abruptly) {
        this.left = true;
        if (abruptly || this.socket.readyState !== WebSocket.OPEN) {
            this.socket.terminate();
        } else {
            this.socket.close();
        }
    }
}

class HttpAttachment extends Attachment {
    start() {
        this.request = http.get(this.target({ transport: this.transport }), { agent: false, headers: this.headers }, (response) => {
            response.setEncoding('utf8');
            response.on('error', nothing); // told by 'close'
            this.follow(response);
        });
        this.request.on('error', (error) => this.ended(error.code || error.message));
    }

    get headers() {
        return {};
    }

    get canConfirm() {
        return false;
    }

    leave() {
        this.left = true;
        this.request.destroy();
        this.ended('left');
    }
}

class EventStreamAttachment extends HttpAttachment {
    // As a browser does: what the last connection brought is confirmed by the next one's Last-Event-ID.
    get headers() {
        return this.options.confirm ? { 'last-event-id': String(this.options.confirm) } : {};
    }

    get confirmsInQuery() {
        return 0;
    }

    follow(response) {
        let input = '';
        response.on('data', (text) => {
            input += text;
            const events = input.split('\n\n');
            input = events.pop();
            events.forEach((event) => this.event(event));
        });
        response.on('close', () => this.ended(response.statusCode === 200 ? 'end of stream' : response.statusCode));
    }

    event(text) {
        const data = text.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim());
        if (data.length > 0 && this.end === null) {
            this.take(data.join('\n'));
        }
    }
}

class PollAttachment extends HttpAttachment {
    follow(response) {
        let body = '';
        response.on('data', (text) => { body += text; });
        response.on('close', () => {
            if (this.end !== null) {
                return;
            }
            if (!response.complete) {
                this.ended('cut off');
                return;
            }
            if (response.statusCode === 200) {
                this.take(body);
            }
            this.ended(response.statusCode);
        });
    }
}

const CLASSES = {
    websocket: WebSocketAttachment,
    sse: EventStreamAttachment,
    longpolling: PollAttachment,
    shortpolling: PollAttachment,
};

module.exports = { Attachment, TRANSPORTS };
