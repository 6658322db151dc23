// What single keys do. A page adds its own while it is shown; help (`?`) lists all that hold now.
//
// Keys do nothing while somebody types, but Escape, which leaves the field.

import { untrack } from 'svelte';

export interface Shortcut {
  /** `/`, `?`, `g f`, `Escape`: one key, or two after one another. */
  keys: string;
  /** What it does, for help. */
  does: string;
  run: () => void;
}

/** How long the second key may take. */
const SECOND_MS_MAX = 1500;

class Keys {
  held = $state.raw<Shortcut[]>([]);
  #first = '';
  #at = 0;

  constructor() {
    addEventListener('keydown', (event) => this.#press(event));
  }

  /** Adds them; gives what takes them away, for `$effect`. */
  add(shortcuts: Shortcut[]): () => void {
    // An effect that adds keys does not depend on which others there are: two of them would call each other for ever.
    this.held = [...untrack(() => this.held), ...shortcuts];
    return () => (this.held = this.held.filter((one) => !shortcuts.includes(one)));
  }

  #press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    const types = target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName) || target.closest('.cm-editor');
    if (types || document.querySelector('dialog[open]')) return;
    const now = performance.now();
    const pair = this.#first && now - this.#at < SECOND_MS_MAX ? `${this.#first} ${event.key}` : '';
    // The latest added holds: a page's own before the whole's.
    const held = [...this.held].reverse();
    // What is no second key of a pair stands for itself.
    const found = held.find((one) => one.keys === pair) ?? held.find((one) => one.keys === event.key);
    this.#first = event.key;
    this.#at = now;
    if (found) {
      event.preventDefault();
      this.#first = '';
      found.run();
    }
  }
}

export const keys = new Keys();
