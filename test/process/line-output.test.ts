import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LineOutput } from '../../src/process/line-output.ts';

/** Takes so many bytes, and then fails with `code`. */
class FakeFile {
  text = '';
  room = Infinity;
  code = 'ENOSPC';
  attempts = 0;
  /** Most bytes that one write takes. */
  most = Infinity;

  readonly write = (bytes: Uint8Array): number => {
    this.attempts++;
    const taken = Math.min(bytes.length, this.room, this.most);
    if (taken === 0) throw Object.assign(new Error(`${this.code}: failed`), { code: this.code });
    this.room -= taken;
    this.text += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
    return taken;
  };
}

const LINES = Array.from({ length: 10_000 }, (_, n) => `line ${n}: ${'x'.repeat(90)}\n`);

let file: FakeFile;
let output: LineOutput;

beforeEach(() => {
  vi.useFakeTimers();
  file = new FakeFile();
  output = new LineOutput(file.write);
  output.onRecovery = ({ lines, why }) => output.write(`lost ${lines}: ${why}\n`);
});

afterEach(() => {
  vi.useRealTimers();
});

describe('LineOutput', () => {
  test('writes each line at once, in one write', () => {
    for (const line of LINES.slice(0, 3)) output.write(line);
    expect(file.text).toBe(LINES.slice(0, 3).join(''));
    expect(file.attempts).toBe(3);
  });

  test('goes on in the middle of a line where the disk was full, and loses none of a few', async () => {
    file.room = 30;
    for (const line of LINES.slice(0, 100)) output.write(line);
    expect(file.text).toBe(LINES[0].slice(0, 30));
    file.room = 1000;
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text).toBe(LINES.join('').slice(0, 1030));
    file.room = Infinity;
    file.most = 7;
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text).toBe(LINES.slice(0, 100).join(''));
  });

  test('keeps no more than it may, and says in one line how many were lost there and why', async () => {
    file.room = 0;
    for (const line of LINES) output.write(line);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(file.text).toBe('');
    file.room = Infinity;
    await vi.advanceTimersByTimeAsync(100);
    output.write('after\n');
    const written = file.text.split('\n');
    const kept = written.length - 3;
    expect(file.text.length).toBeLessThan(257 * 2 ** 10);
    expect(written.slice(0, kept).join('\n')).toBe(LINES.slice(0, kept).join('').trimEnd());
    expect(written.slice(kept)).toStrictEqual([
      `lost ${LINES.length - kept}: the disk was full (ENOSPC)`,
      'after',
      '',
    ]);
  });

  test('once a line is lost, a shorter one that would fit is too: what is missing is missing in one place', async () => {
    file.room = 0;
    output.write(`${'x'.repeat(2 ** 18 - 50)}\n`);
    output.write(`${'y'.repeat(100)}\n`);
    output.write('short\n');
    file.room = Infinity;
    file.code = 'EAGAIN';
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text.replaceAll(/x+/g, 'x')).toBe('x\nlost 2: the disk was full (ENOSPC)\n');
  });

  test('a line that is larger than all that may wait is written where it can be', () => {
    output.write(`${'x'.repeat(2 ** 20)}\n`);
    expect(file.text).toHaveLength(2 ** 20 + 1);
  });

  test('asks an output that fails ten times a second, however many lines come', async () => {
    file.room = 0;
    for (let second = 0; second < 10; second++) {
      for (const line of LINES.slice(0, 1000)) output.write(line);
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(file.attempts).toBeLessThanOrEqual(101);
  });

  test.each([
    ['EPIPE', 'their reader had gone (EPIPE)'],
    ['EAGAIN', 'nobody read them (EAGAIN)'],
    ['EBADF', 'EBADF: failed'],
  ])('says of %s: %s', async (code, why) => {
    file.room = 0;
    file.code = code;
    for (const line of LINES) output.write(line);
    file.room = Infinity;
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text).toContain(`: ${why}\n`);
  });

  test('the loss is told again where the output fails over telling it, and counted once', async () => {
    file.room = 0;
    for (const line of LINES) output.write(line);
    file.room = 257 * 2 ** 10;
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text).toContain('lost ');
    const [told] = /lost \d+/.exec(file.text)!;
    file.room = Infinity;
    await vi.advanceTimersByTimeAsync(100);
    expect(file.text.match(/lost \d+/g)).toStrictEqual([told]);
  });

  test('gives a slow reader time before the process ends, but not for ever', async () => {
    file.room = 0;
    output.write('last\n');
    let isDone = false;
    void output.drain(300).then(() => (isDone = true));
    await vi.advanceTimersByTimeAsync(150);
    expect(isDone).toBe(false);
    file.room = Infinity;
    await vi.advanceTimersByTimeAsync(110);
    expect([isDone, file.text]).toStrictEqual([true, 'last\n']);

    file.room = 0;
    output.write('never\n');
    const ended = output.drain(300).then(() => 'ended');
    await vi.advanceTimersByTimeAsync(300);
    expect(await ended).toBe('ended');
  });
});
