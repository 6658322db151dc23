// The catalogue of what can be asked about flows, from the agent itself: one definition for the terminal and the page.
import { get } from './api';
import type { FieldCatalogue } from './types';

class Fields {
  page = $state.raw<FieldCatalogue>({ filter: [], columns: [] });
  #asked = false;

  /** Asks once. */
  async load(): Promise<void> {
    if (this.#asked) return;
    this.#asked = true;
    try {
      this.page = await get<FieldCatalogue>('fields');
    } catch (error) {
      this.#asked = false;
      throw error;
    }
  }
}

export const fields = new Fields();
