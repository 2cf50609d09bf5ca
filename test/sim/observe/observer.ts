/**
 * The observer of a run: fills what checkers need of a record and clients cannot tell, from what crosses
 * the borders of processes. Outside of production code, so a bug there cannot hide itself.
 */

import { WORKER_TASKS_MAX } from "../../../services/cerebro/limits.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import { WINDOW_BYTES } from "../../../services/stargate/replication/limits.ts";
import type { Acceptance, FaultRecord, Instant, ReplicationRecord } from "../check/contracts.ts";
import type { Recorder } from "../record.ts";
import type { ToldReplication } from "../workload/operatorLoad.ts";
import type { WorldTap } from "../world/tap.ts";
import { AcceptanceLog } from "./acceptances.ts";
import { WireLog } from "./wire.ts";

/** A machine that failed is not whole again for so long after the fault: views, leases, restarts. */
const SETTLE_MS = 15_000;

export class Observer {
  readonly #recorder: Recorder;
  readonly #acceptances: AcceptanceLog;
  readonly #wire: WireLog;

  constructor(recorder: Recorder, codec: Codec) {
    this.#recorder = recorder;
    this.#acceptances = new AcceptanceLog(recorder);
    this.#wire = new WireLog(recorder, codec);
  }

  get tap(): WorldTap {
    const acceptances = this.#acceptances;
    const wire = this.#wire;
    return {
      takes: (call, request) => acceptances.takes(call, request),
      serves: (call) => acceptances.serves(call),
      opens: (call) => wire.opens(call),
      transacts: (process, transaction) => acceptances.transacts(process, transaction),
    };
  }

  acceptances(): readonly Acceptance[] {
    return this.#acceptances.all();
  }

  /** What an operator was told of a replication, and what crossed the wire for it. */
  replication(told: ToldReplication, cvms: number): ReplicationRecord {
    const { sourceSite: from, targetSite: to, started, ended } = told;
    const span = { first: started.order, last: ended?.order ?? Number.POSITIVE_INFINITY };
    const harms = this.#recorder.faults.filter(({ sites }) => sites.includes(to));
    const isExcused = (since: Instant, until: Instant): boolean =>
      harms.some((fault) => overlaps(fault, since.ms - SETTLE_MS, until.ms));
    const count = this.#wire.between({ from, to }, span, isExcused);
    return {
      ...told,
      interruptions: this.#recorder.faults
        .filter((fault) => touches(fault, from, to))
        .filter((fault) => fault.from.order <= span.last && endOf(fault) >= span.first)
        .map(({ from: at, what }) => ({ at, what })),
      wirePayloadBytes: count.payloadBytes,
      wireDistinctBytes: count.distinctBytes,
      wireRepeatedBytes: count.repeatedBytes,
      windowBytes: WINDOW_BYTES,
      workers: cvms * WORKER_TASKS_MAX,
    };
  }
}

function touches({ sites, link }: FaultRecord, from: string, to: string): boolean {
  if (sites.includes(from) || sites.includes(to)) return true;
  return link !== undefined && [from, to].includes(link.from) && [from, to].includes(link.to);
}

function overlaps(fault: FaultRecord, fromMs: number, untilMs: number): boolean {
  return fault.from.ms <= untilMs && (fault.until?.ms ?? Number.POSITIVE_INFINITY) >= fromMs;
}

function endOf({ until }: FaultRecord): number {
  return until?.order ?? Number.POSITIVE_INFINITY;
}
