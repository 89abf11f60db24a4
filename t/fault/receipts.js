'use strict';
// Receipts: each message that asked for one gets exactly one, and a reader who goes on from its cursor
// misses none and sees none twice, whatever is killed meanwhile.

const { expect } = require('./model');

const PAGE = 500;

class Receipts {
    constructor() {
        this.cursor = null;
        this.number = 0; // of the last one
        this.asked = new Map(); // sends that lack some, by tag and session key
        this.seen = new Set(); // tag, session key and ID
    }

    ask(send) {
        this.asked.set(`${send.options.receipt} ${send.session.key}`, send);
    }

    // Reads what is new, and checks that nothing is missing.
    async compare(world) {
        for (;;) {
            const after = this.cursor ? `&after=${this.cursor}` : '';
            const answer = await world.call('GET', `/receipts?limit=${PAGE}${after}`);
            expect(answer && answer.status === 200 && answer.body.lost === 0, () => `receipts after ${this.cursor}: ${answer && answer.text}`);
            answer.body.receipts.forEach((receipt) => this.take(receipt));
            this.cursor = answer.body.receipts.length > 0 ? answer.body.cursor : this.cursor;
            if (answer.body.receipts.length < PAGE) {
                break;
            }
        }
        this.checkComplete(world);
    }

    take(receipt) {
        const number = Number(receipt.cursor.split('-')[1]);
        const name = `${receipt.receipt} ${receipt.to} ${receipt.id}`;
        expect(number === this.number + 1, () => `receipt ${number} came after ${this.number}`);
        this.number = number;
        expect(!this.seen.has(name), () => `a second receipt: ${JSON.stringify(receipt)}`);
        this.seen.add(name);
        const send = this.asked.get(`${receipt.receipt} ${receipt.to}`);
        expect(send, () => `a receipt that nobody asked for: ${JSON.stringify(receipt)}`);
        send.receipts += 1;
        send.session.expect(this.isPossible(receipt, send), () => `a receipt that cannot be: ${JSON.stringify(receipt)}, ${send.first}`);
    }

    isPossible({ id, outcome }, send) {
        const { session } = send;
        if (send.first > 0 && (id < send.first || id >= send.first + send.texts.length)) {
            return false;
        }
        switch (outcome) {
        case 'confirmed':
            return id <= session.floor || session.isOver || session.wanted.size > 0;
        case 'expired':
            return send.mayVanish;
        case 'replaced':
            return send.options.replaceKey !== undefined;
        case 'overLimit':
            return session.policy.dropOldest === true;
        default:
            return session.isOver && session.causes.some((cause) => outcome === `session${cause[0].toUpperCase()}${cause.slice(1)}`);
        }
    }

    // What is confirmed, or gone with its session, has its receipt at once.
    checkComplete(world) {
        for (const [name, send] of this.asked) {
            const { session, first, texts } = send;
            const settled = first > 0 && (session.isOver || (session.wanted.size === 0 && first + texts.length - 1 <= session.floor));
            const lacks = settled && send.receipts < texts.length;
            session.expect(!lacks, () => `${name} (ID ${first}) is settled, and has ${send.receipts} receipts of ${texts.length}`);
            if (settled || (first === 0 && (session.isOver || (!session.open.has(texts[0]) && world.calm)))) {
                this.asked.delete(name);
            }
        }
    }
}

module.exports = { Receipts };
