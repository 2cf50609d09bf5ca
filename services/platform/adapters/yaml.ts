/** YAML of files that people write, through the package `yaml`: the value only, to be checked by others. */

import { parseDocument } from "yaml";
import { AntipodeError } from "../../base/errors.ts";

/** Far beyond any file that a person writes; an alias bomb stays small. */
const ALIASES_MAX = 100;

/**
 * The value of a YAML document (JSON is YAML too).
 * @param what the document in messages, e.g. `scenario.yaml`
 * @throws AntipodeError `INVALID_ARGUMENT` with line and column
 */
export function parseYaml(text: string, what: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined)
    throw new AntipodeError("INVALID_ARGUMENT", `${what} is not YAML: ${problem.message}`);
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX }) as unknown;
  } catch (cause) {
    throw new AntipodeError("INVALID_ARGUMENT", `${what} cannot be read as YAML`, {}, cause);
  }
}
