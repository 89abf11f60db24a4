'use strict';
// A seeded random source, so that a failed run can be repeated: SEED=N.

class Random {
    constructor(seed = Number(process.env.SEED) || (Date.now() & 0x7fffffff)) {
        this.seed = seed;
        this.state = seed >>> 0;
    }

    // xorshift32 over a scrambled seed: uniform enough to choose by, in [0, 1).
    next() {
        let x = this.state || 0x9e3779b9;
        x ^= x << 13;
        x ^= x >>> 17;
        x ^= x << 5;
        this.state = x >>> 0;
        return this.state / 4294967296;
    }

    below(n) {
        return Math.floor(this.next() * n);
    }

    pick(list) {
        return list[this.below(list.length)];
    }

    chance(p) {
        return this.next() < p;
    }
}

// A seed for one step of a run: neighbouring seeds and steps are spread over the whole range.
function mix(seed, step) {
    let x = Math.imul(seed ^ Math.imul(step + 1, 0x9e3779b1), 0x85ebca6b);
    x ^= x >>> 15;
    x = Math.imul(x, 0xc2b2ae35);
    return ((x ^ x >>> 13) >>> 0) || 1;
}

module.exports = { Random, mix };
