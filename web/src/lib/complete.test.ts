import { expect, it } from 'vitest';
import { complete, ofHost, term, termAt, withTerm } from './complete';

const field = (name: string, words: string[] = [], examples: string[] = []) => ({ name, words, examples, doc: '', expects: 'a value' });
const FIELDS = [field('port', [], ['443']), field('src-port'), field('proto', ['tcp', 'udp']), field('process')];

it('finds the term at the cursor, spaces in quotes included', () => {
  expect(termAt('port:1 process:"a b" x', 16)).toEqual({ from: 7, to: 20 });
  expect(termAt('port:1 ', 7)).toEqual({ from: 7, to: 7 });
});

it('offers fields, those that begin so first', () => {
  expect(complete('po', 2, FIELDS).map((one) => one.insert)).toEqual(['port:', 'src-port:']);
  expect(complete('x -pro', 6, FIELDS).map((one) => one.insert)).toEqual(['-proto:', '-process:']);
});

it('offers the words of a field, values that were seen, or its examples', () => {
  expect(complete('proto:u', 7, FIELDS).map((one) => one.insert)).toEqual(['proto:udp ']);
  expect(complete('process:', 8, FIELDS, { process: ['my shell'] }).map((one) => one.insert)).toEqual(['process:"my shell" ']);
  expect(complete('port:', 5, FIELDS).map((one) => one.label)).toEqual(['443']);
  expect(complete('nothing:', 8, FIELDS)).toEqual([]);
});

it('adds a term once', () => {
  expect(withTerm('port:443', term('process', 'a b'))).toBe('port:443 process:"a b"');
  expect(withTerm('a port:443', 'port:443')).toBe('a port:443');
  expect(withTerm('port:4430', 'port:443')).toBe('port:4430 port:443');
});

it('asks for a host by what others see it by', () => {
  expect(ofHost(['127.0.0.1:7734', '10.0.0.7:7734', '[fd00::7]:7734'])).toBe('ip:10.0.0.7 ip:fd00::7');
});
