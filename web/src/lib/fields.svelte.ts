// The catalogue of what can be asked about flows, from the agent itself: one definition for the terminal and the page.
import { get } from './api';

/** A field that a filter can name. */
export interface FilterField {
  name: string;
  /** What is to be written after the colon, as a noun phrase. */
  expects: string;
  doc: string;
  examples: string[];
  /** The words it takes, where it takes only some. */
  words: string[];
}

/** A column of a flow. */
export interface FlowColumn {
  name: string;
  title: string;
  doc: string;
  unit: string;
  kind: 'text' | 'number' | 'time' | 'bytes' | 'flag' | 'list';
}

interface FieldsPage {
  filter: FilterField[];
  columns: FlowColumn[];
}

class Fields {
  page = $state.raw<FieldsPage>({ filter: [], columns: [] });
  #asked = false;

  /** Asks once. */
  async load(): Promise<void> {
    if (this.#asked) return;
    this.#asked = true;
    try {
      this.page = await get<FieldsPage>('fields');
    } catch (error) {
      this.#asked = false;
      throw error;
    }
  }
}

export const fields = new Fields();
