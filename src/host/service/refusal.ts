/** Tells the owner of one thing that was done. */
export type Tell = (line: string) => void;

/** Why a service is not installed or removed: one line that says what to do. */
export class Refusal extends Error {
  /** True: a right is missing. */
  readonly denied: boolean;

  constructor(message: string, denied = false) {
    super(message);
    this.name = "Refusal";
    this.denied = denied;
  }
}
