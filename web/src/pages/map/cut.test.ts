import { expect, it } from 'vitest';
import { leastShare } from './cut';

it('is never more than what is known', () => {
  expect(leastShare([100, 50, 10], 3)).toBe(1);
  expect(leastShare([100, 50, 10], 7)).toBe(160 / 200);
  expect(leastShare([60, 60], 100)).toBe(0.02);
  expect(leastShare([], 0)).toBe(1);
});
