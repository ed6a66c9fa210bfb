/** What a benchmark gives back, and how it tells of its progress. */

export interface BenchResult {
  readonly figures: object;
  /** The same for people. */
  readonly text: string;
}

/** One line of progress, on standard error. */
export type Say = (line: string) => void;
