/** P10: the simulator is found in a checkout, and where it is not, people are told what to do. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findSimulator, simulate } from "../../../services/cli/commands/chaosSim.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

describe("the simulator as an engine", () => {
  it("is found from any folder of a checkout", () => {
    const program = join(ROOT, "scripts", "sim");
    expect(findSimulator(join(ROOT, "dist", "services", "cli", "commands"))).toBe(program);
    expect(findSimulator(import.meta.dirname)).toBe(program);
  });

  it("is missed with a typed error where there are no sources (P10)", async () => {
    const order = { file: "s.yaml", seed: 1, tell: () => undefined, from: "/usr/lib" };
    const { signal } = new AbortController();
    await expect(simulate({ ...order, signal })).rejects.toMatchObject({
      code: "SIMULATOR_NOT_FOUND",
      retry: "never",
    });
  });
});
