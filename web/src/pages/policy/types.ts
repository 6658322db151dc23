// What the agent lists of packet filters. The API's document does not say its shape; it follows
// `crates/host/src/rules/inventory.rs`.

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
