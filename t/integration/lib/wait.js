'use strict';
// Waiting for conditions, never for a time.

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolves with the first truthy value of condition() (which may be async); rejects after `limit` ms
// with what was awaited (text, or a function that returns it). It looks again after `pause` ms.
async function until(what, condition, limit = 10000, pause = 10) {
    const end = Date.now() + limit;
    let last;
    for (;;) {
        try {
            const value = await condition();
            if (value) {
                return value;
            }
            last = undefined;
        } catch (error) {
            last = error;
        }
        if (Date.now() > end) {
            throw new Error(`${typeof what === 'function' ? what() : what}: not within ${limit} ms${last ? ` (${last.message})` : ''}`);
        }
        await delay(pause);
    }
}

module.exports = { until };
