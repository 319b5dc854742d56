import { Mailbox, type MailboxOptions } from '../shards/mailbox.ts';
import type { RoutedShard } from '../shards/router.ts';
import type { ThreadState } from '../worker-threads/thread-life-cycle.ts';
import { Doorbell } from '../shared/doorbell.ts';
import type { ShardNews } from './messages.ts';

/** A shard as a further HTTP thread sees it: the main thread says how it is, and opens a session with each new thread of it. */
export class FrontShard implements RoutedShard {
  readonly number: number;
  state: ThreadState = 'starting';
  restarts = 0;
  mailbox: Mailbox | undefined;
  private readonly options: MailboxOptions;

  constructor(news: ShardNews, options: MailboxOptions) {
    this.number = news.shard;
    this.options = options;
    this.hear(news);
  }

  hear({ state, restarts, session }: ShardNews): void {
    this.state = state;
    this.restarts = restarts;
    this.mailbox?.close();
    this.mailbox = session && new Mailbox(session.port, new Doorbell(session.doorbell), this.options);
  }

  stop(): Promise<void> {
    this.mailbox?.close();
    return Promise.resolve();
  }
}
