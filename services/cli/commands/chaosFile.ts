/** A scenario from its file, and the seed of a run. */

import { readFile } from "node:fs/promises";
import { AntipodeError } from "../../base/errors.ts";
import { parseScenario, type Scenario } from "../../chaos/index.ts";
import { type Context, optional } from "../command.ts";

const SEEDS = 0x1_0000_0000;

/** @throws AntipodeError `INVALID_ARGUMENT`, `FORMAT_UNSUPPORTED` */
export async function readScenario(file: string): Promise<Scenario> {
  const { parseYaml } = await import("../../platform/adapters/yaml.ts");
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new AntipodeError("INVALID_ARGUMENT", `${file} cannot be read`, { file }, cause);
  });
  return parseScenario(parseYaml(text, file));
}

/**
 * The seed that `--seed` gives, else the scenario's, else one that is drawn.
 * @throws AntipodeError `INVALID_ARGUMENT`
 */
export function seedOf(context: Context, ofScenario: number | undefined): number {
  const text = optional(context.options, "seed");
  if (text === undefined)
    return ofScenario ?? new DataView(context.world.random.bytes(4).buffer).getUint32(0);
  const seed = /^\d{1,10}$/.test(text) ? Number(text) : SEEDS;
  if (seed >= SEEDS)
    throw new AntipodeError("INVALID_ARGUMENT", `--seed is from 0 to ${SEEDS - 1}, not "${text}"`);
  return seed;
}
