import { expect, it } from 'vitest';
import { groups, same, seen, toneOf } from './facts';
import { flow } from './sample';

const facts = (more: Parameters<typeof flow>[0]) => groups({ flow: flow(more) }).flatMap((group) => group.facts);
const find = (more: Parameters<typeof flow>[0], key: string) => facts(more).find((one) => one.key === key);

it('groups what is known and leaves out what is not', () => {
  expect(groups({ flow: flow() }).map((group) => group.name)).toEqual(['endpoints', 'timing', 'states', 'ids']);
  expect(groups({ flow: flow({ process: 'curl', dns_query: 'a.example', verdict: 'accept' }) }).map((group) => group.name)).toEqual([
    'endpoints', 'names', 'process', 'policy', 'timing', 'states', 'ids',
  ]);
});

it('gives each value the term that finds the like', () => {
  expect(find({}, 'source_ip')).toMatchObject({ term: 'src-ip:fd00::1', block: 'fd00::1' });
  expect(find({ process: 'my shell' }, 'process')?.term).toBe('process:"my shell"');
  expect(find({ tcp_flags_to_server: '...AP.SF' }, 'tcp_flags_to_server')).toMatchObject({ value: 'APSF', term: 'flags:APSF' });
  expect(find({ retransmits: 3 }, 'retransmits')).toMatchObject({ term: 'retransmits:>0', tone: 'warn' });
  expect(find({ retransmits: 0 }, 'retransmits')?.term).toBeUndefined();
});

it('says what is guessed', () => {
  expect(find({ application: 'https', application_guessed: true }, 'application')?.note).toBe('guessed');
  expect(find({ roles_known: false }, 'direction')?.note).toBe('roles');
  expect(find({ server_name: 'a.example', server_name_source: 'dns' }, 'server_name')?.note).toBe('dns');
});

it('colours verdicts', () => {
  expect(['accept', 'observed', 'drop', 'reject', undefined].map(toneOf)).toEqual(['good', 'warn', 'bad', 'bad', undefined]);
});

it('tells flows apart by number, conversation and host', () => {
  const row = { flow: flow(), host_id: 'h' };
  const community = row.flow.community_id;
  expect(same(row, { id: '7', community, host: 'h' })).toBe(true);
  expect(same(row, { id: '7', community, host: '' })).toBe(false);
  expect(same(row, { id: '7', community: '1:x', host: 'h' })).toBe(false);
});

it('knows which values occur, the most frequent first', () => {
  const rows = [flow({ process: 'a' }), flow({ process: 'b' }), flow({ process: 'b', peer_process: 'b' })].map((one) => ({ flow: one }));
  const found = seen(rows);
  expect(found.process).toEqual(['b', 'a']);
  expect(found.interface).toEqual(['eth0']);
  expect(found.ip).toEqual(['fd00::1', '10.0.0.2']);
  expect(found.sni).toEqual([]);
});
