import { expect, it } from 'vitest';
import { labels } from './draw';

const node = (key: string, x: number, y: number, must = false) => ({ key, text: key, width: 60, x, y, r: 8, must });

it('puts no label upon another or upon a node', () => {
  const nodes = Array.from({ length: 30 }, (_, at) => node(`n${at}`, (at % 6) * 40, Math.floor(at / 6) * 25));
  const found = [...labels(nodes, 14).values()];
  expect(found.length).toBeGreaterThan(3);
  const upon = found.flatMap((a, at) => found.slice(at + 1).filter((b) => Math.abs(a.x - b.x) < 60 && Math.abs(a.y - b.y) < 14));
  expect(upon).toEqual([]);
  const onNode = found.filter((a) => nodes.some((b) => a.x < b.x + 8 && a.x + 60 > b.x - 8 && Math.abs(a.y - b.y) < 15 - 0.01 && a.y + 7 > b.y - 8 && a.y - 7 < b.y + 8));
  expect(onNode).toEqual([]);
});

it('always names what is looked at', () => {
  const nodes = [...Array.from({ length: 20 }, (_, at) => node(`n${at}`, at, 0)), node('lit', 10, 0, true)];
  expect(labels(nodes, 14).has('lit')).toBe(true);
});
