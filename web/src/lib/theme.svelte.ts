// Dark or light: as the system says, unless somebody chose.

export type Theme = 'system' | 'dark' | 'light';
const KEY = 'hivewall-theme';

class Choice {
  chosen = $state<Theme>('system');
  #system = matchMedia('(prefers-color-scheme: light)');
  #light = $state(this.#system.matches);

  constructor() {
    const kept = localStorage.getItem(KEY);
    if (kept === 'dark' || kept === 'light') this.chosen = kept;
    this.#system.addEventListener('change', (event) => {
      this.#light = event.matches;
      this.apply();
    });
    this.apply();
  }

  get now(): 'dark' | 'light' {
    if (this.chosen !== 'system') return this.chosen;
    return this.#light ? 'light' : 'dark';
  }

  choose(theme: Theme): void {
    this.chosen = theme;
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset.theme = this.now;
  }
}

export const theme = new Choice();

/** A colour of the theme, for what is drawn on a canvas. Read it anew when `theme.now` changes. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
