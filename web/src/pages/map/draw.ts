// The map on a canvas: edges, nodes, labels; and what lies under the pointer.
import type { Edge, Kind, Node, Verdict } from './graph';
import { width, type Placed } from './layout';

/** Which part of the plane is in sight: a point is drawn at `x * k + dx`. */
export interface View {
  k: number;
  dx: number;
  dy: number;
}

export interface Palette {
  card: string;
  text: string;
  dim: string;
  line: string;
  accent: string;
  verdicts: Record<Verdict, string>;
  kinds: Record<Kind, string>;
}

export interface Scene {
  placed: Placed[];
  by: Map<string, Placed>;
  edges: Edge[];
  /** Node or edge that stands out, with what it touches. */
  lit: string;
  view: View;
  size: { width: number; height: number };
}

/** Names of colours; the theme gives them. */
export const VERDICT_COLOUR: Record<Verdict, string> = { refused: 'bad', observed: 'warn', accepted: 'good', unjudged: 'c8' };
export const KIND_COLOUR: Record<Kind, string> = { host: 'accent', address: 'c1', service: 'c6', subnet: 'c4', process: 'c5', group: 'c8' };
/** Refused and would-be-refused are broken lines: the colour is not all that tells them. */
const DASHES: Record<Verdict, number[]> = { refused: [7, 4], observed: [2, 3], accepted: [], unjudged: [] };
/** How far edges of one pair stand apart, by verdict. */
const BOW: Record<Verdict, number> = { accepted: 0.1, unjudged: 0.1, observed: 0.17, refused: 0.24 };

interface Curve {
  ax: number;
  ay: number;
  cx: number;
  cy: number;
  bx: number;
  by: number;
}

/** The curve of an edge on the screen, from rim to rim. */
function curve(edge: Edge, from: Placed, to: Placed, view: View): Curve {
  const at = (one: Placed): [number, number] => [(one.x ?? 0) * view.k + view.dx, (one.y ?? 0) * view.k + view.dy];
  const [ax, ay] = at(from);
  const [bx, by] = at(to);
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const bow = BOW[edge.verdict] * length;
  const cx = (ax + bx) / 2 - ((by - ay) / length) * bow;
  const cy = (ay + by) / 2 + ((bx - ax) / length) * bow;
  const rim = (x: number, y: number, r: number): [number, number] => {
    const d = Math.hypot(cx - x, cy - y) || 1;
    return [x + ((cx - x) / d) * r, y + ((cy - y) / d) * r];
  };
  const [sx, sy] = rim(ax, ay, from.radius * scale(view));
  const [ex, ey] = rim(bx, by, to.radius * scale(view) + 2);
  return { ax: sx, ay: sy, cx, cy, bx: ex, by: ey };
}

/** Nodes grow less than distances do when one looks closer. */
const scale = (view: View): number => Math.min(1.6, Math.max(0.45, Math.sqrt(view.k)));

function arrow(ctx: CanvasRenderingContext2D, line: Curve, thick: number): void {
  const angle = Math.atan2(line.by - line.cy, line.bx - line.cx);
  const size = 5 + thick;
  ctx.beginPath();
  ctx.moveTo(line.bx, line.by);
  ctx.lineTo(line.bx - size * Math.cos(angle - 0.42), line.by - size * Math.sin(angle - 0.42));
  ctx.lineTo(line.bx - size * Math.cos(angle + 0.42), line.by - size * Math.sin(angle + 0.42));
  ctx.closePath();
  ctx.fill();
}

function drawEdge(ctx: CanvasRenderingContext2D, scene: Scene, edge: Edge, most: number, colours: Palette, alpha: number, dense: number): void {
  const from = scene.by.get(edge.from);
  const to = scene.by.get(edge.to);
  if (!from || !to) return;
  const thick = Math.max(1, width(edge.bytes, most) * Math.min(1.2, scale(scene.view)) * (1 - 0.5 * dense));
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = colours.verdicts[edge.verdict];
  ctx.fillStyle = colours.verdicts[edge.verdict];
  ctx.lineWidth = thick;
  ctx.setLineDash(DASHES[edge.verdict]);
  ctx.beginPath();
  if (from === to) {
    const r = from.radius * scale(scene.view);
    ctx.arc((from.x ?? 0) * scene.view.k + scene.view.dx, (from.y ?? 0) * scene.view.k + scene.view.dy - r - 5, r * 0.6 + 4, 0.75 * Math.PI, 2.25 * Math.PI);
    ctx.stroke();
    ctx.setLineDash([]);
    return;
  }
  const line = curve(edge, from, to, scene.view);
  ctx.moveTo(line.ax, line.ay);
  ctx.quadraticCurveTo(line.cx, line.cy, line.bx, line.by);
  ctx.stroke();
  ctx.setLineDash([]);
  arrow(ctx, line, thick);
}

function outline(ctx: CanvasRenderingContext2D, kind: Kind, x: number, y: number, r: number): void {
  ctx.beginPath();
  if (kind === 'service') ctx.roundRect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8, r * 0.3);
  else if (kind === 'process') {
    ctx.moveTo(x, y - r * 1.1);
    ctx.lineTo(x + r * 1.1, y);
    ctx.lineTo(x, y + r * 1.1);
    ctx.lineTo(x - r * 1.1, y);
    ctx.closePath();
  } else ctx.arc(x, y, r, 0, 2 * Math.PI);
}

function drawNode(ctx: CanvasRenderingContext2D, one: Placed, view: View, colours: Palette, alpha: number, lit: boolean): void {
  const x = (one.x ?? 0) * view.k + view.dx;
  const y = (one.y ?? 0) * view.k + view.dy;
  const r = one.radius * scale(view);
  // What lies behind must not shine through.
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours.card;
  outline(ctx, one.node.kind, x, y, r);
  ctx.fill();
  ctx.globalAlpha = alpha;
  ctx.fillStyle = colours.kinds[one.node.kind];
  ctx.strokeStyle = lit ? colours.text : colours.kinds[one.node.kind];
  ctx.lineWidth = lit ? 2.5 : 1.5;
  ctx.globalAlpha = alpha * (one.node.kind === 'group' ? 0.28 : 0.75);
  ctx.fill();
  ctx.globalAlpha = alpha;
  ctx.stroke();
  if (one.node.kind !== 'group') return;
  // A second ring: there is more in it.
  outline(ctx, one.node.kind, x, y, r + 3.5);
  ctx.lineWidth = 1;
  ctx.stroke();
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}
const meets = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const LABEL_MAX = 30;
const cut = (label: string): string => (label.length > LABEL_MAX ? `${label.slice(0, LABEL_MAX - 1)}…` : label);

/** Which of the labels find room, and where: the largest first, each at its node's right, below, above or left. */
export function labels(nodes: { key: string; text: string; width: number; x: number; y: number; r: number; must: boolean }[], height: number): Map<string, { x: number; y: number }> {
  const taken: Box[] = nodes.map(({ x, y, r }) => ({ left: x - r, right: x + r, top: y - r, bottom: y + r }));
  const found = new Map<string, { x: number; y: number }>();
  const order = nodes.map((_, at) => at).sort((a, b) => Number(nodes[b]?.must) - Number(nodes[a]?.must) || a - b);
  for (const at of order) {
    const one = nodes[at];
    if (!one) continue;
    const places = [
      { x: one.x + one.r + 5, y: one.y },
      { x: one.x - one.width / 2, y: one.y + one.r + height / 2 + 2 },
      { x: one.x - one.width / 2, y: one.y - one.r - height / 2 - 2 },
      { x: one.x - one.r - 5 - one.width, y: one.y },
    ];
    const box = (place: { x: number; y: number }): Box => ({ left: place.x - 1, right: place.x + one.width + 1, top: place.y - height / 2, bottom: place.y + height / 2 });
    const place = places.find((some) => !taken.some((other, index) => index !== at && meets(box(some), other))) ?? (one.must ? places[0] : undefined);
    if (!place) continue;
    found.set(one.key, place);
    taken.push(box(place));
  }
  return found;
}

function drawLabels(ctx: CanvasRenderingContext2D, scene: Scene, near: Set<string> | undefined, colours: Palette): void {
  ctx.font = '12px system-ui, sans-serif';
  ctx.textBaseline = 'middle';
  const inSight = [...scene.placed].sort((a, b) => b.node.bytes - a.node.bytes).map((one) => ({
    key: one.key,
    text: cut(one.node.label),
    width: ctx.measureText(cut(one.node.label)).width,
    x: (one.x ?? 0) * scene.view.k + scene.view.dx,
    y: (one.y ?? 0) * scene.view.k + scene.view.dy,
    r: one.radius * scale(scene.view),
    must: one.key === scene.lit,
  })).filter((one) => one.x > -50 && one.y > -50 && one.x < scene.size.width + 50 && one.y < scene.size.height + 50);
  // When one node is looked at, its neighbours' names go before others'.
  const first = near ? [...inSight.filter((one) => near.has(one.key)), ...inSight.filter((one) => !near.has(one.key))] : inSight;
  const places = labels(first, 15);
  for (const one of first) {
    const place = places.get(one.key);
    if (!place) continue;
    ctx.globalAlpha = near && !near.has(one.key) ? 0.25 : 1;
    ctx.lineWidth = 3.5;
    ctx.strokeStyle = colours.card;
    ctx.lineJoin = 'round';
    ctx.strokeText(one.text, place.x, place.y);
    ctx.fillStyle = one.must ? colours.accent : colours.text;
    ctx.fillText(one.text, place.x, place.y);
  }
}

/** What a node or an edge touches, itself among it; nothing where nothing is lit. */
export function touched(lit: string, edges: Edge[]): Set<string> | undefined {
  if (!lit) return undefined;
  const found = new Set([lit]);
  for (const edge of edges) {
    if (edge.key === lit || edge.from === lit || edge.to === lit) {
      found.add(edge.key);
      found.add(edge.from);
      found.add(edge.to);
    }
  }
  return found;
}

export function draw(ctx: CanvasRenderingContext2D, scene: Scene, colours: Palette): void {
  const { width: wide, height } = scene.size;
  ctx.clearRect(0, 0, wide, height);
  const near = touched(scene.lit, scene.edges);
  const most = scene.edges[0]?.bytes ?? 0;
  // Many links get thinner and fainter, so that nodes stay the figure and links the ground.
  const dense = Math.min(1, scene.edges.length / 250);
  // The largest below, so that thin ones are seen upon them; what is lit upon all.
  const edges = [...scene.edges].reverse().sort((a, b) => Number(near?.has(a.key) ?? false) - Number(near?.has(b.key) ?? false) || b.bytes - a.bytes);
  for (const edge of edges) drawEdge(ctx, scene, edge, most, colours, near ? (near.has(edge.key) ? 0.95 : 0.06) : edge.verdict === 'refused' ? 0.9 : 0.7 - 0.4 * dense, near?.has(edge.key) ? 0 : dense);
  for (const one of scene.placed) drawNode(ctx, one, scene.view, colours, !near || near.has(one.key) ? 1 : 0.2, one.key === scene.lit);
  drawLabels(ctx, scene, near, colours);
  ctx.globalAlpha = 1;
}

/** The node at a point of the screen, or the edge near it. */
export function under(scene: Scene, x: number, y: number): Node | Edge | undefined {
  const hit = scene.placed.find((one) => {
    const dx = (one.x ?? 0) * scene.view.k + scene.view.dx - x;
    const dy = (one.y ?? 0) * scene.view.k + scene.view.dy - y;
    return Math.hypot(dx, dy) <= one.radius * scale(scene.view) + 3;
  });
  if (hit) return hit.node;
  let best: Edge | undefined;
  let nearest = 6;
  for (const edge of scene.edges) {
    const from = scene.by.get(edge.from);
    const to = scene.by.get(edge.to);
    if (!from || !to || from === to) continue;
    const line = curve(edge, from, to, scene.view);
    for (let t = 0; t <= 1; t += 1 / 24) {
      const u = 1 - t;
      const px = u * u * line.ax + 2 * u * t * line.cx + t * t * line.bx;
      const py = u * u * line.ay + 2 * u * t * line.cy + t * t * line.by;
      const far = Math.hypot(px - x, py - y);
      if (far < nearest) {
        nearest = far;
        best = edge;
      }
    }
  }
  return best;
}
