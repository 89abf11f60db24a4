'use strict';
// One server under test: step after step, each from a random stream of its own, so that a seed repeats
// the operations whatever the processes' timing does.

const { Random, mix } = require('../integration/lib/random');
const { FAULTS, pickRow } = require('./faults');
const { OPERATIONS, drain } = require('./operations');
const { World } = require('./world');

const ROWS = [...OPERATIONS, ...FAULTS];
const MAILBOX_MESSAGES = 300;

function settingsFor(dropOldest) {
    return {
        limits: { mailboxMessages: dropOldest ? MAILBOX_MESSAGES / 10 : MAILBOX_MESSAGES, mailboxBytes: '8MiB', messageBytes: '64KiB' },
        msgStream: { pollPace: '10ms' },
    };
}

// Processes live for a moment, or for some time: by blocks of steps.
const BLOCK_STEPS = 60;
const KILL_SHARES = [0.1, 1, 3];

class Instance {
    constructor(seed) {
        this.seed = seed;
        this.steps = 0;
        this.counts = {}; // of steps by operation
        this.failed = false;
        this.interrupted = false;
        const dropOldest = seed % 4 > 1;
        const settings = settingsFor(dropOldest);
        const limits = { mailboxMessages: settings.limits.mailboxMessages, mailboxBytes: 8 << 20 };
        this.world = new World(settings, limits, dropOldest, 2 + seed % 2);
    }

    get kills() {
        return this.world.driver.killCount;
    }

    get messages() {
        return this.world.ledger.last.accepted || 0;
    }

    get cut() {
        return this.world.cut;
    }

    async run(enough) {
        try {
            await this.world.start();
            while (!enough() && !this.interrupted) {
                await this.step();
            }
            await this.end();
        } catch (error) {
            this.failed = true;
            this.report(error);
        }
        await this.world.dispose().catch((error) => {
            this.failed = true;
            console.log(`fault: ${error.stack}`);
        });
    }

    async step() {
        const random = new Random(mix(this.seed, this.steps));
        const share = new Random(mix(this.seed, -1 - Math.floor(this.steps / BLOCK_STEPS))).pick(KILL_SHARES);
        const rows = ROWS.map((row) => (row.name === 'kill' ? { ...row, weight: row.weight * share } : row));
        const row = pickRow(rows, this.world, random);
        this.world.note(`--- step ${this.steps}: ${row.name}`);
        this.counts[row.name] = (this.counts[row.name] || 0) + 1;
        await row.run(this.world, random);
        await this.world.compare();
        this.steps += 1;
    }

    // Everything that was accepted is received and confirmed.
    async end() {
        this.world.note('--- the end');
        this.world.driver.volume.free();
        for (const session of this.world.sessions) {
            await drain(this.world, session);
        }
        await this.world.compare();
        const left = this.world.sessions.find((session) => session.pending > 0 || (session.open.size > 0 && !session.policy.dropOldest));
        if (left) {
            left.expect(false, 'something is left after its client confirmed everything');
        }
    }

    report(error) {
        const { world } = this;
        console.log([
            `fault: VIOLATION at step ${this.steps} of seed ${this.seed}: ${error.message}`,
            `fault: to repeat it: ./bootstrap fault --seed ${this.seed} --parallel 1 --steps ${this.steps + 1}`,
            error.stack,
            `--- the last operations\n${world.history.join('\n')}`,
            `--- the model\n${error.session ? error.session : world.sessions.map(String).join('\n')}`,
            `--- the server\n${JSON.stringify(world.lastRecord)}\n${JSON.stringify(world.lastStatus)}`,
            `--- its log\n${world.driver.server.log.slice(-3000)}`,
        ].join('\n'));
    }
}

module.exports = { Instance };
