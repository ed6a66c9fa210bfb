/** Writes configuration files for the laboratory's portals: tables, lists of tables, and plain values. Pure. */

export type TomlValue = string | number | boolean | readonly string[];
export interface TomlTable {
  readonly [key: string]: TomlValue | TomlTable | readonly TomlTable[] | undefined;
}

export function formatToml(table: TomlTable): string {
  return `${tableLines(table, "").join("\n")}\n`;
}

/**
 * `base` with `over` laid upon it: tables are merged, lists of tables element by element, other values replaced.
 * A value of `undefined` in `over` removes the key.
 */
export function mergeToml(base: TomlTable, over: TomlTable): TomlTable {
  const result: Record<string, TomlTable[string]> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    if (isTable(value) && isTable(below)) result[key] = mergeToml(below, value);
    else if (isTables(value) && isTables(below)) {
      result[key] = below.map((each, i) => mergeToml(each, value[i] ?? {})).concat(value.slice(below.length));
    } else if (value === undefined) delete result[key];
    else result[key] = value;
  }
  return result;
}

function tableLines(table: TomlTable, name: string): string[] {
  const entries = Object.entries(table);
  const lines: string[] = [];
  // Plain values first: behind a table's header they would belong to that table.
  for (const [key, value] of entries) {
    if (value !== undefined && !isTable(value) && !isTables(value))
      lines.push(`${key} = ${JSON.stringify(value)}`);
  }
  for (const [key, value] of entries) {
    const path = name === "" ? key : `${name}.${key}`;
    if (isTable(value)) lines.push("", `[${path}]`, ...tableLines(value, path));
    else if (isTables(value))
      for (const each of value) lines.push("", `[[${path}]]`, ...tableLines(each, path));
  }
  return lines;
}

function isTable(value: TomlTable[string]): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value);
}

function isTables(value: TomlTable[string]): value is readonly TomlTable[] {
  return Array.isArray(value) && value.length > 0 && typeof value[0] === "object";
}
