'use strict';
// What is known of one session's mailbox: what was sent there, what became of it, and what its client got.

const { Violation } = require('../model');

const HISTORY = 80;
const REFUSALS = ['hostGone', 'overLimit', 'noSession', 'invalidSessionKey'];

class Session {
    // slot: the host where its mailbox is
    constructor(name, slot, key) {
        Object.assign(this, { name, slot, key });
        this.messages = new Map(); // by text: {text, state: open, queued or refused; id, after, key, arrivedAt}
        this.ids = new Map(); // texts, by ID
        this.received = new Set(); // IDs
        this.highest = 0; // the client has everything up to it
        this.lastId = 0; // the highest one known to be stored
        this.floor = 0; // everything up to it was said to be confirmed
        this.asked = 0; // and asked to be
        this.over = false;
        this.attachments = new Set();
        this.registered = true;
        this.history = [];
        this.onMessage = () => {};
    }

    note(text) {
        this.history.push(`${new Date().toISOString().slice(14, 23)} ${text}`);
        this.history = this.history.slice(-HISTORY);
    }

    expect(condition, message) {
        if (!condition) {
            throw new Violation(`${this.name}: ${typeof message === 'function' ? message() : message}`, this);
        }
    }

    // --- senders ---

    // more: {key: idempotency key, broadcast}
    begin(text, more = {}) {
        const message = { text, state: 'open', id: 0, after: this.lastId, arrivedAt: 0, ...more };
        this.messages.set(text, message);
        return message;
    }

    queued(message, id) {
        this.expect(message.id === 0 || message.id === id, () => `${message.text} was said to be ID ${id}, and came as ${message.id}`);
        this.expect(id > message.after, () => `${message.text} got ID ${id}; ${message.after} was there before it was sent`);
        message.state = 'queued';
        this.place(message, id);
    }

    refused(message, outcome) {
        this.expect(REFUSALS.includes(outcome), () => `${message.text}: outcome ${outcome}`);
        this.expect(outcome !== 'noSession' && outcome !== 'invalidSessionKey', () => `${message.text}: ${outcome}, but the session lives`);
        this.expect(message.id === 0, () => `${message.text} was refused (${outcome}), and came as ID ${message.id}`);
        message.state = `refused (${outcome})`;
    }

    place(message, id) {
        const there = this.ids.get(id);
        this.expect(there === undefined || there === message.text, () => `ID ${id} is of ${there} and of ${message.text}`);
        message.id = id;
        this.ids.set(id, message.text);
        this.lastId = Math.max(this.lastId, id);
    }

    // --- what Attachment (../clients.js) tells and asks ---

    confirming(id) {
        this.asked = Math.max(this.asked, id);
    }

    confirmedTo(id) {
        this.floor = Math.max(this.floor, id);
    }

    get floors() {
        return [this.floor, this.asked];
    }

    mayStartAt(id, floor) {
        return id > floor && id <= this.asked + 1;
    }

    delivered(id, text) {
        const message = this.messages.get(text);
        this.expect(text.includes(`"to":"${this.name}"`) || text.includes('"all":'), () => `misrouted: ${text} came as ID ${id}`);
        this.expect(message, () => `${text} came as ID ${id}, and was never sent here`);
        this.expect(!message.state.startsWith('refused'), () => `${text} came as ID ${id}, and was ${message.state}`);
        this.expect(message.id === 0 || message.id === id, () => `${text} came as ID ${id}, and is ${message.id}`);
        this.place(message, id);
        message.arrivedAt = message.arrivedAt || Date.now();
        this.received.add(id);
        while (this.received.has(this.highest + 1)) {
            this.highest += 1;
        }
        this.onMessage(message);
    }

    // --- comparison ---

    // record: the home's; before: what was known when it was asked for
    compare(record, before) {
        this.expect(record.lastId >= before.lastId, () => `lastId is ${record.lastId}, and ${before.lastId} was stored: ${this.ids.get(before.lastId)}`);
        this.expect(record.confirmed >= before.floor, () => `confirmed is ${record.confirmed}, and was ${before.floor}`);
        this.expect(record.confirmed <= this.asked, () => `confirmed is ${record.confirmed}, and at most ${this.asked} was asked for`);
        this.confirmedTo(record.confirmed);
    }

    get lacks() {
        return this.highest < this.lastId ? `${this.name} has everything up to ${this.highest} of ${this.lastId}` : null;
    }

    // What is confirmed and known needs no memory.
    forget() {
        for (const [text, message] of this.messages) {
            if (message.id > 0 && message.id <= this.floor - 20 && message.state === 'queued') {
                this.messages.delete(text);
                this.ids.delete(message.id);
                this.received.delete(message.id);
            } else if (message.state.startsWith('refused') && this.messages.size > 2000) {
                this.messages.delete(text);
            }
        }
    }

    toString() {
        const left = [...this.messages.values()].filter(({ id, state }) => id === 0 || id > this.highest || state === 'open').slice(-20)
            .map(({ text, state, id }) => `    ${text} ${state}${id ? ` ID ${id}` : ''}`);
        return [`${this.key} at ${this.slot.name}: lastId ${this.lastId}, client has up to ${this.highest}, confirmed ${this.floor}, asked ${this.asked}; `
            + `clients [${[...this.attachments]}]`, ...left, '    --- history', ...this.history.map((line) => `    ${line}`)].join('\n');
    }
}

module.exports = { Session };
