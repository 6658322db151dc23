// How much of all the largest flows are, when only they were sent. Pure.

/** The share of bytes that the largest have at least: each of the others has at most as many as the smallest of them. */
export function leastShare(largest: number[], all: number): number {
  const sum = largest.reduce((total, one) => total + one, 0);
  const others = Math.max(0, all - largest.length) * Math.min(...(largest.length > 0 ? largest : [0]));
  return sum + others > 0 ? sum / (sum + others) : 1;
}
