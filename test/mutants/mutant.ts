/**
 * A planted bug: a small edit of production code that breaks a promise, kept as a text file in `bugs/`
 * so that the simulator can be asked whether it would notice. Pure: this file reads and applies the form.
 *
 *   bug: acknowledges a batch before it is synced
 *   breaks: P1
 *   also: P9
 *   needs: copies powerLossCvm|powerLossSite
 *
 *   file: services/stargate/oplog/journal.ts
 *   <<<<
 *   the lines as they are
 *   ====
 *   the lines as the bug has them
 *   >>>>
 *
 * `breaks` is the promise that the bug breaks; verdicts on it find the bug, and verdicts on those of `also`,
 * where the bug shows itself first. `needs` says in which worlds it can show itself at all: seeds of others are
 * like the control's and are passed over (needs.ts). Several edits, in one or several files, make one bug where the code is
 * guarded twice. An edit names its lines by their text, so it survives that they move; text that is not there
 * exactly once is an error, never a guess.
 */

/** Replaces text that is in the file exactly once. */
export interface Edit {
  /** Path from the root of the checkout. */
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

/** A bug to plant. */
export interface Mutant {
  /** Name of its file, without the ending. */
  readonly name: string;
  readonly bug: string;
  /** `P1` to `P9`: what it breaks first, then what else may show it. */
  readonly promises: readonly [string, ...string[]];
  /** What a world must have for it, see needs.ts. */
  readonly needs: readonly string[];
  readonly edits: readonly [Edit, ...Edit[]];
}

const PROMISE = /^P[1-9]$/;
const FILE = /^services\/[\w./-]+\.ts$/;

/**
 * Reads the form.
 * @throws Error that names the mutant and what is wrong with it
 */
export function parseMutant(name: string, text: string): Mutant {
  const wrong = (what: string): Error => new Error(`mutant ${name}: ${what}`);
  const fields = new Map<string, string>();
  const edits: Edit[] = [];
  const lines = text.split("\n");
  const blockUntil = (end: string, from: number): number => {
    const at = lines.indexOf(end, from);
    if (at < 0) throw wrong(`there is no line ${end} after line ${from}`);
    return at;
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (line === "") continue;
    if (line === "<<<<") {
      const middle = blockUntil("====", at + 1);
      const end = blockUntil(">>>>", middle + 1);
      const search = lines.slice(at + 1, middle).join("\n");
      const replace = lines.slice(middle + 1, end).join("\n");
      edits.push({ file: fields.get("file") ?? "", search, replace });
      at = end;
      continue;
    }
    const [, key, value] = /^(bug|breaks|also|needs|file): (.+)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) throw wrong(`line ${at + 1} is of no known form`);
    fields.set(key, value);
  }
  const [first, ...others] = edits;
  if (first === undefined) throw wrong("it changes nothing");
  for (const { file, search, replace } of edits) {
    if (!FILE.test(file)) throw wrong(`"${file}" is no source file of the services`);
    if (search === "" || search === replace) throw wrong("an edit replaces text by other text");
  }
  const promises = `${fields.get("breaks") ?? ""} ${fields.get("also") ?? ""}`.trim().split(/\s+/);
  const odd = promises.find((promise) => !PROMISE.test(promise));
  if (odd !== undefined) throw wrong(`"${odd}" is no promise`);
  const [breaks = "", ...also] = promises;
  const bug = fields.get("bug");
  if (bug === undefined) throw wrong("it does not say what the bug is");
  const needs = fields.get("needs")?.split(/\s+/) ?? [];
  return { name, bug, promises: [breaks, ...also], needs, edits: [first, ...others] };
}

/**
 * The files as the bug has them, by path.
 * @throws Error when a text to replace is not there exactly once
 */
export function applyMutant(
  mutant: Mutant,
  read: (file: string) => string,
): ReadonlyMap<string, string> {
  const changed = new Map<string, string>();
  for (const { file, search, replace } of mutant.edits) {
    const text = changed.get(file) ?? read(file);
    const parts = text.split(search);
    if (parts.length !== 2)
      throw new Error(
        `mutant ${mutant.name}: the text to replace is ${parts.length - 1} times in ${file}:\n${search}`,
      );
    changed.set(file, parts.join(replace));
  }
  return changed;
}
