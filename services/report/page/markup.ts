/** Pieces of HTML and SVG as text. Whatever comes from outside goes through `escaped`. */

/** Characters that no document may hold: control characters other than tab and line breaks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g;
/** Halves of a character. */
const LONE_HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Any text as content or attribute of HTML, SVG or XML 1.0. */
export function escaped(text: string): string {
  return text
    .replace(FORBIDDEN, "\ufffd")
    .replace(LONE_HALF, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element; attributes that are `undefined` are left out, children are markup already. */
export function el(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escaped(shown(value ?? ""))}"`)
    .join("");
  return `<${name}${written}>${children.join("")}</${name}>`;
}

/** Numbers with at most one decimal: a tenth of a pixel. */
function shown(value: string | number): string {
  return typeof value === "string" ? value : String(Math.round(value * 10) / 10);
}

/** A shape with the text that a pointer or a screen reader finds there. */
export function titled(name: string, attributes: Attributes, title: string): string {
  return el(name, attributes, el("title", {}, escaped(title)));
}

/** A label of an SVG. */
export function label(attributes: Attributes, text: string): string {
  return el("text", attributes, escaped(text));
}

/** Points as the data of a path; `undefined` lifts the pen. */
export function pathOf(points: readonly (readonly [number, number] | undefined)[]): string {
  let pen = "M";
  const parts: string[] = [];
  for (const point of points) {
    if (point === undefined) {
      pen = "M";
      continue;
    }
    parts.push(`${pen}${shown(point[0])} ${shown(point[1])}`);
    pen = "L";
  }
  return parts.join("");
}
