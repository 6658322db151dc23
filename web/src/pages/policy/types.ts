// What the agent says to an editor of policies, and what it lists of packet filters: shapes that `lib/types.ts` has no
// names for. They follow `crates/view/src/editing.rs` and `crates/host/src/rules/inventory.rs`.

export interface Named {
  name: string;
  version: number;
}

/** One thing that is wrong with a document. Lines and columns from 1, in characters; line 0 stands nowhere. */
export interface Fault {
  severity: string;
  message: string;
  hint?: string | null;
  line: number;
  column: number;
  length?: number;
}

export interface CheckResult {
  sound: boolean;
  signed: boolean;
  policy?: Named | null;
  problems: Fault[];
  left_out?: number;
}

export interface Difference {
  kind: string;
  what: string;
  id: string;
  tier?: string | null;
  before?: string | null;
  after?: string | null;
}

export interface DiffResult {
  from?: Named | null;
  to: Named;
  same?: boolean;
  changes: Difference[];
}

export interface Statement {
  statement: string;
  digest: string;
  previous?: string | null;
}

export interface FilterRule {
  handle: number;
  text: string;
  packets: number | null;
  bytes: number | null;
  ours: boolean;
}

export interface FilterChain {
  name: string;
  base: { kind: string; hook: string; priority: number; policy: string; packets: number | null; bytes: number | null } | null;
  ours: boolean;
  rules: FilterRule[];
  hash: string;
}

export interface FilterTable {
  source: string;
  family: string;
  name: string;
  ours: boolean;
  chains: FilterChain[];
  sets: { name: string; expires: boolean; is_map: boolean; elements: number }[];
  hash: string;
}

export interface Inventory {
  tables: FilterTable[];
  missing: { tool: string; why: string }[];
}
