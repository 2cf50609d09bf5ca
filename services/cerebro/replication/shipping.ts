/**
 * One attempt at a task: orders the CVM's own Stargate to ship, and follows its ledger. A Stargate
 * that falls silent counts as failed: the stream has no deadline of its own.
 */

import { present } from "../../base/assert.ts";
import { AntipodeError } from "../../base/errors.ts";
import { type ByteLedger, ledgerOf } from "../../base/ledger.ts";
import { ownMember } from "../../base/siteConfig.ts";
import { VdiskService } from "../../platform/wire/stargate.ts";
import { SHIP_SILENCE_MS_MAX } from "../limits.ts";
import type { Site } from "../site.ts";
import type { JobRecord, RemoteRecord, TaskRecord } from "../state/records.ts";
import { subtreeMessageOf } from "./planning.ts";

export interface Shipment {
  readonly job: JobRecord;
  readonly task: TaskRecord;
  readonly remote: RemoteRecord;
  readonly signal: AbortSignal;
  /** The ledger so far, about four times a second. Throwing ends the attempt. */
  readonly onLedger: (ledger: ByteLedger) => Promise<void>;
}

/**
 * Ships the task's subtrees, or its vDisk's top.
 * @returns the ledger of the attempt
 * @throws AntipodeError what Stargate answered; `DEADLINE_EXCEEDED` after silence; `CANCELLED`
 */
export async function ship(site: Site, shipment: Shipment): Promise<ByteLedger> {
  const { job, task, remote, signal } = shipment;
  const disk = present(job.disks[task.disk], "a task's vDisk is among the job's");
  const client = site.rpc.connect(ownMember(site.config).stargate);
  const stream = client.stream(VdiskService.ship);
  const heard: { silent: boolean } = { silent: false };
  const watchdog = (): { cancel(): void } =>
    site.clock.after(SHIP_SILENCE_MS_MAX, () => {
      heard.silent = true;
      stream.cancel();
    });
  let timer = watchdog();
  const cancel = (): void => {
    stream.cancel();
  };
  signal.addEventListener("abort", cancel, { once: true });
  try {
    if (signal.aborted) throw new AntipodeError("CANCELLED", "the task was taken back");
    const top = task.kind !== "subtrees";
    await stream.send({
      leaderEpoch: job.leaderEpoch,
      leaderIncarnation: job.leaderIncarnation,
      subtrees: task.subtrees.map(subtreeMessageOf),
      topRoot: top ? disk.root : "",
      topBaseRoot: top ? disk.baseRoot : "",
      sizeBytes: disk.sizeBytes,
      targets: targetsInTurn(remote, site.config.cvm),
      replicationFactor: disk.replicationFactor,
    });
    stream.end();
    for await (const message of stream.incoming) {
      timer.cancel();
      timer = watchdog();
      const ledger = ledgerOf(message);
      if (message.done) return ledger;
      await shipment.onLedger(ledger);
    }
    throw new AntipodeError("PEER_UNREACHABLE", "Stargate ended a shipment before it was done");
  } catch (error) {
    if (heard.silent)
      throw new AntipodeError("DEADLINE_EXCEEDED", "Stargate fell silent during a shipment", {
        job: job.id,
        task: task.index,
      });
    throw error;
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}

/** Each CVM begins with another Stargate of the target, so that all of them work. */
function targetsInTurn(
  remote: RemoteRecord,
  cvm: number,
): readonly { host: string; port: number }[] {
  const first = cvm % remote.stargates.length;
  return [...remote.stargates.slice(first), ...remote.stargates.slice(0, first)];
}
