import { expect, it } from 'vitest';
import { around, lineDiff } from './lines';

const short = (a: string, b: string): string[] =>
  lineDiff(a, b).map((line) => `${{ same: ' ', added: '+', removed: '-' }[line.kind]}${line.text}`);

it('tells what was added, removed and changed', () => {
  expect(short('a\nb\nc', 'a\nc')).toEqual([' a', '-b', ' c']);
  expect(short('a\nc', 'a\nb\nc')).toEqual([' a', '+b', ' c']);
  expect(short('a\nb\nc\nd', 'a\nB\nc\nD')).toEqual([' a', '-b', '+B', ' c', '-d', '+D']);
  expect(short('a', 'a')).toEqual([' a']);
  expect(short('', 'x')).toEqual(['-', '+x']);
});

it('numbers lines as their own text does', () => {
  expect(lineDiff('a\nb\nc', 'x\na\nc').map((line) => [line.before, line.after])).toEqual([[0, 1], [1, 2], [2, 0], [3, 3]]);
});

it('shows the neighbourhood of changes only', () => {
  const a = Array.from({ length: 20 }, (_, at) => `line ${at}`);
  const b = a.map((line, at) => (at === 10 ? 'other' : line));
  const shown = around(lineDiff(a.join('\n'), b.join('\n')), 2);
  expect(shown.map((line) => line.kind)).toEqual(['gap', 'same', 'same', 'removed', 'added', 'same', 'same', 'gap']);
  expect(shown[0]).toEqual({ kind: 'gap', lines: 8 });
});

it('stays quick with texts that have nothing in common', () => {
  const many = (word: string): string => Array.from({ length: 5000 }, (_, at) => `${word} ${at}`).join('\n');
  expect(lineDiff(many('a'), many('b'))).toHaveLength(10_000);
});
