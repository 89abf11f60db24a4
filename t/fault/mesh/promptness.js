'use strict';
// A healthy host serves its own backend and clients at once, whatever happens to its peers: asked all
// the time, of each host, for the session whose home and client it has.

const { expect } = require('../model');
const { SANITIZED } = require('../../integration/lib/server');

const PERIOD_MS = 150;
const LIMIT_MS = SANITIZED ? 6000 : 3000;
// When this process itself was late, nothing can be said.
const LAG_MS = 300;

class Promptness {
    constructor(cluster) {
        this.cluster = cluster;
        this.worst = { answer: 0, delivery: 0 };
        this.where = { answer: '', delivery: '' };
        this.asked = 0;
        this.pending = new Set();
        this.laggedAt = 0;
        this.tickedAt = Date.now();
        this.timer = setInterval(() => this.tick(), PERIOD_MS);
    }

    tick() {
        const now = Date.now();
        if (now - this.tickedAt > PERIOD_MS + LAG_MS) {
            this.laggedAt = now;
        }
        this.tickedAt = now;
        this.pending.forEach((sample) => this.judge(sample, 'answer', now - sample.at));
        this.cluster.hosts.filter(({ healthy }) => healthy).forEach((host) => this.ask(host));
    }

    isSound({ host, epoch, at, attachment, session }) {
        return host.healthy && host.epoch === epoch && this.laggedAt < at && !session.over && session.client.attachment === attachment;
    }

    judge(sample, what, ms) {
        if (!this.isSound(sample)) {
            this.pending.delete(sample);
            return;
        }
        if (ms > this.worst[what]) {
            this.worst[what] = ms;
            this.where[what] = sample.host.name;
        }
        try {
            expect(ms < LIMIT_MS, () => `${sample.host} is healthy, and this took ${ms} ms: ${what} for a session that is at home there`);
        } catch (error) {
            this.cluster.onViolation(error);
        }
    }

    async ask(host) {
        const session = this.cluster.session(host, 0);
        const attachment = session && session.client.attachment;
        if (!attachment || !attachment.canConfirm) {
            return;
        }
        const sample = { host, epoch: host.epoch, at: Date.now(), attachment, session };
        this.asked += 1;
        this.pending.add(sample);
        const outcome = await this.cluster.send(host, session).catch((error) => this.cluster.onViolation(error));
        this.judge(sample, 'answer', Date.now() - sample.at);
        this.pending.delete(sample);
        if (outcome === 'queued' && this.isSound(sample)) {
            this.follow(sample, session.lastId);
        }
    }

    // Its client gets it as fast.
    follow(sample, id) {
        const look = () => {
            const { session } = sample;
            const ms = Date.now() - sample.at;
            if (session.highest >= id || ms >= LIMIT_MS) {
                this.judge(sample, 'delivery', ms);
            } else if (this.isSound(sample)) {
                setTimeout(look, 20);
            }
        };
        look();
    }

    stop() {
        clearInterval(this.timer);
    }

    toString() {
        return `${this.asked} questions to healthy hosts, answered within ${this.worst.answer} ms (limit ${LIMIT_MS}), `
            + `delivered within ${this.worst.delivery} ms`;
    }
}

module.exports = { Promptness };
