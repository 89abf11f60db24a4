'use strict';
const startPushpin = async () => null;
module.exports = { startPushpin };
