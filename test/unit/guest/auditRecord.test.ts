/** The comparison of a record with disks that are served over NBD, in virtual time (P1, P2, P10). */

import { describe, expect, it } from "vitest";
import { auditRecord, SvwWriter } from "../../../services/guest/index.ts";
import { createNbdServer } from "../../../services/stargate/nbd/server.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import { createFakeDisk } from "../../support/fakeDisk.ts";
import { createFakeLog } from "../../support/fakeLog.ts";
import { createFakeNetwork } from "../../support/fakeNetwork.ts";
import { createMemoryDevice, createMemoryDevices } from "../../support/memoryDevice.ts";
import { failureOf } from "../../support/outcome.ts";

const MIB = 1024 * 1024;
const PORT = 10809;

/** Two vDisks on one server, and a record of a run on them. */
async function recordedRun() {
  const clock = createFakeClock();
  const network = createFakeNetwork({ clock });
  const disk = createFakeDisk();
  const log = createFakeLog();
  const devices = {
    d0: createMemoryDevice({ sizeBytes: MIB }),
    d1: createMemoryDevice({ sizeBytes: MIB }),
  };
  const served = createMemoryDevices(devices);
  const server = createNbdServer({ net: network.host("a").net, clock, log, devices: served });
  await server.listen({ host: "a", port: PORT });
  const targetsOf = (exportName: string) => [{ address: { host: "a", port: PORT }, exportName }];
  const { net } = network.host("guest");
  const writer = new SvwWriter(
    { net, clock, disk, log },
    {
      vdisks: ["d0", "d1"].map((name) => ({ name, targets: targetsOf(name) })),
      runId: 42,
      seed: 3,
      queueDepth: 8,
      ratePerSecond: 500,
      durationMs: 1000,
      historyPath: "h",
    },
  );
  const running = writer.run(new AbortController().signal);
  await clock.tick(5000);
  const status = await running;
  const audit = async (
    more: { only?: ReadonlySet<string>; failedAtMicros?: number } = {},
  ): ReturnType<typeof auditRecord> => {
    const targets = (name: string) => Promise.resolve(targetsOf(name));
    const auditing = auditRecord({ net, clock }, { disk, path: "h", targets, ...more });
    auditing.catch(() => undefined);
    await clock.tick(5000);
    return auditing;
  };
  return { audit, devices, status };
}

describe("auditRecord", () => {
  it("finds all of a record on the disks that it was written to", async () => {
    const { audit, status } = await recordedRun();
    const report = await audit();
    expect([report.ok, report.writesAcknowledged]).toEqual([true, status.acknowledged]);
    expect(report.lost).toEqual([]);
  });

  it("counts loss up to the last answer when nobody says when the source was lost", async () => {
    const { audit, devices } = await recordedRun();
    await devices.d0.zero(0, MIB);
    await devices.d1.zero(0, MIB);
    const report = await audit();
    const answers = report.lost.map((write) => write.acknowledgedAtMicros ?? 0);
    const [first, last] = [Math.min(...answers), Math.max(...answers)];
    expect(report.failedAtMicros).toBe(last);
    expect(report.rpoMs).toBe((last - first) / 1000);
    expect(report.vdisks.map((one) => one.kept)).toEqual([0, 0]);
    const later = await audit({ failedAtMicros: last + 2_000_000 });
    expect(later.rpoMs).toBe(report.rpoMs + 2000);
  });

  it("looks at the named vDisks only, and refuses one that the record does not know", async () => {
    const { audit, devices } = await recordedRun();
    await devices.d0.zero(0, MIB);
    const other = await audit({ only: new Set(["d1"]) });
    expect([other.ok, other.vdisks.map((one) => one.vdisk)]).toEqual([true, ["d1"]]);
    expect((await audit({ only: new Set(["d0"]) })).vdisks[0]?.kept).toBe(0);
    const error = await failureOf(audit({ only: new Set(["d1", "d2"]) }));
    expect([error.code, error.details["vdisk"]]).toEqual(["INVALID_ARGUMENT", "d2"]);
  });
});
