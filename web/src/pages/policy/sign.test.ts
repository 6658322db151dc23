// The documents here were signed by `hivewall policy sign` with keys of `hivewall policy keygen`: Ed25519 gives the same
// signature each time, so what the browser writes must be the same bytes.
import { expect, it } from 'vitest';
import { join, sign, SignError, signers, split } from './sign';

const ADA = 'hivewall-secret-ed25519 0FRQaaxkf0AjvZ2XSH/kNDprGIAIyihmTKyuynvhobw= ada\n';
const GRACE = 'hivewall-secret-ed25519 iOqr9nQIKUQCcY1MCcoCLW3v6ZdeC58oJe06Ygfe+hc= grace\n';
const HEAD = `#hivewall-signed 1
#kind policy
#name edge
#version 1
#previous none
#not-before none
#not-after 2100-01-01T00:00:00Z
`;
const BY_ADA = '#by 01d942738da6cda2 aoPVtJ0GCIA3IfAPia09Kae3FiwNwtH80RTJjT6exmFmQ7I954dgfi6Cusy06j4KUwFQKEm+ax8zgB9Pa3AUAA==\n';
const BY_GRACE = '#by 21662c1b59fd6f89 o5Gm6mTpSw0W/9z+Jvb1vwj2ulFAmBvXb3F81vcSgQAaWgK39Y/387v72/G3H5GoV4O2mS/h90SeWdaqki6FBg==\n';
const TEXT = `#--
kind: Policy
metadata: {name: edge, version: 1, notAfter: 2100-01-01T00:00:00Z}
tiers: []
`;

it('signs a statement as the program does', async () => {
  expect(await sign(HEAD + TEXT, ADA)).toEqual({ document: HEAD + BY_ADA + TEXT, key: '01d942738da6cda2', name: 'ada' });
});

it('adds a second signature, keys ascending, whoever signs first', async () => {
  const both = HEAD + BY_ADA + BY_GRACE + TEXT;
  expect((await sign(HEAD + BY_ADA + TEXT, GRACE)).document).toBe(both);
  expect((await sign(HEAD + BY_GRACE + TEXT, ADA)).document).toBe(both);
  expect(signers(both)).toEqual(['01d942738da6cda2', '21662c1b59fd6f89']);
});

it('takes apart what it puts together', () => {
  const both = HEAD + BY_ADA + BY_GRACE + TEXT;
  const { statement, signatures } = split(both);
  expect(statement).toBe(HEAD + TEXT);
  expect(join(statement, signatures)).toBe(both);
});

it('leaves lines of the document alone that look like signatures', () => {
  const odd = `${HEAD}#--\n#by 0000000000000000 AAAA\nkind: Policy\n`;
  expect(split(odd).statement).toBe(odd);
  expect(signers(odd)).toEqual([]);
});

it('says what is wrong', async () => {
  const fault = (text: string, key: string): Promise<unknown> => sign(text, key).catch((error: unknown) => (error as SignError).fault);
  expect(await fault(HEAD + BY_ADA + TEXT, ADA)).toBe('signed_already');
  expect(await fault('kind: Policy\n', ADA)).toBe('not_a_statement');
  for (const key of ['', 'x', ADA.replace('secret', 'public'), ADA.replace('0FRQ', ''), `${ADA.trim()} more`]) {
    expect(await fault(HEAD + TEXT, key)).toBe('not_a_key');
  }
});
