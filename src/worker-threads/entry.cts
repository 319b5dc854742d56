interface Entry {
  /** Of a module whose default export runs on the thread. */
  readonly url: string;
  readonly task: object;
}

/**
 * What Piscina runs on each thread. It loads the thread's module by `import`, where Piscina would `require` it. If a
 * thread is ended while it does that, Node 26.10 can end the whole process (`CreateRequiredModuleFacade`).
 */
module.exports = async ({ url, task }: Entry): Promise<unknown> => {
  const { default: run } = (await import(url)) as { default: (task: object) => unknown };
  return run(task);
};
