/** The self-verifying writer of a drill: it runs on all ledgers and keeps its history outside the lab. */

import { MIB } from "../../base/units.ts";
import { SvwWriter, type WriterStatus } from "../../guest/index.ts";
import { quietLog } from "../quietLog.ts";
import { type DrillRun, LEDGERS } from "./drillWorld.ts";

const LEDGER_SPAN_BYTES = 32 * MIB;
const WRITER_RATE = 150;
/** The writer goes on between recovery points for this long. */
export const WRITER_RUNS_MS = 1500;

export interface RunningWriter {
  readonly writer: SvwWriter;
  readonly abort: AbortController;
  readonly done: Promise<WriterStatus>;
}

/** Starts it; it runs until it is aborted. */
export async function startWriter(run: DrillRun): Promise<RunningWriter> {
  const { context, workFolder } = run.world;
  const vdisks = await Promise.all(
    LEDGERS.map(async (name) => ({
      name,
      targets: await run.actions.targets("A", name),
      spanBytes: LEDGER_SPAN_BYTES,
    })),
  );
  const disk = context.world.diskAt(workFolder);
  const writer = new SvwWriter(
    { net: context.world.net, clock: run.clock, disk, log: quietLog },
    {
      vdisks,
      runId: 1,
      seed: 1,
      queueDepth: 8,
      ratePerSecond: WRITER_RATE,
      historyPath: "history",
    },
  );
  const abort = new AbortController();
  const done = writer.run(abort.signal);
  done.catch(() => undefined); // looked at when the writer is stopped
  run.note(`self-verifying writer runs on ${LEDGERS.join(", ")}: ${WRITER_RATE} writes/s`);
  return { writer, abort, done };
}
