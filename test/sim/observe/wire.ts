/**
 * What crossed the wire between two sites, chunk by chunk, counted on the border of the sending Stargate
 * (P5): stored bytes of all attempts, and those of them that were sent in vain, although the target had
 * answered that it has the chunk before the sender asked for it.
 *
 * Two ships may carry one chunk at once, and an answer may be lost: whoever was told that a chunk is absent,
 * before it was known to have arrived, sends it in good faith, once. A target whose machines failed may say
 * that it lacks what it had; whoever reads this knows of its faults.
 */

import { toHex } from "../../../services/base/bytes.ts";
import type { Infer } from "../../../services/base/wire.ts";
import type { Codec } from "../../../services/platform/codec.ts";
import {
  type ReceiveRequest,
  type ReceiveResponse,
  ReceiveService,
} from "../../../services/platform/wire/stargate.ts";
import { decodePack, splitFingerprints } from "../../../services/stargate/extents/chunkPack.ts";
import {
  FRAME_CHUNKS_MAX,
  QUERY_FINGERPRINTS_MAX,
} from "../../../services/stargate/replication/limits.ts";
import type { Instant } from "../check/contracts.ts";
import type { Recorder } from "../record.ts";
import type { StreamTap, TappedCall } from "../world/tap.ts";

/** One chunk on its way. */
interface Sending {
  readonly fingerprint: string;
  readonly bytes: number;
  readonly at: Instant;
  /** When the target had answered that it has it, and it was sent all the same. */
  readonly hadSince: Instant | undefined;
  /** Because the target said after that that it lacks it. */
  readonly wasLost: boolean;
}

/** What a sending process was told of a chunk. */
interface Told {
  /** How often that it is absent, less the sendings since then that arrived. */
  absentCount: number;
  /** When it asked last and was told so. */
  askedAt: Instant;
}

export interface WireCount {
  readonly payloadBytes: number;
  readonly distinctBytes: number;
  /** Sent again for nothing. */
  readonly repeatedBytes: number;
}

interface Lane {
  readonly from: string;
  readonly to: string;
  readonly sendings: Sending[];
  /** Since when the target is known to have a chunk. */
  readonly arrived: Map<string, Instant>;
  /** By sending process and chunk. */
  readonly told: Map<string, Told>;
}

export class WireLog {
  readonly #recorder: Recorder;
  readonly #codec: Codec;
  readonly #lanes = new Map<string, Lane>();

  constructor(recorder: Recorder, codec: Codec) {
    this.#recorder = recorder;
    this.#codec = codec;
  }

  opens(call: TappedCall): StreamTap | undefined {
    if (call.path !== ReceiveService.receive.path) return undefined;
    const lane = this.#laneOf(siteOf(call.process), siteOf(call.peer));
    const open = new Map<
      number,
      { asked: readonly string[]; sent: readonly string[]; at: Instant }
    >();
    return {
      sent: (message) => {
        const { sequence, fingerprints, pack } = message as Infer<typeof ReceiveRequest>;
        const at = this.#recorder.instant();
        const asked = splitFingerprints(fingerprints, QUERY_FINGERPRINTS_MAX).map(toHex);
        const sent = this.#send(lane, call.process, pack, at);
        open.set(sequence, { asked, sent, at });
      },
      received: (message) => {
        const { sequence, present, errorCode } = message as Infer<typeof ReceiveResponse>;
        const request = open.get(sequence);
        open.delete(sequence);
        if (request === undefined || errorCode !== "") return;
        const now = this.#recorder.instant();
        for (const fingerprint of request.sent) {
          if (!lane.arrived.has(fingerprint)) lane.arrived.set(fingerprint, now);
          const told = lane.told.get(`${call.process}/${fingerprint}`);
          if (told !== undefined) told.absentCount -= 1;
        }
        for (const [index, fingerprint] of request.asked.entries())
          if (present[index] === 0) noteAbsent(lane, `${call.process}/${fingerprint}`, request.at);
      },
    };
  }

  /**
   * What went from one site to another between two places in the run's order.
   * @param isExcused may the target have lost what it had, between these moments?
   */
  between(
    sites: { readonly from: string; readonly to: string },
    span: { readonly first: number; readonly last: number },
    isExcused: (since: Instant, until: Instant) => boolean,
  ): WireCount {
    const seen = new Set<string>();
    const count = { payloadBytes: 0, distinctBytes: 0, repeatedBytes: 0 };
    for (const sending of this.#laneOf(sites.from, sites.to).sendings) {
      const { fingerprint, bytes, at, hadSince, wasLost } = sending;
      if (at.order < span.first || at.order > span.last) continue;
      count.payloadBytes += bytes;
      if (!seen.has(fingerprint)) count.distinctBytes += bytes;
      seen.add(fingerprint);
      if (hadSince === undefined || (wasLost && isExcused(hadSince, at))) continue;
      count.repeatedBytes += bytes;
    }
    return count;
  }

  #send(lane: Lane, process: string, pack: Uint8Array, at: Instant): readonly string[] {
    return decodePack(this.#codec, pack, FRAME_CHUNKS_MAX).map((chunk) => {
      const fingerprint = toHex(chunk.fingerprint);
      const arrived = lane.arrived.get(fingerprint);
      const told = lane.told.get(`${process}/${fingerprint}`);
      const isTold = told !== undefined && told.absentCount > 0;
      const wasLost = isTold && arrived !== undefined && told.askedAt.order > arrived.order;
      lane.sendings.push({
        ...{ fingerprint, at, bytes: chunk.stored.length, wasLost },
        hadSince: isTold && !wasLost ? undefined : arrived,
      });
      return fingerprint;
    });
  }

  #laneOf(from: string, to: string): Lane {
    const key = `${from}>${to}`;
    const lane = this.#lanes.get(key) ?? {
      ...{ from, to, sendings: [] },
      arrived: new Map<string, Instant>(),
      told: new Map<string, Told>(),
    };
    this.#lanes.set(key, lane);
    return lane;
  }
}

function noteAbsent({ told }: Lane, key: string, at: Instant): void {
  const before = told.get(key);
  told.set(key, { absentCount: Math.max(0, before?.absentCount ?? 0) + 1, askedAt: at });
}

function siteOf(host: string): string {
  return host.split("-")[1] ?? "";
}
