/**
 * P5 (I12): what had arrived is not sent again. Each interruption of a replication costs at most what
 * its workers had in flight: window × workers. Counted outside of the system, on the wire, and
 * against the job's own ledger: the larger of the two must fit.
 */

import type { ReplicationRecord, RunRecord, Verdict } from "./contracts.ts";
import { Examination } from "./examination.ts";

/** Checks every replication; without an interrupted one nothing is shown. */
export function checkResumption(record: RunRecord): Verdict {
  const examination = new Examination("P5", "what had arrived is not sent again");
  let interrupted = 0;
  for (const replication of record.replications) {
    examination.examine();
    if (replication.interruptions.length > 0) interrupted += 1;
    checkArrived(replication, examination);
    const resentBytes = resentBytesOf(replication);
    const boundBytes = boundBytesOf(replication);
    if (resentBytes <= boundBytes) continue;
    const { jobId, pointId, sourceSite, targetSite, interruptions, workers } = replication;
    const met = interruptions.map(({ what }) => what).join(", ");
    examination.violate(
      "resent-too-much",
      {
        what: `job ${jobId} (${pointId}, ${sourceSite} to ${targetSite}) sent ${resentBytes} bytes again`,
        at: replication.started,
      },
      {
        what: `${workers} workers with ${replication.windowBytes} bytes in flight and ${interruptions.length} interruptions${met === "" ? "" : ` (${met})`} allow ${boundBytes}`,
        ...(interruptions[0] && { at: interruptions[0].at }),
      },
    );
  }
  const vacuous = interrupted === 0 ? "none was interrupted" : undefined;
  return examination.conclude("replications", vacuous);
}

/** The sharper half: what is known to have arrived is sent once, however small the job. */
function checkArrived(replication: ReplicationRecord, examination: Examination): void {
  const { jobId, pointId, sourceSite, targetSite, started, ended } = replication;
  if (replication.wireRepeatedBytes === 0) return;
  const job = `job ${jobId} (${pointId}, ${sourceSite} to ${targetSite})`;
  examination.violate(
    "resent-what-had-arrived",
    { what: `${job} sent ${replication.wireRepeatedBytes} bytes again`, at: started },
    {
      what: `${targetSite} had answered that it has them, and none of its machines failed`,
      ...(ended && { at: ended }),
    },
  );
}

function resentBytesOf(replication: ReplicationRecord): number {
  const onTheWire = replication.wirePayloadBytes - replication.wireDistinctBytes;
  return Math.max(onTheWire, replication.ledger.resentBytes);
}

/** Without interruption two workers may still send a shared chunk at once: one window. */
function boundBytesOf({ windowBytes, workers, interruptions }: ReplicationRecord): number {
  return windowBytes * workers * Math.max(1, interruptions.length);
}
