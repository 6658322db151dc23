// Signing in the browser, for one act. The same bytes as `hivewall policy sign` writes: Ed25519 over the statement, which
// is the signed file without its `#by` lines; see docs/guide/policy-signing.md and crates/policy/src/sign/envelope.rs.
//
// Invariant: a secret key is a value of a function here and of nothing else. It is never stored and never sent.

const SECRET = 'hivewall-secret-ed25519';
const END = '\n#--\n';
/** What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410). */
const PKCS8_HEAD = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

export type SignFault = 'not_a_key' | 'no_crypto' | 'not_a_statement' | 'signed_already';

/** Why nothing was signed. */
export class SignError extends Error {
  constructor(readonly fault: SignFault) {
    super(fault);
  }
}

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** The statement and the signatures of a document, signed or ready to be signed. */
export function split(text: string): { statement: string; signatures: Map<string, string> } {
  const end = text.indexOf(END);
  if (!text.startsWith('#hivewall-signed 1\n') || end < 0) throw new SignError('not_a_statement');
  const head = text.slice(0, end).split('\n');
  const signatures = new Map<string, string>();
  for (const line of head) {
    const by = /^#by ([0-9a-f]{16}) (\S+)$/.exec(line);
    if (by) signatures.set(by[1] as string, by[2] as string);
  }
  const rest = head.filter((line) => !line.startsWith('#by '));
  return { statement: rest.join('\n') + text.slice(end), signatures };
}

/** The signed document: a line for each signature, keys ascending, before the end of the head. */
export function join(statement: string, signatures: Map<string, string>): string {
  const at = statement.indexOf(END) + 1;
  const lines = [...signatures].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, signature]) => `#by ${key} ${signature}\n`);
  return statement.slice(0, at) + lines.join('') + statement.slice(at);
}

interface Key {
  id: string;
  name: string;
  sign: (text: string) => Promise<string>;
}

/** Reads the line that `hivewall policy keygen` writes. */
async function readKey(line: string): Promise<Key> {
  if (!globalThis.crypto?.subtle) throw new SignError('no_crypto');
  const [kind, secret, name, ...more] = line.trim().split(' ');
  const seed = fromBase64(secret ?? '');
  if (kind !== SECRET || !name || more.length > 0 || seed?.length !== 32) throw new SignError('not_a_key');
  const wrapped = new Uint8Array([...PKCS8_HEAD, ...seed]);
  try {
    // Extractable, because the public half comes out no other way.
    const key = await crypto.subtle.importKey('pkcs8', wrapped, { name: 'Ed25519' }, true, ['sign']);
    const { x = '' } = await crypto.subtle.exportKey('jwk', key);
    const half = fromBase64(x.replace(/-/g, '+').replace(/_/g, '/')) ?? new Uint8Array();
    const id = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', half)).slice(0, 8));
    return {
      id,
      name,
      sign: async (text) => base64(new Uint8Array(await crypto.subtle.sign({ name: 'Ed25519' }, key, new TextEncoder().encode(text)))),
    };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotSupportedError') throw new SignError('no_crypto');
    throw error;
  } finally {
    seed.fill(0);
    wrapped.fill(0);
  }
}

export interface Signature {
  document: string;
  key: string;
  name: string;
}

/** The document with one more signature, by the key in `line`. */
export async function sign(text: string, line: string): Promise<Signature> {
  const { statement, signatures } = split(text);
  const key = await readKey(line);
  if (signatures.has(key.id)) throw new SignError('signed_already');
  signatures.set(key.id, await key.sign(statement));
  return { document: join(statement, signatures), key: key.id, name: key.name };
}

/** Who says to have signed. Whether it is so the agent finds out. */
export function signers(text: string): string[] {
  try {
    return [...split(text).signatures.keys()];
  } catch {
    return [];
  }
}
