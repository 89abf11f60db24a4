'use strict';
// Random operations and faults against real servers, and a simple model of what must come of them.
//   node main.js [--seed N] [--kills N] [--steps N] [--parallel N]
// ends when as many processes were killed (SIGKILL), and as many steps made, in all instances.

const { Random } = require('../integration/lib/random');
const { Instance } = require('./instance');

const DEFAULTS = { seed: 0, kills: 20, steps: 0, parallel: 2 };

function readArguments(words) {
    const options = { ...DEFAULTS };
    for (let i = 0; i < words.length; i += 2) {
        const name = words[i].replace(/^--/, '');
        if (!(name in DEFAULTS) || !/^[0-9]+$/.test(words[i + 1] || '')) {
            console.log(`fault: takes --seed N, --kills N, --steps N and --parallel N, not "${words.slice(i, i + 2).join(' ')}"`);
            process.exit(64);
        }
        options[name] = Number(words[i + 1]);
    }
    options.seed = options.seed || new Random().seed;
    options.parallel = Math.max(options.parallel, 1);
    return options;
}

async function main() {
    const { seed, kills, steps, parallel } = readArguments(process.argv.slice(2));
    const start = Date.now();
    console.log(`fault: seed ${seed}, at least ${kills} kills and ${steps} steps in ${parallel} instances`);
    const instances = Array.from({ length: parallel }, (_, i) => new Instance(seed + i));
    if (!process.env.FAULT_MAY_MOUNT) {
        console.log('fault: no full disk: that needs root, and mount namespaces');
    }
    const sum = (read) => instances.reduce((total, instance) => total + read(instance), 0);
    const enough = () => sum((one) => one.kills) >= kills && sum((one) => one.steps) >= steps;
    const stop = () => instances.some((one) => one.failed) || enough();
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.once(signal, () => instances.forEach((one) => { one.interrupted = true; }));
    }
    const progress = setInterval(() => console.log(`fault: ${Math.round((Date.now() - start) / 1000)} s, ${sum((one) => one.steps)} steps, `
        + `${sum((one) => one.kills)} kills, ${sum((one) => one.messages)} messages`), 30000);
    await Promise.all(instances.map((instance) => instance.run(stop)));
    clearInterval(progress);
    const failed = instances.filter((one) => one.failed).length;
    const counts = [...new Set(instances.flatMap((one) => Object.keys(one.counts)))].sort()
        .map((name) => `${name} ${sum((one) => one.counts[name] || 0)}`);
    console.log(`fault: steps: ${counts.join(', ')}`);
    const kinds = ['worker', 'relay', 'master', 'all'].map((kind) => `${kind} ${sum((one) => one.world.driver.kills[kind])}`);
    console.log(`fault: killed: ${kinds.join(', ')}; ${sum((one) => one.cut)} sends were cut off, ${sum((one) => one.world.repeated)} found stored when repeated; ${Math.round((Date.now() - start) / 1000)} s`);
    console.log(`fault: steps=${sum((one) => one.steps)} kills=${sum((one) => one.kills)} messages=${sum((one) => one.messages)} violations=${failed} seed=${seed}`);
    console.log(`${instances.length - failed} passed, ${failed} failed`);
    process.exitCode = failed > 0 ? 1 : 0;
}

main();
