// What differs between two texts, line by line.

export interface Line {
  kind: 'same' | 'added' | 'removed';
  text: string;
  /** Number of the line in the old and in the new text; 0 where it is not in it. */
  before: number;
  after: number;
}

/** Above this many comparisons all lines between the ends are told as replaced, so that no page stands still. */
const CELLS_MAX = 4_000_000;

/** Lengths of longest common parts of what follows: `table[i * (b.length + 1) + j]` for `a[i..]` and `b[j..]`. */
function common(a: string[], b: string[]): Uint32Array {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        a[i] === b[j]
          ? (table[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(table[(i + 1) * width + j] ?? 0, table[i * width + j + 1] ?? 0);
    }
  }
  return table;
}

/** The two texts as one list; lines that are in both stand once. */
export function lineDiff(old: string, now: string): Line[] {
  const a = old.split('\n');
  const b = now.split('\n');
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const left = a.slice(head, a.length - tail);
  const right = b.slice(head, b.length - tail);
  const lines: Line[] = [];
  const put = (kind: Line['kind'], text: string, before: number, after: number): void => void lines.push({ kind, text, before, after });
  for (let at = 0; at < head; at += 1) put('same', a[at] as string, at + 1, at + 1);
  let i = 0;
  let j = 0;
  const table = left.length * right.length <= CELLS_MAX ? common(left, right) : undefined;
  const width = right.length + 1;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j] && table) {
      put('same', left[i] as string, head + i + 1, head + j + 1);
      i += 1;
      j += 1;
    } else if (i < left.length && (j >= right.length || !table || (table[(i + 1) * width + j] ?? 0) >= (table[i * width + j + 1] ?? 0))) {
      put('removed', left[i] as string, head + i + 1, 0);
      i += 1;
    } else {
      put('added', right[j] as string, 0, head + j + 1);
      j += 1;
    }
  }
  for (let at = tail; at > 0; at -= 1) put('same', a[a.length - at] as string, a.length - at + 1, b.length - at + 1);
  return lines;
}

/** A line, or so many lines that are the same and not shown. */
export type Shown = Line | { kind: 'gap'; lines: number };

/** Only what changes, with some lines around it. */
export function around(lines: Line[], context = 3): Shown[] {
  const near = lines.map(() => false);
  lines.forEach((line, at) => {
    if (line.kind === 'same') return;
    for (let other = Math.max(0, at - context); other <= Math.min(lines.length - 1, at + context); other += 1) near[other] = true;
  });
  const shown: Shown[] = [];
  lines.forEach((line, at) => {
    const last = shown.at(-1);
    if (near[at]) shown.push(line);
    else if (last?.kind === 'gap') last.lines += 1;
    else shown.push({ kind: 'gap', lines: 1 });
  });
  return shown;
}
