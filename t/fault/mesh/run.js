'use strict';
// Brings everything up, runs episodes until the time is over or something is violated, and tells.

const { Cluster } = require('./cluster');
const { Episode } = require('./episode');
const { Network, meshAddress } = require('./network');
const { Promptness } = require('./promptness');
const { Ensemble } = require('./ensemble');

const LOG_SHOWN = 6000;
const HASTY_SECONDS = 60; // a shorter run has no time for long faults

const seconds = (since) => Math.round((Date.now() - since) / 1000);

class Run {
    constructor(options, netns) {
        Object.assign(this, { options, netns });
        this.setting = {
            hosts: options.versions[0] + options.versions[1],
            versions: options.versions,
            hasty: options.seconds < HASTY_SECONDS && options.episodes === 0,
            ensemble: options.ensemble > 0,
        };
        this.startedAt = Date.now();
        this.episodes = 0;
        this.steps = 0;
        this.repeated = 0;
        this.faults = {};
        this.worst = { ms: 0, faults: '' };
        this.failed = false;
        this.interrupted = false;
    }

    async start() {
        const { seed, versions } = this.options;
        this.network = await Network.open(this.netns, seed);
        this.zookeeper = await Ensemble.start(this.setting.ensemble ? 3 : 1, meshAddress(1));
        this.cluster = new Cluster({ seed, netns: this.netns, hosts: versions, zookeeper: this.zookeeper, workers: 1 + seed % 2 });
        await this.cluster.start();
        this.promptness = new Promptness(this.cluster);
        this.context = { cluster: this.cluster, network: this.network, zookeeper: this.zookeeper, note: (text) => this.cluster.note(text) };
    }

    get enough() {
        const { options } = this;
        return this.interrupted || (options.episodes > 0 ? this.episodes >= options.episodes : seconds(this.startedAt) >= options.seconds);
    }

    async episode() {
        const episode = new Episode(this.context, this.options.seed, this.episodes, this.setting, this.options.convergence);
        const names = episode.plan.faults.map(({ row }) => row.name);
        this.context.note(`--- episode ${this.episodes}: ${names.join(', ')}`);
        names.forEach((name) => { this.faults[name] = (this.faults[name] || 0) + 1; });
        try {
            await episode.run();
        } finally {
            this.steps += episode.steps;
        }
        this.repeated += episode.repeated;
        if (episode.convergedIn > this.worst.ms) {
            this.worst = { ms: episode.convergedIn, faults: names.join(', ') };
        }
        this.episodes += 1;
    }

    async run() {
        try {
            await this.start();
            console.log(`mesh: ${this.options.versions.join(' + ')} hosts are up after ${seconds(this.startedAt)} s`);
            while (!this.enough) {
                await this.episode();
            }
        } catch (error) {
            this.failed = true;
            this.report(error);
        }
        await this.dispose().catch((error) => {
            this.failed = true;
            console.log(`mesh: ${error.stack}`);
        });
        this.tell();
    }

    async dispose() {
        if (this.promptness) {
            this.promptness.stop();
        }
        try {
            await (this.cluster && this.cluster.dispose());
        } finally {
            await (this.zookeeper && this.zookeeper.dispose());
            await (this.network && this.network.dispose());
        }
    }

    report(error) {
        const { seed, hosts, ensemble } = this.options;
        const { cluster } = this;
        console.log([
            `mesh: VIOLATION in episode ${this.episodes} of seed ${seed}, step ${this.steps}: ${error.message}`,
            `mesh: to repeat it: ./bootstrap fault --mesh --seed ${seed} --hosts ${hosts} --episodes ${this.episodes + 1}${ensemble ? ' --ensemble 1' : ''}`
            + `${this.setting.hasty ? ' --seconds 30' : ''}`,
            error.stack,
            ...(cluster ? [
                `--- the last operations\n${cluster.history.join('\n')}`,
                `--- the session\n${error.session || 'none in particular'}`,
                ...cluster.hosts.map((host) => `--- the log of ${host}\n${host.server.log.slice(-LOG_SHOWN)}`),
            ] : []),
        ].join('\n'));
    }

    tell() {
        const { cluster } = this;
        if (cluster) {
            const faults = Object.entries(this.faults).sort().map(([name, count]) => `${name} ${count}`);
            console.log(`mesh: faults: ${faults.join(', ') || 'none'}`);
            const outcomes = Object.entries(cluster.outcomes).sort().map(([name, count]) => `${name} ${count}`);
            console.log(`mesh: answers: ${outcomes.join(', ')}; ${this.repeated} requests sent again with their key`);
            console.log(`mesh: ${this.promptness}`);
            console.log(`mesh: worst convergence ${this.worst.ms} ms after: ${this.worst.faults}`);
        }
        console.log(`mesh: episodes=${this.episodes} steps=${this.steps} faults=${Object.values(this.faults).reduce((sum, n) => sum + n, 0)} `
            + `messages=${cluster ? cluster.messages : 0} violations=${this.failed ? 1 : 0} convergence_ms=${this.worst.ms} seed=${this.options.seed}; ${seconds(this.startedAt)} s`);
        console.log(`${this.failed ? 0 : 1} passed, ${this.failed ? 1 : 0} failed`);
        process.exitCode = this.failed ? 1 : 0;
    }
}

async function runMesh(options, netns) {
    console.log(`mesh: seed ${options.seed}, ${options.versions.join(' + ')} hosts`);
    const run = new Run(options, netns);
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.once(signal, () => { run.interrupted = true; });
    }
    await run.run();
}

module.exports = { runMesh };
