'use strict';
// The value below which that share of the values lies.
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)];
const median = (values) => quantile(values, 0.5);

// {median, low, high}: half of the values are between low and high.
const spread = (values) => ({ median: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75) });

module.exports = { median, quantile, spread };
