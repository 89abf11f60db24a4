'use strict';
// Waiting for conditions, never for a time.

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolves with the first truthy value of condition() (which may be async); rejects after `limit` ms
// with what was awaited.
async function until(what, condition, limit = 10000) {
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
            throw new Error(`${what}: not within ${limit} ms${last ? ` (${last.message})` : ''}`);
        }
        await delay(10);
    }
}

module.exports = { until };
