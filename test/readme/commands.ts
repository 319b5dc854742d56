/** What a page tells its reader to type. Pure. */

export interface Command {
  readonly text: string;
  /** The output that the page shows below the command, if any. */
  readonly shown: string | undefined;
}

/** How a line begins that shows what the command before it prints. */
const SHOWN = '#=> ';
/** Programs whose commands are found outside of code blocks, too. */
const IN_TEXT = /`((?:curl|docker|node|npm|npx) [^`]+)`/g;

/** The commands in the `sh` blocks of a page, in their order, and after them those in its text. */
export function commandsOf(page: string): Command[] {
  const blocks = [...page.matchAll(/^ *```(\w*)\n([^]*?)^ *```$/gm)];
  const unknown = blocks.filter(
    ([, language]) => language === '' || /^(ba|z)sh|console|shell$/.test(language),
  );
  if (unknown.length > 0) throw new Error(`a block of commands is marked as sh: ${unknown[0][0]}`);
  const inBlocks = blocks.filter(([, language]) => language === 'sh').flatMap(([, , code]) => inBlock(code));
  const text = page.replaceAll(/^ *```[^]*?^ *```$/gm, '');
  return [
    ...inBlocks,
    ...[...text.matchAll(IN_TEXT)].map(([, found]) => ({ text: found, shown: undefined })),
  ];
}

function inBlock(code: string): Command[] {
  const commands: Command[] = [];
  for (const line of code.replaceAll('\\\n', ' ').split('\n')) {
    const last = commands.at(-1);
    if (line.startsWith(SHOWN) && last !== undefined) {
      const shown = line.slice(SHOWN.length);
      commands[commands.length - 1] = {
        ...last,
        shown: last.shown === undefined ? shown : `${last.shown}\n${shown}`,
      };
    } else {
      const withoutComment = line.replace(/(^|\s+)#\s.*$/, '');
      const parts = withoutComment.split(' && ').filter((part) => part.trim() !== '');
      commands.push(...parts.map((part) => ({ text: part.trim(), shown: undefined })));
    }
  }
  return commands;
}

/** What differs from run to run: times, sizes, and whatever a page has left out with `…`. */
const TIME = String.raw`\d+(?:\.\d+)? (?:µs|ms|s|min|h)\b`;
const SIZE = String.raw`\d+(?:\.\d+)? (?:B|[KMGT]iB)\b`;
const VARIABLE = new RegExp(`(${TIME})|(${SIZE})|…`, 'g');

/** Whether a command printed what the page shows. */
export function isAsShown(shown: string, printed: string): boolean {
  let pattern = '';
  let end = 0;
  for (const match of shown.matchAll(VARIABLE)) {
    const [text, time, size] = match;
    const anything = time === undefined && size === undefined ? '[^]*?' : (time && TIME) || SIZE;
    pattern += RegExp.escape(shown.slice(end, match.index)) + anything;
    end = match.index + text.length;
  }
  return new RegExp(`^${pattern}${RegExp.escape(shown.slice(end))}$`).test(printed.trimEnd());
}
