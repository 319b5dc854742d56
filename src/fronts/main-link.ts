import type { FeedSource, Watcher } from '../dashboard/feed.ts';
import type { Answers, FromFront, Question, ToFront } from './messages.ts';

/** The main thread did not answer: it is closing, or could not. */
const NO_ANSWER = 'the main thread did not answer';

/** A front's questions to the main thread, and what its watchers of the dashboard are sent from there. */
export class MainLink implements FeedSource {
  private readonly post: (message: FromFront) => void;
  private readonly questions = new Map<number, PromiseWithResolvers<Answers[Question]>>();
  private readonly watchers = new Map<number, Watcher>();
  private lastId = 0;

  constructor(post: (message: FromFront) => void) {
    this.post = post;
  }

  ask<About extends Question>(about: About): Promise<Answers[About]> {
    const id = ++this.lastId;
    const question = Promise.withResolvers<Answers[Question]>();
    this.questions.set(id, question);
    this.post({ kind: 'question', id, about });
    return question.promise as Promise<Answers[About]>;
  }

  hasRoom(): Promise<boolean> {
    return this.ask('feedRoom');
  }

  watch(watcher: Watcher): void {
    const id = ++this.lastId;
    this.watchers.set(id, watcher);
    this.post({ kind: 'watch', watcher: id });
  }

  forget(watcher: Watcher): void {
    for (const [id, known] of this.watchers) if (known === watcher) this.remove(id);
  }

  close(): void {
    for (const id of this.watchers.keys()) this.end(id);
  }

  receive(message: Extract<ToFront, { readonly kind: 'answer' | 'feed' | 'end feed' }>): void {
    if (message.kind === 'answer') {
      const question = this.questions.get(message.id);
      this.questions.delete(message.id);
      if (message.answer === undefined) question?.reject(new Error(NO_ANSWER));
      else question?.resolve(message.answer);
      return;
    }
    const { watcher: id } = message;
    const isTaken = message.kind === 'feed' && this.watchers.get(id)?.send(Buffer.from(message.message));
    if (!isTaken) this.end(id);
  }

  private end(id: number): void {
    const watcher = this.watchers.get(id);
    this.remove(id);
    watcher?.end();
  }

  private remove(id: number): void {
    if (this.watchers.delete(id)) this.post({ kind: 'forget', watcher: id });
  }
}
