import { describe, expect, test } from 'vitest';
import { commandsOf, isAsShown } from './commands.ts';

describe('commandsOf', () => {
  test('finds commands in blocks, with what is shown below them, and in text', () => {
    const page = [
      'Try `npm start -- --help`, not `PORT`.',
      '```sh',
      '# a comment',
      "one 'a#b' && two     # and why",
      'curl \\',
      '  localhost',
      '#=> {"a":1}',
      '#=> {"b":2}',
      '```',
      '```ts',
      'no command',
      '```',
    ].join('\n');
    expect(commandsOf(page)).toStrictEqual([
      { text: "one 'a#b'", shown: undefined },
      { text: 'two', shown: undefined },
      { text: 'curl    localhost', shown: '{"a":1}\n{"b":2}' },
      { text: 'npm start -- --help', shown: undefined },
    ]);
  });

  test.each(['', 'bash', 'console'])('has no block of commands marked "%s" go unseen', (language) => {
    expect(() => commandsOf(`\`\`\`${language}\ncurl localhost\n\`\`\`\n`)).toThrow('marked as sh');
  });
});

describe('isAsShown', () => {
  test.each([
    ['{"a":1}', '{"a":1}\n', true],
    ['{"a":1}', '{"a":2}', false],
    ['{"a":1}', '{"a":1}, and more', false],
    ['freed 6 MiB in 16 ms', 'freed 7.5 MiB in 122 ms', true],
    ['freed 6 MiB in 16 ms', 'freed 7.5 MiB in 122 keys', false],
    ['16 keys', '17 keys', false],
    ['{"a":…}', '{"a":{"b":1}}', true],
    ['{"a":…}', '{"b":{"a":1}}', false],
  ])('%j shown, %j printed: %s', (shown, printed, expected) => {
    expect(isAsShown(shown, printed)).toBe(expected);
  });
});
