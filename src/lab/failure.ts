/** The laboratory cannot do something; the message is one line that says what, and what to do. */
export class LabError extends Error {
  override readonly name = "LabError";
}
