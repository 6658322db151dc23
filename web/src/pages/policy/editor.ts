// The editor of policies: CodeMirror in a shadow root, loaded when it is first shown.
//
// The page's rules forbid <style> elements. In a shadow root CodeMirror makes constructable style sheets instead, which
// they allow; and nothing of its look may be an address of `data:`, hence the underlines here instead of its own.
import { autocompletion, completionKeymap, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, StreamLanguage, syntaxHighlighting } from '@codemirror/language';
import { yaml } from '@codemirror/legacy-modes/mode/yaml';
import { forceLinting, linter, lintKeymap, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import {
  drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers, type Tooltip,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { describeKey, offersAt, type Schema } from './completion';
import type { PolicyFault } from '../../lib/types';

export interface Options {
  text: string;
  label: string;
  schema: () => Schema | undefined;
  /** When the schema is there, or will not come. */
  ready: Promise<void>;
  check: (text: string) => Promise<PolicyFault[]>;
  onchange: (text: string) => void;
  /** Ctrl-Enter. */
  onsubmit: () => void;
}

export interface Editor {
  set: (text: string) => void;
  goTo: (line: number, column: number) => void;
  relint: () => void;
  destroy: () => void;
}

/** How long nobody types before the agent is asked. */
const CHECK_MS = 500;

const wavy = (colour: string): Record<string, string> => ({
  backgroundImage: 'none',
  textDecoration: `underline wavy var(--${colour}) 1px`,
  textUnderlineOffset: '3px',
});

const look = EditorView.theme({
  '&': { height: '100%', color: 'var(--text)', backgroundColor: 'var(--bg)', fontSize: '13px' },
  // The host shows the focus; the gutter would hide it here.
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.5' },
  '.cm-content': { caretColor: 'var(--accent)' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '.cm-gutters': { backgroundColor: 'var(--card)', color: 'var(--dim)', borderRight: '1px solid var(--line)' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--raised) 55%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--c1) 30%, transparent)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--raised)', outline: '1px solid var(--dim)' },
  '.cm-lintRange-error': wavy('bad'),
  '.cm-lintRange-warning': wavy('warn'),
  '.cm-lintRange-info, .cm-lintRange-hint': wavy('info'),
  '.cm-lintRange-active': { backgroundColor: 'var(--raised)' },
  '.cm-lintPoint-error:after': { borderBottomColor: 'var(--bad)' },
  '.cm-tooltip': { backgroundColor: 'var(--card)', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '6px', maxWidth: 'min(90vw, 480px)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '2px 8px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
  '.cm-completionDetail': { color: 'inherit', fontStyle: 'normal' },
  '.cm-tooltip.cm-completionInfo': { padding: '6px 10px', fontFamily: 'system-ui, sans-serif' },
  '.cm-tooltip-hover .said': { padding: '6px 10px', fontFamily: 'system-ui, sans-serif' },
  '.cm-diagnostic': { fontFamily: 'system-ui, sans-serif', padding: '6px 10px', whiteSpace: 'pre-wrap' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--bad)' },
  '.cm-diagnostic-warning': { borderLeftColor: 'var(--warn)' },
  '.cm-panels': { backgroundColor: 'var(--card)', color: 'var(--text)' },
  '.cm-panels-bottom': { borderTop: '1px solid var(--line)' },
});

// What the mode of YAML calls its parts. A stream mode, since a grammar with its parser is 10 KB more to load.
const colours = HighlightStyle.define([
  { tag: tags.atom, color: 'var(--c1)' },
  { tag: tags.string, color: 'var(--c3)' },
  { tag: [tags.number, tags.keyword, tags.variableName], color: 'var(--c4)' },
  { tag: tags.comment, color: 'var(--dim)', fontStyle: 'italic' },
  { tag: [tags.meta, tags.definition(tags.variableName)], color: 'var(--dim)' },
]);

/** The place of a fault as an offset in UTF-16, from its line and its column in characters. */
function placeOf(state: EditorState, fault: PolicyFault): { from: number; to: number } {
  if (fault.line < 1) return { from: 0, to: 0 };
  const line = state.doc.line(Math.min(fault.line, state.doc.lines));
  const letters = [...line.text];
  const units = (n: number): number => letters.slice(0, n).join('').length;
  const from = line.from + units(Math.max(0, fault.column - 1));
  const to = line.from + units(Math.max(0, fault.column - 1) + (fault.length ?? 0));
  return { from, to: Math.max(to, Math.min(from + 1, line.to)) };
}

const severity = (word: string): Diagnostic['severity'] => (word === 'error' || word === 'warning' ? word : 'info');

function problems(check: Options['check']): (view: EditorView) => Promise<Diagnostic[]> {
  return async (view) => {
    const text = view.state.doc.toString();
    const faults = await check(text);
    // Somebody went on writing: the places are those of another text.
    if (text !== view.state.doc.toString()) return [];
    return faults.map((fault) => ({
      ...placeOf(view.state, fault),
      severity: severity(fault.severity),
      message: fault.message,
    }));
  };
}

function complete({ schema, ready }: Options): (context: CompletionContext) => Promise<CompletionResult | null> {
  return async (context) => {
    await ready;
    const root = schema();
    if (!root) return null;
    const whole = context.state.doc.toString();
    const found = offersAt(root, whole.slice(0, context.pos), whole);
    if (!found || found.offers.length === 0) return null;
    const word = whole.slice(found.from, context.pos);
    if (!context.explicit && word === '' && !/[{[,:@"] ?$/.test(whole.slice(0, context.pos))) return null;
    return {
      from: found.from,
      options: found.offers.map((one, at) => ({
        label: one.label,
        // The word that is compared has its quote still.
        displayLabel: one.label,
        apply: withoutQuote(one.insert),
        detail: one.detail,
        info: one.info || undefined,
        type: one.kind,
        boost: -at,
      })),
      filter: !word.startsWith('"'),
    };
  };
}

/** A quote that was closed by itself, or stands there still, is not written twice. */
function withoutQuote(insert: string): string | ((view: EditorView, _: unknown, from: number, to: number) => void) {
  if (!insert.startsWith('"')) return insert;
  return (view, _, from, to) => {
    const next = view.state.sliceDoc(to, to + 1) === '"' ? 1 : 0;
    view.dispatch({ changes: { from, to: to + next, insert }, selection: { anchor: from + insert.length } });
  };
}

/** What a key means, where the pointer rests. */
function meaning(schema: Options['schema']): (view: EditorView, at: number) => Tooltip | null {
  return (view, at) => {
    const root = schema();
    const line = view.state.doc.lineAt(at);
    const begin = /[\w-]*$/.exec(line.text.slice(0, at - line.from))?.[0].length ?? 0;
    const key = /^[\w-]+(?=:)/.exec(line.text.slice(at - line.from - begin))?.[0];
    if (!root || !key) return null;
    const said = describeKey(root, view.state.sliceDoc(0, at - begin), key);
    if (!said) return null;
    const create = (): { dom: HTMLElement } => {
      const dom = document.createElement('div');
      dom.className = 'said';
      dom.textContent = said;
      return { dom };
    };
    return { pos: at - begin, end: at - begin + key.length, above: true, create };
  };
}

export function mount(host: HTMLElement, options: Options): Editor {
  const root = host.attachShadow({ mode: 'open' });
  const inner = document.createElement('div');
  root.append(inner);
  inner.style.height = '100%';
  // The page's own keys see the host alone and would take what is typed for theirs.
  host.addEventListener('keydown', (event) => event.stopPropagation());
  const view = new EditorView({
    root,
    parent: inner,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(), highlightActiveLine(), highlightActiveLineGutter(), drawSelection(), history(), bracketMatching(),
        indentOnInput(), indentUnit.of('  '), EditorState.tabSize.of(2), StreamLanguage.define(yaml), syntaxHighlighting(colours), look,
        autocompletion({ override: [complete(options)], icons: false }),
        linter(problems(options.check), { delay: CHECK_MS }),
        hoverTooltip(meaning(options.schema)),
        EditorView.contentAttributes.of({ 'aria-label': options.label, spellcheck: 'false', autocapitalize: 'off' }),
        keymap.of([{ key: 'Mod-Enter', run: () => (options.onsubmit(), true) }]),
        keymap.of([...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onchange(update.state.doc.toString());
        }),
      ],
    }),
  });
  // A long line is scrolled to by keyboard, too.
  view.scrollDOM.tabIndex = 0;
  return {
    set: (text) => {
      if (text !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    goTo: (line, column) => {
      const { from } = placeOf(view.state, { severity: '', message: '', line, column, length: 0 });
      view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: 'center' }) });
      view.focus();
    },
    relint: () => forceLinting(view),
    destroy: () => view.destroy(),
  };
}
