'use strict';
// The client of a session: it comes back when its connection ends, to whichever host, and confirms.

const { Attachment, TRANSPORTS } = require('../clients');

const COME_BACK_MS = 200;
const POLL_AGAIN_MS = { longpolling: 0, shortpolling: 60 };
const CONFIRM_WITHIN_MS = 200;

class Client {
    // options: {random, hostFor(random): one that it may go to, fixed (transport: stays with it),
    // onViolation(error), onHostGone(): whether it must not happen, onSuperseded(): by an older connection}
    constructor(session, options) {
        Object.assign(this, { session, ...options });
        this.transport = this.fixed || this.random.pick(TRANSPORTS);
        this.attachment = null;
        this.host = null;
        this.away = false;
        this.stopped = false;
        session.onMessage = (message) => this.received(message);
    }

    // A new connection; the one before is left first, or superseded.
    connect(host, transport, leaveFirst) {
        clearTimeout(this.timer);
        const before = this.attachment;
        this.attachment = null;
        if (before && before.end === null && leaveFirst) {
            before.leave(this.random.chance(0.5));
        }
        this.away = false;
        this.host = host;
        this.transport = transport;
        const { session } = this;
        // A poll's answer has no other way to be confirmed, and an event stream neither.
        const confirm = session.highest > session.floor && this.random.chance(0.7) ? session.highest : 0;
        session.note(`client: ${transport} at ${host.name}${confirm ? `, confirms ${confirm}` : ''}`);
        this.attachment = Attachment.open(transport, host.url, session, {
            confirm,
            onViolation: this.onViolation,
            onEnd: (attachment) => this.ended(attachment),
        });
    }

    come() {
        this.connect(this.hostFor(this.random), this.transport, true);
    }

    // `ms`: comes back after this.
    leave(ms) {
        this.away = true;
        this.session.note(`client: away for ${ms} ms`);
        if (this.attachment && this.attachment.end === null) {
            this.attachment.leave(this.random.chance(0.5));
        }
        clearTimeout(this.timer);
        this.timer = setTimeout(() => !this.stopped && this.come(), ms);
    }

    ended(attachment) {
        if (attachment !== this.attachment || this.away || this.stopped) {
            return;
        }
        if (attachment.unset || !(attachment.end === 200 || attachment.end === 204)) {
            this.session.note(`client: ${attachment}${attachment.unset ? `, told ${attachment.unset}` : ''}`);
        }
        this.judge(attachment);
        const polled = !attachment.unset && (attachment.end === 200 || attachment.end === 204);
        clearTimeout(this.timer);
        this.timer = setTimeout(() => {
            if (this.stopped) {
                return;
            }
            if (polled && this.host.running) {
                this.connect(this.host, this.transport, false);
            } else {
                this.come();
            }
        }, polled ? POLL_AGAIN_MS[this.transport] : COME_BACK_MS);
    }

    // A session that lives may be out of reach, but it is never said to be over.
    judge({ unset, end }) {
        const { session } = this;
        if (end === 4001) {
            this.onSuperseded();
        }
        const bad = unset && (unset !== 'hostGone' || this.onHostGone());
        try {
            session.expect(session.over || !bad, () => `its client was told ${unset}`);
            session.expect(session.over || ![400, 404, 431, 500, 1002, 1003, 1007, 1008, 1009].includes(end), () => `its client's connection ended with ${end}`);
        } catch (error) {
            this.onViolation(error);
        }
    }

    // Streams of a host whose relay died get what is unconfirmed once more.
    relayDied(host) {
        if (this.host === host && this.attachment && this.attachment.end === null) {
            this.attachment.relayDied();
        }
    }

    received() {
        if (this.confirming || !this.random.chance(0.7)) {
            return;
        }
        this.confirming = setTimeout(() => {
            this.confirming = null;
            const { attachment, session } = this;
            if (attachment && attachment.canConfirm && attachment.last > session.floor) {
                session.note(`client: confirms ${attachment.last}`);
                attachment.confirm(attachment.last);
            }
        }, this.random.below(CONFIRM_WITHIN_MS));
    }

    stop() {
        this.stopped = true;
        clearTimeout(this.timer);
        clearTimeout(this.confirming);
        this.session.attachments.forEach((attachment) => attachment.leave(true));
    }
}

module.exports = { Client };
