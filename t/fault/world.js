'use strict';
// One server, the sessions in it as the model sees them, and the comparison of the two.

const { until } = require('../integration/lib/wait');
const { Attachment } = require('./clients');
const { Driver } = require('./driver');
const { Ledger } = require('./ledger');
const { Session, Violation, expect } = require('./model');
const { Receipts } = require('./receipts');
const { serverTakesWishes } = require('./wishes');

const SETTLE_LIMIT_MS = 15000;
const FIRST_SESSIONS = 4;
const LOOKS = 50;
const EXPIRY_LIMIT_MS = 5000;
const SETTLE_PAUSE_MS = 2;
// Below a load like this no store is full.
const STORE_HAS_ROOM_BYTES = 2 << 20;

// Like until(), but what the model does not allow ends the wait at once.
async function eventually(what, condition, limit, pause) {
    let violation = null;
    const value = await until(what, async () => {
        try {
            return await condition();
        } catch (error) {
            if (!(error instanceof Violation)) {
                throw error;
            }
            violation = error;
            return true;
        }
    }, limit, pause);
    if (violation) {
        throw violation;
    }
    return value;
}

class World {
    // limits: those of the settings, as numbers; dropOldest: what a full mailbox does
    constructor(settings, limits, dropOldest, workers) {
        this.limits = limits;
        this.driver = new Driver(settings, workers);
        this.takesWishes = serverTakesWishes(this.driver.server.directory);
        this.policy = { dropOldest: this.takesWishes && dropOldest };
        if (this.policy.dropOldest) {
            this.driver.server.config.limits.mailboxPolicy = 'dropOldest';
        }
        this.receipts = new Receipts();
        this.repeated = 0; // sends that were found stored when they were sent again
        this.replacing = new Set(); // sessions to which a message with a replace key was sent in this step
        this.ledger = new Ledger();
        this.sessions = []; // that live, or may
        this.touched = new Set(); // by the present step
        this.calm = true; // no fault is near: every request must succeed
        this.disturbed = false; // there was a fault in this step
        this.violation = null;
        this.serial = 0;
        this.broadcasts = []; // of this step: sessions that are made meanwhile may get them
        this.cut = 0; // requests
        this.lastRecord = null;
        this.lastStatus = null;
        this.actors = 0;
        this.ended = []; // attachments, of this step
        this.history = [];
    }

    note(text) {
        this.history.push(text);
        this.history = this.history.slice(-40);
    }

    async start() {
        await this.driver.start();
        const probe = await this.driver.backend.createSession('probe');
        this.home = probe.slice(probe.lastIndexOf('~') + 1);
        await this.driver.backend.deleteSession(probe);
        this.ledger.created += 1;
        this.ledger.over += 1;
        this.ledger.ends.deleted.sessions = [1, 1];
        for (let i = 0; i < FIRST_SESSIONS; i += 1) {
            await this.register(3600);
        }
    }

    // --- requests ---

    // Resolves with {status, body}; or null when a fault cut it off: it may have been carried out.
    async call(method, path, body, headers) {
        let answer;
        try {
            answer = await this.driver.backend.call(method, path, body, headers);
        } catch (error) {
            expect(!this.calm, () => `${method} ${path} failed without a fault: ${error.message}`);
            this.cut += 1;
            return null;
        }
        if (answer.status === 503 || answer.status === 504) {
            expect(!this.calm, () => `${method} ${path} was answered ${answer.status} without a fault: ${answer.text}`);
            this.cut += 1;
            return null;
        }
        return answer;
    }

    path(session) {
        return `/sessions/${encodeURIComponent(session.key)}`;
    }

    touch(...sessions) {
        sessions.forEach((session) => this.touched.add(session));
    }

    async register(ttl) {
        this.actors += 1;
        const actorId = `${ttl < 60 ? 'brief' : 'player'}-${this.actors}`;
        const secret = `secret-${this.actors}`;
        const session = new Session(`${actorId}:${secret}~${this.home}`, actorId, ttl * 1000, this.policy);
        this.sessions.push(session);
        this.touch(session);
        this.broadcasts.forEach((text) => session.begin([text]));
        const answer = await this.call('POST', '/sessions', { actorId, key: secret, ttl });
        if (answer && answer.status === 507) {
            session.expect(this.storeMayBeFull, 'its registration was refused as overLimit');
            this.forget(session);
        } else if (answer) {
            session.expect(answer.status === 201 && answer.body.sessionKey === session.key, () => `registered: ${answer.status} ${answer.text}`);
            this.registered(session);
        }
        return session;
    }

    registered(session) {
        if (!session.registered) {
            session.registered = true;
            this.ledger.created += 1;
        }
    }

    forget(session) {
        this.sessions = this.sessions.filter((one) => one !== session);
        session.attachments.forEach((attachment) => attachment.leave(true));
    }

    attach(session, transport, confirmation) {
        this.touch(session);
        return Attachment.open(transport, this.driver.url, session, {
            ...confirmation,
            onViolation: (error) => { this.violation = this.violation || error; },
            onEnd: (attachment) => this.ended.push(attachment),
        });
    }

    get storeMayBeFull() {
        const bytes = this.sessions.reduce((sum, session) => sum + session.mostBytes, 0);
        return bytes > STORE_HAS_ROOM_BYTES;
    }

    // --- comparison ---

    check() {
        if (this.violation) {
            throw this.violation;
        }
    }

    // The server's view of a session; null when there is none.
    async read(session) {
        const answer = await this.call('GET', this.path(session));
        session.expect(answer && (answer.status === 200 || answer.status === 404), () => `read: ${answer && answer.status}`);
        this.lastRecord = answer.body;
        return answer.status === 200 ? answer.body : null;
    }

    // Waits until nothing of the session is under way; then its view must be the model's.
    async settle(session) {
        let awaited = 'its record';
        const record = await eventually(() => `${session.actorId}: ${awaited}`, async () => {
            this.check();
            const at = Date.now();
            const { events } = session;
            const read = await this.read(session);
            awaited = read && (events === session.events ? this.awaited(session, read) : 'a record that is not older than its deliveries');
            if (read && read.attached) {
                session.heldAt = Math.max(session.heldAt, at);
            }
            return !awaited && { read };
        }, SETTLE_LIMIT_MS, SETTLE_PAUSE_MS).catch((error) => {
            throw error instanceof Violation ? error : new Violation(error.message, session);
        });
        if (!record.read) {
            await this.over(session);
            return;
        }
        this.registered(session);
        session.expect(!session.ends.some((end) => end.sure), 'it is over, and still there');
        session.ends = [];
        session.observe(record.read);
    }

    awaited(session, record) {
        const alive = [...session.attachments];
        const late = alive.map((attachment) => attachment.awaits(record) && `${attachment} awaits ${attachment.awaits(record)}`).find((text) => text);
        if (late || alive.length > 1) {
            return late || `one client of ${alive}`;
        }
        if (record.attached !== (alive.length === 1)) {
            return `attached to be ${!record.attached}`;
        }
        return null;
    }

    // There is no such session any more, or it never was.
    async over(session) {
        const causes = session.ends.map((end) => end.cause);
        if (session.mayExpire) {
            causes.push('expired');
        }
        const never = !session.registered;
        session.expect(never || causes.length > 0, 'it is gone');
        await eventually(() => `the end of ${[...session.attachments]}`, () => session.attachments.size === 0, SETTLE_LIMIT_MS, SETTLE_PAUSE_MS)
            .catch((error) => session.expect(false, error.message));
        this.forget(session);
        session.causes = [...new Set(causes)];
        if (!never) {
            this.ledger.sessionOver(session, session.causes);
        }
    }

    // Nobody is attached: it must end when its time is over.
    async expired(session) {
        await eventually(`${session.actorId} expires`, async () => await this.read(session) === null, session.ttlMs + EXPIRY_LIMIT_MS, 20);
        await this.settle(session);
    }

    // After each step: every session that it touched or that may have expired, and the totals.
    async compare() {
        for (const session of this.touched) {
            if (this.sessions.includes(session)) {
                await this.settle(session);
            }
        }
        this.touched.clear();
        this.broadcasts = [];
        this.replacing.clear();
        this.judgeEnds();
        this.disturbed = false;
        this.looks = 0;
        await eventually('the totals stand still', () => this.compareTotals(), SETTLE_LIMIT_MS, 0);
        if (this.takesWishes) {
            await this.receipts.compare(this);
        }
        this.driver.checkLog();
        this.check();
    }

    // Sessions and messages whose time is over go between two requests: then all is looked at again.
    async compareTotals() {
        const before = (await this.call('GET', '/status')).body;
        const fewer = before.sessions !== this.sessions.length;
        for (const session of this.sessions.filter((one) => one.changesByItself || (fewer && one.mayExpire))) {
            await this.settle(session);
        }
        const after = (await this.call('GET', '/status')).body;
        this.lastStatus = after;
        if (before.sessions_expired !== after.sessions_expired || before.dropped_ttl !== after.dropped_ttl) {
            return false;
        }
        try {
            this.ledger.check(after, this.sessions);
            return true;
        } catch (error) {
            this.looks += 1;
            if (this.looks > LOOKS || !this.sessions.some((session) => session.changesByItself)) {
                throw error;
            }
            return false;
        }
    }

    async dispose() {
        this.sessions.forEach((session) => session.attachments.forEach((attachment) => attachment.leave(true)));
        await this.driver.dispose();
    }

    judgeEnds() {
        for (const attachment of this.ended) {
            const wrong = attachment.judge(this);
            attachment.session.expect(!wrong, () => `${attachment}: ${wrong}`);
        }
        this.ended = [];
    }
}

module.exports = { World };
