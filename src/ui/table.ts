/** Text in columns. Pure. */

export interface Column {
  readonly title: string;
  /** Numbers stand right, words left. */
  readonly align: "left" | "right";
}

/** The title row and `rows`, each line indented by `indent`; no line ends in a space. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  indent: string,
): string[] {
  const titles = columns.map((column) => column.title);
  const all = [titles, ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all.map((row) => {
    const cells = row.map((cell, i) =>
      columns[i]!.align === "right" ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
    );
    return `${indent}${cells.join("  ").trimEnd()}`;
  });
}
