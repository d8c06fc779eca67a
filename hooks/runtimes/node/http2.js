'use strict';
module.exports = () => ({ server: () => undefined });
