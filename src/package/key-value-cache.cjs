#!/usr/bin/env node
'use strict';
// Old versions of Node must be able to read this file: so it is a script, in the JavaScript that they know.
const MIN_NODE_MAJOR = 26;
const EX_CONFIG = 78;

if (parseInt(process.versions.node, 10) >= MIN_NODE_MAJOR) {
  void import('../../dist/src/main.js');
} else {
  console.error('key-value-cache needs Node ' + MIN_NODE_MAJOR + ' or newer; this is ' + process.version);
  process.exitCode = EX_CONFIG;
}
