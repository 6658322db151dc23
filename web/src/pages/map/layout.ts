// Where nodes stand. Forces that come to rest, the same for the same graph; what stands already stays about where it is
// when the graph changes, so that the eye finds it again.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY, type Simulation } from 'd3-force';
import type { Edge, Graph, Node } from './graph';

export interface Placed {
  key: string;
  node: Node;
  radius: number;
  index?: number;
  x?: number;
  y?: number;
  vx?: number;
  vy?: number;
}

interface Spring {
  source: Placed;
  target: Placed;
}

const RADIUS_MIN = 6;
const RADIUS_MAX = 26;
/** Steps after which it stands; alpha is below d3's own least by then. */
const STEPS_MAX = 320;
/** How long one sees it come to rest, milliseconds. */
const SETTLE_MS = 1200;
/** Labels stand to the right, so the map is wider than tall. */
const FLATTEN = 1.6;

/** By the logarithm: the largest is not all there is to see. */
export function radius(bytes: number, most: number): number {
  if (!(bytes > 0) || !(most > 0)) return RADIUS_MIN;
  const share = Math.log2(1 + bytes / 64) / Math.log2(1 + most / 64);
  return RADIUS_MIN + (RADIUS_MAX - RADIUS_MIN) * share ** 3;
}

/** Width of an edge by its volume, in pixels. */
export function width(bytes: number, most: number): number {
  if (!(bytes > 0) || !(most > 0)) return 1;
  return 1 + 7 * (Math.log2(1 + bytes / 64) / Math.log2(1 + most / 64)) ** 4;
}

/** Random numbers that are the same each time. */
function sequence(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export class Layout {
  placed: Placed[] = [];
  by = new Map<string, Placed>();
  #simulation: Simulation<Placed, undefined> | undefined;
  #steps = 0;
  #nodes = '';
  #pairs = '';

  /** Takes another graph. True when there is something to move. */
  take(graph: Graph): boolean {
    const most = graph.nodes[0]?.bytes ?? 0;
    const before = this.by;
    // In the order of names: the largest change places, and nothing should jump for that.
    const nodes = [...graph.nodes].sort((a, b) => (a.key < b.key ? -1 : 1));
    this.placed = nodes.map((node) => {
      const old = before.get(node.key);
      return { key: node.key, node, radius: radius(node.bytes, most), x: old?.x, y: old?.y };
    });
    this.by = new Map(this.placed.map((one) => [one.key, one]));
    const keys = nodes.map((one) => one.key).join('\n');
    const tied = pairs(graph.edges).map((one) => one.join()).join('\n');
    const moved = keys !== this.#nodes || tied !== this.#pairs;
    // A link more shifts a little; nodes that come or go shift more.
    if (moved) this.#begin(graph, before.size === 0 ? 1 : keys !== this.#nodes ? 0.5 : 0.12);
    this.#nodes = keys;
    this.#pairs = tied;
    return moved;
  }

  #begin(graph: Graph, alpha: number): void {
    const springs: Spring[] = pairs(graph.edges).flatMap(([from, to]) => {
      const source = this.by.get(from);
      const target = this.by.get(to);
      return source && target ? [{ source, target }] : [];
    });
    this.#near(springs);
    this.#steps = Math.round(STEPS_MAX * (1 - alpha));
    this.#simulation = forceSimulation(this.placed)
      .randomSource(sequence(7))
      .alpha(alpha)
      .force('link', forceLink<Placed, Spring>(springs).distance((one) => 46 + one.source.radius + one.target.radius))
      .force('charge', forceManyBody<Placed>().strength((one) => -160 - 9 * one.radius).distanceMax(600))
      .force('collide', forceCollide<Placed>((one) => one.radius + 9))
      .force('x', forceX<Placed>(0).strength(0.045))
      .force('y', forceY<Placed>(0).strength(0.045 * FLATTEN))
      .stop();
  }

  /** What is new begins beside what it talks to. */
  #near(springs: Spring[]): void {
    for (const { source, target } of springs) {
      for (const [one, other] of [[source, target], [target, source]] as const) {
        if (one.x !== undefined || other.x === undefined) continue;
        const angle = (this.placed.indexOf(one) * 2.4) % (2 * Math.PI);
        one.x = other.x + 60 * Math.cos(angle);
        one.y = (other.y ?? 0) + 60 * Math.sin(angle);
      }
    }
  }

  get still(): boolean {
    return !this.#simulation || this.#steps >= STEPS_MAX;
  }

  step(): void {
    if (this.still) return;
    this.#steps += 1;
    this.#simulation?.tick();
  }

  /** As many steps as belong to a time, so that it stands after `SETTLE_MS` however slow the machine draws. */
  advance(ms: number): void {
    for (let steps = Math.max(1, Math.ceil((ms / SETTLE_MS) * STEPS_MAX)); steps > 0 && !this.still; steps -= 1) this.step();
  }

  settle(): void {
    while (!this.still) this.step();
  }

  /** The rectangle that all lie in. */
  bounds(): { left: number; top: number; right: number; bottom: number } {
    const box = { left: 0, top: 0, right: 0, bottom: 0 };
    for (const { x = 0, y = 0, radius: r } of this.placed) {
      box.left = Math.min(box.left, x - r);
      box.right = Math.max(box.right, x + r);
      box.top = Math.min(box.top, y - r);
      box.bottom = Math.max(box.bottom, y + r);
    }
    return box;
  }
}

/** Who is tied to whom, each pair once, in a fixed order. */
function pairs(edges: Edge[]): [string, string][] {
  const found = new Map<string, [string, string]>();
  for (const { from, to } of edges) {
    if (from === to) continue;
    const pair: [string, string] = from < to ? [from, to] : [to, from];
    found.set(pair.join('\t'), pair);
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair);
}
