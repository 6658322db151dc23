// Writes src/lib/schema.d.ts: the documents of the API as TypeScript types, from docs/reference/openapi.json.
//
// The paths are left out: their filter parameters would be most of the file, and `lib/api.ts` takes them as names.
import { readFileSync, writeFileSync } from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const document = JSON.parse(readFileSync(new URL('../../docs/reference/openapi.json', import.meta.url), 'utf8'));
const tree = await openapiTS({ ...document, paths: {} });
const head = '// Written by `npm run types` from docs/reference/openapi.json; not by hand.\n\n';
writeFileSync(new URL('../src/lib/schema.d.ts', import.meta.url), head + astToString(tree));
