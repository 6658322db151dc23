// Writes a capture with so many flows, for the table that has to hold them: `node capture.mjs FILE NUMBER`.
//
// Each flow is a UDP question and its answer, from one of 65,536 ports and as many clients as are needed to one of
// five services. Times are one flow each 100 us, ending in the past.
import { writeFileSync } from 'node:fs';

const [file, number] = [process.argv[2], Number(process.argv[3])];
const PORTS = [53, 123, 443, 514, 5353];
const BEGIN = Date.UTC(2026, 0, 5, 8) / 1000;
const packet = 16 + 14 + 20 + 8 + 32;
const bytes = Buffer.alloc(24 + number * 2 * packet);
let at = 0;
const u8 = (value) => (at = bytes.writeUInt8(value, at));
const u16 = (value) => (at = bytes.writeUInt16BE(value, at));
const le32 = (value) => (at = bytes.writeUInt32LE(value >>> 0, at));
const le16 = (value) => (at = bytes.writeUInt16LE(value, at));

le32(0xa1b2c3d4), le16(2), le16(4), le32(0), le32(0), le32(65535), le32(1);

function frame(micros, from, to, sport, dport) {
  le32(BEGIN + Math.floor(micros / 1e6)), le32(micros % 1e6), le32(packet - 16), le32(packet - 16);
  for (const byte of [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]) u8(byte);
  const header = at;
  u8(0x45), u8(0), u16(60), u16(0), u16(0x4000), u8(64), u8(17), u16(0);
  for (const byte of [...from, ...to]) u8(byte);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += bytes.readUInt16BE(header + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  bytes.writeUInt16BE(~sum & 0xffff, header + 10);
  // A checksum of 0 says that there is none (RFC 768).
  u16(sport), u16(dport), u16(40), u16(0);
  at += 32;
}

for (let flow = 0; flow < number; flow += 1) {
  const client = [10, 66, (flow >> 8) & 255, flow & 255];
  const server = [10, 67, 0, (flow % 200) + 1];
  const [sport, dport] = [1024 + (flow % 60000), PORTS[flow % PORTS.length]];
  frame(flow * 100, client, server, sport, dport);
  frame(flow * 100 + 50, server, client, dport, sport);
}
writeFileSync(file, bytes);
