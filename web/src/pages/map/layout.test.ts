import { expect, it } from 'vitest';
import { noVerdicts, type Graph } from './graph';
import { Layout, radius, width } from './layout';

function star(n: number): Graph {
  const nodes = Array.from({ length: n }, (_, at) => ({
    key: `a:${at}`, label: `${at}`, kind: 'address' as const, who: {}, bytes: 1e6 / (at + 1), packets: 1, flows: 1, sent: 0, received: 0, verdicts: noVerdicts(),
  }));
  const edges = nodes.slice(1).map((one) => ({
    key: `a:0>${one.key}`, from: 'a:0', to: one.key, verdict: 'accepted' as const, bytes: one.bytes, packets: 1, flows: 1, toServer: 0, services: {},
  }));
  return { nodes, edges };
}

function settled(graph: Graph, layout = new Layout()): Layout {
  layout.take(graph);
  layout.settle();
  return layout;
}
const places = (layout: Layout): string[] => layout.placed.map((one) => `${one.key} ${one.x?.toFixed(3)} ${one.y?.toFixed(3)}`);

it('is the same for the same graph', () => {
  expect(places(settled(star(40)))).toEqual(places(settled(star(40))));
});

it('comes to rest, with no node upon another', () => {
  const { placed, still } = settled(star(60));
  expect(still).toBe(true);
  const near = placed.flatMap((a, at) => placed.slice(at + 1).filter((b) => Math.hypot(a.x! - b.x!, a.y! - b.y!) < a.radius + b.radius));
  expect(near).toEqual([]);
});

it('does not move what has only grown', () => {
  const layout = settled(star(20));
  const before = places(layout);
  const grown = star(20);
  for (const one of grown.nodes) one.bytes *= 3;
  expect(layout.take(grown)).toBe(false);
  expect(layout.still).toBe(true);
  expect(places(layout)).toEqual(before);
});

it('puts what is new beside what it talks to, and leaves the others about where they are', () => {
  const layout = settled(star(20));
  const before = new Map(layout.placed.map((one) => [one.key, [one.x!, one.y!]]));
  settled(star(21), layout);
  const size = layout.bounds().right - layout.bounds().left;
  const moves = [...before].map(([key, [x, y]]) => Math.hypot(layout.by.get(key)!.x! - x!, layout.by.get(key)!.y! - y!));
  expect(Math.max(...moves)).toBeLessThan(size / 2);
});

it('keeps what is small in sight', () => {
  expect(radius(0, 0)).toBeGreaterThan(4);
  expect(radius(100, 1e9)).toBeGreaterThan(4);
  expect(radius(1e9, 1e9)).toBeGreaterThan(radius(1e6, 1e9));
  expect([width(0, 0), width(10, 1e12) >= 1, width(1e12, 1e12)]).toEqual([1, true, 8]);
});
