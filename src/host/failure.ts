/** A change of the machine could not be made: one line that says what to do. */
export class HostFailure extends Error {
  /** True: for lack of rights. */
  readonly notPermitted: boolean;

  constructor(message: string, notPermitted = false) {
    super(message);
    this.name = "HostFailure";
    this.notPermitted = notPermitted;
  }
}
