/**
 * Parts of `node:http`, without importing it. An import reads every property of the module. One of them loads an HTTP client
 * that nobody here needs, which takes 75 ms of each start.
 */
export const { IncomingMessage, createServer, METHODS, STATUS_CODES } = process.getBuiltinModule('node:http');
