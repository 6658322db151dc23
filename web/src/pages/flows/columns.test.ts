import { expect, it } from 'vitest';
import { all, csv, pick, rtt, shown } from './columns';
import { flow } from './sample';

const CATALOGUE = [
  { name: 'bytes', title: 'BYTES', doc: 'IP bytes.', unit: 'B', kind: 'bytes' as const },
  { name: 'ja4', title: 'JA4', doc: '', unit: '', kind: 'text' as const },
  { name: 'tcp_state', title: 'TCP STATE', doc: '', unit: '', kind: 'text' as const },
];

it('puts an address and its port together', () => {
  const row = { flow: flow() };
  expect([shown(row, 'client'), shown(row, 'server')]).toEqual(['[fd00::1]:40000', '10.0.0.2:443']);
});

it('shows values in their units, and nothing where there is nothing', () => {
  const row = { flow: flow({ application: 'https', application_guessed: true, handshake_rtt_seconds: 0.02 }) };
  expect(['bytes', 'duration_seconds', 'rtt', 'application', 'interfaces', 'process', 'packets'].map((key) => shown(row, key)))
    .toEqual(['1.5 kB', '2.5s', '20ms', '~https', 'eth0', '', '12']);
  expect(shown({ flow: flow({ bits_per_second: 0 }) }, 'bits_per_second')).toBe('–');
});

it("takes the local socket's round trip before the handshake's", () => {
  expect(rtt(flow({ smoothed_rtt_seconds: 0.001, handshake_rtt_seconds: 0.02 }))).toBe(0.001);
  expect(rtt(flow())).toBeUndefined();
});

it('makes columns of the catalogue', () => {
  const every = all(CATALOGUE, { client: { title: 'Client', help: 'Who opened it.' } });
  expect(every.map((one) => one.title)).toEqual(['Host', 'Client', 'Server', 'Rtt', 'Bytes', 'JA4', 'TCP state']
    .map((title) => (title === 'Rtt' ? 'RTT' : title)));
  expect(every.find((one) => one.key === 'bytes')).toMatchObject({ number: true, sort: 'bytes', help: 'IP bytes.' });
});

it('picks in the order asked for; the host is there in a fleet alone', () => {
  const every = all(CATALOGUE, {});
  expect(pick(every, ['ja4', 'nothing', 'bytes'], false).map((one) => one.key)).toEqual(['ja4', 'bytes']);
  expect(pick(every, ['host', 'bytes'], false).map((one) => one.key)).toEqual(['bytes']);
  expect(pick(every, ['bytes'], true).map((one) => one.key)).toEqual(['host', 'bytes']);
});

it('writes CSV that a spreadsheet does not run', () => {
  const row = { flow: flow({ server_name: '=1+1', process: 'a,"b"' }) };
  expect(csv([row], ['server_name', 'process', 'bytes', 'verdict'])).toBe('server_name,process,bytes,verdict\r\n\'=1+1,"a,""b""",1500,\r\n');
});
