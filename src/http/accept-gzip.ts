import { Negotiator } from '@fastify/accept-negotiator';

const MOST_REMEMBERED = 256;

/** Whether an `Accept-Encoding` header prefers gzip to plain bytes; remembers what clients keep sending. */
export class GzipNegotiation {
  private readonly negotiator = new Negotiator({ supportedValues: ['gzip', 'identity'] });
  private readonly remembered = new Map<string, boolean>();

  accepts(header: string | string[] | undefined): boolean {
    if (typeof header !== 'string') return false;
    const known = this.remembered.get(header);
    if (known !== undefined) return known;
    const accepted = this.negotiator.negotiate(header.toLowerCase()) === 'gzip';
    if (this.remembered.size >= MOST_REMEMBERED) this.remembered.clear();
    this.remembered.set(header, accepted);
    return accepted;
  }
}
