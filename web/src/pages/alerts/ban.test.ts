// Whom a ban would touch.
import { describe, expect, it } from 'vitest';
import type { FlowRow, MemberPage } from '../../lib/types';
import { touches } from './ban';

const flow = (more: Partial<FlowRow>): FlowRow =>
  ({ source_ip: '10.0.0.9', dest_ip: '10.0.0.1', dest_port: 22, protocol: 'tcp', direction: 'inbound', bytes: 100, state: 'active', ...more }) as FlowRow;
const member = (name: string, ...addresses: string[]): MemberPage['members'][number] => ({ id: name, name, addresses }) as MemberPage['members'][number];

describe('touches', () => {
  it('adds up what the address has', () => {
    const found = touches('10.0.0.9', [flow({}), flow({ dest_port: 80 }), flow({ dest_port: 80, state: 'closed' })], []);
    expect(found).toEqual({ own: false, member: undefined, bytes: 300, open: 2, services: ['tcp 80', 'tcp 22'], distinct: 2 });
  });
  it('an address that is called from outside, or calls out, is this host', () => {
    expect(touches('10.0.0.1', [flow({})], []).own).toBe(true);
    expect(touches('10.0.0.9', [flow({ direction: 'outbound' })], []).own).toBe(true);
    expect(touches('10.0.0.9', [flow({ direction: 'transit' })], []).own).toBe(false);
    expect(touches('127.0.0.1', [], []).own).toBe(true);
  });
  it('an address of a member is known by its endpoint', () => {
    const members = [member('a', '10.0.0.2:7734'), member('b', '[fd00::9]:7734')];
    expect(touches('fd00::9', [], members).member).toBe('b');
    expect(touches('10.0.0.20', [], members).member).toBeUndefined();
  });
});
