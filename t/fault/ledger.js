'use strict';
// The totals of /status, compared with what all sessions that ever were add up to. Of a session that
// ended while something of it was under way only bounds are known: the totals decide, once.

const { droppedOf } = require('../integration/lib/backend');
const { expect } = require('./model');

const CAUSES = ['expired', 'deleted', 'broken'];
// What only grows, also over restarts.
const COUNTERS = ['accepted', 'confirmed', 'sessions_created', ...CAUSES.flatMap((cause) => [`sessions_${cause}`, `dropped_${cause}`])];

const sumOf = (list, member) => list.reduce((sum, one) => sum + one[member], 0);
const exactly = (number) => [number, number];
const plus = ([low, high], [more, most]) => [low + more, high + most];

class Ledger {
    constructor() {
        this.created = 0;
        this.over = 0;
        this.accepted = exactly(0);
        this.confirmed = exactly(0);
        this.replaced = 0; // in sessions that are over
        this.ends = Object.fromEntries(CAUSES.map((cause) => [cause, { sessions: exactly(0), messages: exactly(0) }]));
        this.last = {};
    }

    // causes: those that may have ended it.
    sessionOver(session, causes) {
        const { accepted, confirmed, dropped, exact: still } = session.bounds;
        const most = accepted[1] - confirmed[0] - dropped;
        const exact = accepted[0] === accepted[1] && confirmed[0] === confirmed[1] && causes.length === 1 && still;
        this.over += 1;
        this.accepted = plus(this.accepted, accepted);
        this.confirmed = plus(this.confirmed, confirmed);
        this.replaced += session.replaced;
        for (const cause of causes) {
            const end = this.ends[cause];
            end.sessions = plus(end.sessions, causes.length === 1 ? [1, 1] : [0, 1]);
            end.messages = plus(end.messages, exact ? exactly(most) : [0, most]);
        }
    }

    // status: while nothing is under way. sessions: those that live, just observed.
    check(status, sessions) {
        const within = (what, is, [least, most]) => expect(is >= least && is <= most,
            () => `${what} is ${is}, and not ${least === most ? least : `from ${least} to ${most}`}`);
        expect(status.accepted === status.confirmed + status.pending + droppedOf(status),
            () => `the totals do not balance: ${JSON.stringify(status)}`);
        for (const name of COUNTERS) {
            expect(status[name] >= (this.last[name] || 0), () => `${name} fell from ${this.last[name]} to ${status[name]}`);
        }
        const alive = { accepted: sumOf(sessions, 'accepted'), confirmed: sumOf(sessions, 'confirmed'), pending: sumOf(sessions, 'pending') };
        within('pending', status.pending, exactly(alive.pending));
        within('accepted', status.accepted, plus(this.accepted, exactly(alive.accepted)));
        within('confirmed', status.confirmed, plus(this.confirmed, exactly(alive.confirmed)));
        within('dropped_replaced', status.dropped_replaced || 0, exactly(this.replaced + sumOf(sessions, 'replaced')));
        within('sessions', status.sessions, exactly(sessions.length));
        within('sessions_created', status.sessions_created, exactly(this.created));
        within('the number of ended sessions', CAUSES.reduce((sum, cause) => sum + status[`sessions_${cause}`], 0), exactly(this.over));
        for (const cause of CAUSES) {
            within(`sessions_${cause}`, status[`sessions_${cause}`], this.ends[cause].sessions);
            within(`dropped_${cause}`, status[`dropped_${cause}`], this.ends[cause].messages);
        }
        this.adopt(status, alive);
    }

    adopt(status, alive) {
        this.accepted = exactly(status.accepted - alive.accepted);
        this.confirmed = exactly(status.confirmed - alive.confirmed);
        for (const cause of CAUSES) {
            this.ends[cause] = { sessions: exactly(status[`sessions_${cause}`]), messages: exactly(status[`dropped_${cause}`]) };
        }
        this.last = status;
    }
}

module.exports = { Ledger };
