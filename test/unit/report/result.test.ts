/** The result of a run: one form gives the reader and the published schema (P10). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseResult, resultSchema } from "../../../services/report/index.ts";
import { failureOf } from "../../support/outcome.ts";
import { goodRun, violatedRun } from "./sampleResults.ts";

const SCHEMA = join(import.meta.dirname, "..", "..", "..", "deploy", "chaos", "result.schema.json");
const shape = { seed: 42, elapsedMs: 30_000, faults: 6 };
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const refusal = (value: unknown) => failureOf(Promise.resolve(value).then(parseResult));

describe("the result of a run", () => {
  it("is read back as it was written, whatever happened in the run", () => {
    for (const result of [goodRun(shape), violatedRun(shape)])
      expect(parseResult(throughJson(result))).toEqual(throughJson(result));
  });

  it("may have keys that this version does not know, but none of another version", async () => {
    expect(parseResult({ ...goodRun(shape), later: 1 })).toEqual(goodRun(shape));
    const error = await refusal({ ...goodRun(shape), version: 2 });
    expect(error.code).toBe("FORMAT_UNSUPPORTED");
  });

  it("is refused by the path of what is wrong", async () => {
    const wrong = {
      ...goodRun(shape),
      lanes: [{ site: "A", role: "king", subject: "", spans: [] }],
    };
    const error = await refusal(wrong);
    expect([error.code, error.details["key"]]).toEqual(["INVALID_ARGUMENT", "lanes[0].role"]);
  });

  it("has the published schema, which demands what the reader demands", () => {
    const schema = throughJson(resultSchema()) as { required: string[] };
    expect(JSON.parse(readFileSync(SCHEMA, "utf8"))).toEqual(schema);
    for (const key of schema.required) {
      const without = Object.fromEntries(
        Object.entries(goodRun(shape)).filter(([name]) => name !== key),
      );
      expect(() => parseResult(without), key).toThrow();
    }
  });
});
