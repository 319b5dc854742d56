/** Whoever has not been answered by then will not be. */
const SHUTDOWN_DEADLINE_MS = 4500;

/**
 * SIGTERM and SIGINT: closes what is open, and ends the process. To be there as soon as the process begins: the first
 * process of a container ends by no signal that it does not handle.
 */
export class StopSignals {
  /** What is to be done first. Before the server listens nothing is in flight. */
  close: () => Promise<void> = () => Promise.resolve();
  private isStopping = false;

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.stop());
  }

  private stop(): void {
    if (this.isStopping) return;
    this.isStopping = true;
    setTimeout(() => process.exit(0), SHUTDOWN_DEADLINE_MS).unref();
    this.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`cannot close: ${String(error)}`);
        process.exit(1);
      },
    );
  }
}
