/** The planted bugs of this folder, read from disk. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Mutant, parseMutant } from "./mutant.ts";

const ENDING = ".mutant";

/**
 * All planted bugs of a checkout, by name.
 * @throws Error for one that is not well formed
 */
export function readMutants(root: string): readonly Mutant[] {
  const folder = join(root, "test", "mutants", "bugs");
  return readdirSync(folder)
    .filter((file) => file.endsWith(ENDING))
    .sort()
    .map((file) =>
      parseMutant(file.slice(0, -ENDING.length), readFileSync(join(folder, file), "utf8")),
    );
}
