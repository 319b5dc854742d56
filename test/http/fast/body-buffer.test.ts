import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { BodyBuffer } from '../../../src/http/fast/body-buffer.ts';

const LIMIT = 20_000;

describe('BodyBuffer', () => {
  test('keeps a body that comes in one piece as it is', () => {
    const body = new BodyBuffer(5, LIMIT);
    body.add(Buffer.from('whole'));
    expect(body.text()).toBe('whole');
  });

  test.each([
    ['of a known length', 10_000],
    ['of a length that the client has not told', undefined],
    ['that the client has told too short', 3],
  ])('joins a body %s, byte by byte', (_what, declared) => {
    const body = new BodyBuffer(declared, LIMIT);
    const text = Array.from({ length: 10_000 }, (_, i) => String.fromCharCode(i % 256)).join('');
    for (const character of text) body.add(Buffer.from(character, 'latin1'));
    expect(body.length).toBe(10_000);
    expect(body.text()).toBe(text);
  });

  test('counts what is beyond the limit, and keeps nothing then', () => {
    const body = new BodyBuffer(undefined, LIMIT);
    for (let i = 0; i < 30; i++) body.add(Buffer.alloc(1000, 'a'));
    expect(body.length).toBe(30_000);
    expect(body.text()).toBe('');
  });

  test('gives its own memory back, and never that of a chunk', () => {
    const chunk = Buffer.from('whole');
    const whole = new BodyBuffer(5, LIMIT);
    whole.add(chunk);
    whole.free();
    expect(chunk.toString()).toBe('whole');
    const joined = new BodyBuffer(10, LIMIT);
    joined.add(chunk);
    joined.add(chunk);
    expect(joined.text()).toBe('wholewhole');
    const transfer = vi.spyOn(ArrayBuffer.prototype, 'transfer');
    onTestFinished(() => transfer.mockRestore());
    joined.free();
    expect(transfer).toHaveBeenCalledExactlyOnceWith(0);
    const [{ value: emptied }] = transfer.mock.results;
    expect((emptied as ArrayBuffer).byteLength).toBe(0);
    expect(joined.text()).toBe('');
    expect(chunk.toString()).toBe('whole');
  });

  test('an empty body is an empty text', () => {
    expect(new BodyBuffer(0, LIMIT).text()).toBe('');
  });
});
