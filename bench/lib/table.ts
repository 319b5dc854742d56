type Cell = string | number;

/** A Markdown table, padded so that it also reads well unrendered; columns of figures align right. */
export function markdownTable(columns: string[], rows: Cell[][]): string {
  const texts = rows.map((row) => columns.map((_, index) => cellText(row[index] ?? '')));
  const isFigures = columns.map((_, index) => texts.length > 0 && texts.every((row) => isFigure(row[index])));
  const widths = columns.map((column, index) =>
    Math.max(3, column.length, ...texts.map((row) => row[index].length)),
  );
  const line = (cells: string[]): string =>
    `| ${cells.map((cell, index) => (isFigures[index] ? cell.padStart(widths[index]) : cell.padEnd(widths[index]))).join(' | ')} |`;
  const rule = widths.map((width, index) =>
    isFigures[index] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width),
  );
  return [line(columns), line(rule), ...texts.map(line)].join('\n') + '\n';
}

/** A bar in a cell would end it. */
function cellText(cell: Cell): string {
  return String(cell).replaceAll('|', '\\|');
}

function isFigure(text: string): boolean {
  return /^(?:[-+±<>~]?[\d.,]+\s?\S{0,4}|–|)$/.test(text);
}
