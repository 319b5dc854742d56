interface Entry {
  /** Of a module whose default export runs on the thread. */
  readonly url: string;
  readonly task: object;
}

/**
 * What Piscina runs on each thread. It loads the thread's module by `import`, where Piscina would `require` it: a thread
 * that is ended at one moment of that takes the whole process along (Node 26.10, `CreateRequiredModuleFacade`).
 */
module.exports = async ({ url, task }: Entry): Promise<unknown> => {
  const { default: run } = (await import(url)) as { default: (task: object) => unknown };
  return run(task);
};
