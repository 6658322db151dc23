// Policies to begin with. Each is sound by itself and says in comments what to change.


const WATCH = `# Looks first: nothing is refused, and what would be is counted.
kind: Policy
metadata: {name: first, version: 1, description: "What would be refused"}
mode: observe
sets:
  # From where this host is administered. Change it to your own addresses.
  admins: {cidr: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}
tiers:
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: ssh, dir: in, proto: tcp, from: "@admins", dport: 22, action: accept}
  - {id: ping, dir: in, proto: icmp, icmp: echo-request, action: accept}
`;

const SERVER = `# A server: what it serves is open, its administration is not.
kind: Policy
metadata: {name: server, version: 1, description: "A web server"}
mode: enforce
confirm: {within: 120s}
sets:
  # From where this host is administered. Change it to your own addresses.
  admins: {cidr: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}
tiers:
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: web, dir: in, proto: tcp, dport: [80, 443], action: accept, limit: {rate: 200/s, per: src, over: drop}}
  - {id: ssh, dir: in, proto: tcp, from: "@admins", dport: 22, action: accept}
  - {id: ping, dir: in, proto: icmp, icmp: echo-request, action: accept, limit: {rate: 20/s, per: src}}
`;

const OPEN = `# Everything passes and is counted; add rules above the defaults.
kind: Policy
metadata: {name: open, version: 1}
mode: enforce
tiers:
- name: main
  default: {in: accept, out: accept}
  rules: []
`;

export const TEMPLATES: Record<'watch' | 'server' | 'open', string> = { watch: WATCH, server: SERVER, open: OPEN };
