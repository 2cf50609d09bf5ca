/** What commands print: aligned tables and key-value lists for people, one JSON object for programs. */

/** A table; columns of numbers are aligned to the right. */
export function table(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = rows.map((row) => row.map(String));
  const widths = header.map((title, i) =>
    Math.max(width(title), ...cells.map((row) => width(row[i] ?? ""))),
  );
  const isNumber = header.map(
    (_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        const gap = " ".repeat((widths[i] ?? 0) - width(cell));
        return isNumber[i] ? gap + cell : cell + gap;
      })
      .join("  ")
      .trimEnd();
  return [line(header.map((title) => title.toUpperCase())), ...cells.map(line)].join("\n");
}

/** Two columns: names and values. */
export function facts(entries: readonly (readonly [string, string | number])[]): string {
  const widest = Math.max(...entries.map(([name]) => width(name)));
  return entries.map(([name, value]) => `${name.padEnd(widest)}  ${value}`).join("\n");
}

const segmenter = new Intl.Segmenter();

/** Characters as people count them, not UTF-16 units. */
function width(text: string): number {
  return Array.from(segmenter.segment(text)).length;
}

/** A time for people, in the machine's own zone; "-" for none. */
export function timeText(wallMs: number): string {
  if (wallMs === 0) return "-";
  const time = new Date(wallMs - new Date(wallMs).getTimezoneOffset() * 60_000);
  return time.toISOString().slice(0, 19).replace("T", " ");
}

/** The first digits of an identity, enough to tell a few apart. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
