import type { MessagePort } from 'node:worker_threads';

/** While a module is evaluated, those who load it are on the stack. */
const stack = new Error('only for its stack').stack!;

/** Says how this module was loaded. */
export default function sayHowLoaded({ port }: { readonly port: MessagePort }): Promise<never> {
  port.postMessage(stack.includes('node:internal/modules/cjs/') ? 'required' : 'imported');
  return new Promise(() => undefined);
}
