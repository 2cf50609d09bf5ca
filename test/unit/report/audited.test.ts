/** An audit as it is told: the first and the last lost write in time, all numbers of the report. */

import { describe, expect, it } from "vitest";
import { auditOf, parseResult } from "../../../services/report/index.ts";
import { auditRun, Run } from "../guest/perfectRun.ts";
import { goodRun } from "./sampleResults.ts";

describe("auditOf", () => {
  it("tells counts, first and last lost write by their answers, RPO and the prefix point", async () => {
    const run = new Run();
    run.writes(40);
    const image = run.image();
    const [a, b] = [run.issue(0), run.issue(1)];
    // Answers come in another order than the writes were issued.
    for (const write of [b, a]) run.ack(write);
    const lastMicros = run.nowMicros;
    const audit = auditOf(await auditRun(run, image));
    expect(audit).toMatchObject({ ok: true, acknowledged: 42, kept: 40, lost: 2, outOfOrder: 0 });
    expect(audit.firstLost).toMatchObject({ gseq: b.gseq, vdisk: "d1" });
    expect(audit.lastLost?.gseq).toBe(a.gseq);
    expect(audit.completeUntilMs).toBe((lastMicros - 1000) / 1000);
    expect(audit.rpoMs).toBe(1);
    expect(audit.vdisks.map((one) => [one.vdisk, one.lost])).toEqual([
      ["d0", 1],
      ["d1", 1],
    ]);
    const result = goodRun({ seed: 1, elapsedMs: 9000, faults: 1 });
    const whole = { ...result, audits: [{ pd: "gold", site: "B", of: "copy" as const, audit }] };
    expect(parseResult(JSON.parse(JSON.stringify(whole)))).toEqual(whole);
  });

  it("names the pair that proves a violation", async () => {
    const run = new Run();
    run.writes(10);
    const missing = run.issue(0);
    run.ack(missing);
    const present = run.write(1);
    const audit = auditOf(await auditRun(run, run.image()));
    expect([audit.ok, audit.isPrefix]).toEqual([false, false]);
    expect(audit.witness).toMatchObject({
      missing: { gseq: missing.gseq },
      present: { gseq: present.gseq },
    });
    expect(audit.problems[0]).toContain(`write ${missing.gseq} is missing`);
  });
});
