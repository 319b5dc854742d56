/** Whether tests run in their long form: `npm run test:long`. */
export const IS_LONG = process.env['KVC_LONG'] === '1';
