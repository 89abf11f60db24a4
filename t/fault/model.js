'use strict';
// What one session's mailbox must hold, as far as the server's answers and deliveries told.
//
// A send that was cut off by a kill stays open: the session's lastId then says how many messages such
// sends left there, and the first delivery says which. A confirmation that was cut off leaves several
// floors possible (everything up to the floor is confirmed) until a figure or a delivery decides.

// Of one clock, read by two programs.
const CLOCK_SLACK_MS = 20;
// So late may the last client still get a message whose time is over, which was under way.
const VANISH_LIMIT_MS = 2000;

class Violation extends Error {
    constructor(message, session) {
        super(message);
        this.session = session;
    }
}

const textOf = (message) => (typeof message === 'function' ? message() : message);

function expect(condition, message, session) {
    if (!condition) {
        throw new Violation(textOf(message), session);
    }
}

// Whether some of `sizes` make up `total`.
function isSumOfSome(sizes, total) {
    let sums = new Set([0]);
    for (const size of sizes) {
        sums = new Set([...sums, ...[...sums].map((sum) => sum + size)]);
    }
    return sums.has(total);
}

const isPlaceholder = (text) => text === '[]' || text.startsWith('[["mailbox.dropped"');
const shown = (text) => text.slice(0, 60);

// What one request gives to one session: all of its messages get IDs, or none.
class Send {
    // options: ttlMs, replaceKey, idempotencyKey, receipt, as they were asked for
    constructor(session, texts, options) {
        Object.assign(this, { session, texts, options });
        this.sentAt = Date.now();
        this.lastSentAt = this.sentAt; // when it was sent again
        this.after = session.lastId; // its IDs are above what was there before
        this.bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
        this.before = Infinity; // and not above what was there when its fate was decided
        this.first = 0;
        this.receipts = 0;
    }

    get mayVanish() {
        return this.options.ttlMs !== undefined && Date.now() + CLOCK_SLACK_MS >= this.sentAt + this.options.ttlMs;
    }

    get mustVanish() {
        return this.options.ttlMs !== undefined && Date.now() > this.lastSentAt + this.options.ttlMs + VANISH_LIMIT_MS;
    }
}

class Session {
    // policy: {dropOldest}
    constructor(key, actorId, ttlMs, policy = {}) {
        Object.assign(this, { key, actorId, ttlMs, policy });
        this.registered = false; // the request was answered, or its effect seen
        this.ends = []; // why it may be over: {cause: deleted or broken, sure}
        this.heldAt = Date.now(); // its TTL cannot have begun before
        this.lastId = 0;
        this.messages = new Map(); // by ID: {text, send, size, gone}
        this.open = new Map(); // sends under way or cut off, by the texts of their messages
        this.floor = 0;
        this.wanted = new Set(); // floors that confirmations under way or cut off may have made
        this.everWanted = new Set([0]);
        this.confirmed = 0; // as many are, by the last figure and what showed since
        this.unsureConfirmed = 0; // and as many more, which may have been dropped before
        this.ahead = 0; // of those above the floor, as many may be in the figure already
        this.dropped = 0;
        this.replaced = 0;
        this.pending = 0; // at the last look
        this.looks = 0;
        this.waiting = 0; // the same, with the IDs of dropped ones
        this.begun = 0; // messages sent since, and not refused
        this.attachments = new Set();
        this.events = 0; // messages and ends of clients: what was read before one says nothing of it
        this.received = 0; // the highest ID that any client has
        this.told = 0; // the most that a client was told to have missed for want of room
        this.causes = null; // why it is over, perhaps
        this.vanishing = false; // some of its messages have a time to live
    }

    expect(condition, message) {
        expect(condition, () => `${this.actorId}: ${textOf(message)}`, this);
    }

    // --- messages ---

    // What counts against the mailbox's limit: also the IDs of dropped messages, while a live one is before them.
    get mostWaiting() {
        return this.waiting + this.begun;
    }

    get openSends() {
        return [...new Set(this.open.values())];
    }

    begin(texts, options = {}) {
        const send = new Send(this, texts, options);
        texts.forEach((text) => this.open.set(text, send));
        this.begun += texts.length;
        this.vanishing = this.vanishing || options.ttlMs !== undefined;
        return send;
    }

    close(send) {
        send.texts.forEach((text) => this.open.delete(text));
    }

    place(send, first) {
        const last = first + send.texts.length - 1;
        this.expect(first > send.after && last <= send.before,
            () => `IDs ${first} to ${last} are of a send that began at ${send.after} and was decided at ${send.before}`);
        send.texts.forEach((text, i) => {
            const before = this.messages.get(first + i);
            this.expect(!before, () => `ID ${first + i} is of ${shown(before.text)} and of ${shown(text)}`);
            this.messages.set(first + i, { text, send, size: Buffer.byteLength(text), gone: false });
        });
        send.first = first;
        this.lastId = Math.max(this.lastId, last);
        this.close(send);
    }

    // A newer message with the same replace key takes the place of one that no client has.
    replace(send, id) {
        const before = this.messages.get(id);
        this.expect(before && !before.gone && before.send.options.replaceKey === send.options.replaceKey && id > this.received,
            () => `ID ${id} was replaced by ${shown(send.texts[0])}; it was ${before && shown(before.text)}, clients have ${this.received}`);
        this.messages.set(id, { text: send.texts[0], send, size: send.bytes, gone: false });
        this.replaced += 1;
        send.first = id;
        this.close(send);
    }

    replaces(send, id) {
        return send.options.replaceKey !== undefined && this.messages.has(id);
    }

    // The sender was told these IDs.
    stored(send, ids) {
        this.expect(ids.length === send.texts.length && ids.every((id, i) => id === ids[0] + i),
            () => `${send.texts.length} messages got the IDs ${ids}`);
        if (send.first === 0 && this.replaces(send, ids[0])) {
            this.replace(send, ids[0]);
        } else if (send.first === 0) {
            this.place(send, ids[0]);
        }
        this.expect(send.first === ids[0], () => `the sender was told ${ids}, and a client got ${send.first}`);
    }

    refused(send) {
        this.expect(send.first === 0, () => `refused, but delivered under ID ${send.first}`);
        this.begun -= send.texts.length;
        this.close(send);
    }

    // A client was given this body under this ID.
    delivered(id, text) {
        this.events += 1;
        const send = this.open.get(text);
        if (send && this.replaces(send, id)) {
            this.replace(send, id);
        } else if (send && !this.messages.has(id)) {
            this.place(send, id - send.texts.indexOf(text));
        }
        const message = this.messages.get(id);
        if (isPlaceholder(text)) {
            this.vanished(id, message, text);
        } else {
            this.expect(message, () => `ID ${id} brought what was never sent here, or was refused: ${shown(text)}`);
            this.expect(message.text === text, () => `ID ${id} is of ${shown(message.text)}, and came as ${shown(text)}`);
            // Of two connections, the newer may be heard first.
            this.expect((!message.gone || message.goneAt === this.looks) && !message.send.mustVanish, () => `ID ${id} came, but it was dropped, or its time is over`);
        }
        this.received = Math.max(this.received, id);
    }

    vanished(id, message, text) {
        this.expect(message ? message.gone || this.mayVanish(message) : this.unknownMayVanish,
            () => `ID ${id} came empty, and nothing may have dropped it`);
        if (text !== '[]') {
            this.told = Math.max(this.told, JSON.parse(text)[0][1].total);
        }
        if (message && !message.gone) {
            message.gone = true;
            message.goneAt = this.looks;
        }
    }

    get unknownMayVanish() {
        return this.policy.dropOldest || this.openSends.some((send) => send.mayVanish);
    }

    mayVanish(message) {
        return !message.gone && (message.send.mayVanish || this.policy.dropOldest);
    }

    // --- confirmations ---

    get floors() {
        return [this.floor, ...[...this.wanted].filter((floor) => floor > this.floor).sort((a, b) => a - b)];
    }

    confirming(id) {
        this.wanted.add(id);
        this.everWanted.add(id);
    }

    // Whether a connection may begin with this ID, when the floor was `floor` before it was opened.
    mayStartAt(id, floor) {
        return id > floor && this.everWanted.has(id - 1);
    }

    // An answer or a delivery showed that everything up to `id` is confirmed.
    confirmedTo(id) {
        if (id > this.floor) {
            const { sure, unsure } = this.between(id);
            this.confirmed += sure;
            this.unsureConfirmed += unsure;
            this.floor = id;
        }
    }

    // How many messages above the floor, up to `id`, a confirmation counts as confirmed: at least
    // `sure`, and as many as `unsure` more.
    between(id) {
        let sure = 0;
        let unsure = 0;
        for (let at = this.floor + 1; at <= id; at += 1) {
            const message = this.messages.get(at);
            if (message ? this.mayVanish(message) : this.unknownMayVanish) {
                unsure += 1;
            } else {
                sure += message && message.gone ? 0 : 1;
            }
        }
        return { sure, unsure };
    }

    // --- figures, while nothing is under way ---

    observe(record) {
        const { lastId, confirmed, pending, dropped } = record;
        const { accepted = lastId, replaced = 0, overflowed = 0 } = record;
        this.expect(replaced === this.replaced && accepted === lastId + replaced, () => `replaced is ${replaced}, and not ${this.replaced}`);
        this.expect(this.policy.dropOldest ? this.told <= overflowed && overflowed + replaced <= dropped : overflowed === 0,
            () => `overflowed is ${overflowed}; a client was told ${this.told}`);
        this.expect(accepted === confirmed + pending + dropped, 'its figures do not balance');
        this.decideSends(lastId);
        this.decideFloor(confirmed);
        this.decideDropped(dropped, lastId);
        this.pending = pending;
        this.looks += 1;
        this.waiting = lastId - this.floor;
        this.begun = 0;
        this.checkBytes(record);
    }

    // Sends that were cut off left as many messages as lastId has more than are known.
    decideSends(lastId) {
        const unknown = lastId - this.messages.size;
        const sizes = this.openSends.map((send) => send.texts.length);
        this.expect(lastId >= this.lastId, () => `lastId fell from ${this.lastId} to ${lastId}`);
        this.expect(unknown >= 0 && isSumOfSome(sizes, unknown),
            () => `lastId is ${lastId}, ${this.messages.size} messages are known, and others were cut off in groups of [${sizes}]`);
        this.openSends.forEach((send) => {
            send.before = Math.min(send.before, lastId);
            if (unknown === 0) {
                this.close(send);
            }
        });
        this.lastId = lastId;
    }

    decideFloor(confirmed) {
        const already = this.unsureConfirmed;
        const possible = this.floors.filter((floor) => {
            const { sure, unsure } = this.between(floor);
            return confirmed >= this.confirmed + sure - this.ahead && confirmed <= this.confirmed + already + sure + unsure;
        });
        this.expect(possible.length > 0, () => `confirmed is ${confirmed}; it was ${this.confirmed} at ID ${this.floor}, `
            + `and may have gone on to [${[...this.wanted]}]`);
        [this.floor] = possible;
        this.wanted = new Set(possible.slice(1));
        this.confirmed = confirmed;
        this.unsureConfirmed = 0;
        this.ahead = this.between(possible[possible.length - 1]).sure;
    }

    decideDropped(dropped, lastId) {
        let gone = this.replaced;
        let unsure = 0;
        if (!this.policy.dropOldest && !this.vanishing) {
            this.expect(dropped === gone, () => `dropped is ${dropped}, not ${gone}`);
            this.dropped = dropped;
            return;
        }
        const highest = Math.max(...this.floors);
        for (let id = 1; id <= lastId; id += 1) {
            const message = this.messages.get(id);
            const isGone = message && (message.gone || (id > highest && message.send.mustVanish));
            gone += isGone ? 1 : 0;
            unsure += isGone || (message && !this.mayVanish(message)) ? 0 : 1;
        }
        this.expect(dropped >= Math.max(gone, this.dropped) && dropped <= gone + unsure,
            () => `dropped is ${dropped}; it was ${this.dropped}, ${gone} are known and ${unsure} possible`);
        this.dropped = dropped;
    }

    checkBytes({ pendingBytes, pending }) {
        let bytes = 0;
        for (let id = this.lastId; id > this.floor; id -= 1) {
            const message = this.messages.get(id);
            if (!message || this.mayVanish(message) || message.gone || this.wanted.size > 0) {
                return;
            }
            bytes += message.size;
        }
        this.expect(pendingBytes === bytes && pending === this.lastId - this.floor,
            () => `${pendingBytes} bytes in ${pending} messages wait, not ${bytes} in ${this.lastId - this.floor}`);
    }

    get accepted() {
        return this.lastId + this.replaced;
    }

    // Whether messages may go without a request, or a confirmation without a sign: then the figures are looked at
    // again before they count as wrong.
    get changesByItself() {
        return (this.vanishing || this.policy.dropOldest) && this.pending > 0;
    }

    // --- the end ---

    // Bytes that it may have in the store.
    get mostBytes() {
        let bytes = this.openSends.reduce((sum, send) => sum + send.bytes, 0);
        for (let id = this.floor + 1; id <= this.lastId; id += 1) {
            bytes += this.messages.has(id) ? this.messages.get(id).size : 0;
        }
        return bytes;
    }

    get isOver() {
        return this.causes !== null;
    }

    // Whether the server may have ended it, for want of a client, by now.
    get mayExpire() {
        return Date.now() >= this.heldAt + this.ttlMs;
    }

    // What the totals may count for it once it is over: [least, most] of accepted and of confirmed.
    get bounds() {
        const cut = this.openSends.reduce((sum, send) => sum + send.texts.length, 0);
        return {
            accepted: [this.accepted, this.replaced + Math.max(this.lastId, this.messages.size + cut)],
            confirmed: [this.confirmed - this.ahead, this.confirmed + this.between(Math.max(...this.floors)).sure
                + this.between(Math.max(...this.floors)).unsure + this.unsureConfirmed],
            dropped: this.dropped,
            exact: !this.vanishing && !this.policy.dropOldest,
        };
    }

    toString() {
        const waiting = [...this.messages].filter(([id]) => id > this.floor).map(([id, message]) =>
            `${id}=${shown(message.text)}${message.gone ? ' (gone)' : ''}`);
        return `${this.key}: lastId ${this.lastId}, floor ${this.floor} or [${[...this.wanted]}], confirmed ${this.confirmed}, `
            + `dropped ${this.dropped}, received ${this.received}, ${this.openSends.length} sends open, `
            + `clients [${[...this.attachments]}], waiting: ${waiting.slice(0, 20).join(' ')}`;
    }
}

module.exports = { Session, Violation, expect };
