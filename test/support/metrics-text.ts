import { expect } from 'vitest';
import type { HttpClient } from './http-client.ts';

/** Samples of the text format: `name{labels}` to its value. */
export function samplesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

/** Samples of a scrape. */
export async function scrape(client: HttpClient): Promise<ReadonlyMap<string, number>> {
  const answer = await client.get('/metrics');
  expect(answer.status).toBe(200);
  return samplesOf(answer.text);
}
