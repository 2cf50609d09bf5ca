/**
 * Cells and error codes that no run of the simulator reaches, and why that is right: where it is tested
 * instead, or why it cannot happen in a simulated world. A line that is reached after all fails the tests.
 */

import type { ErrorCode } from "../../../services/base/errors.ts";
import { machines, outcomesOf } from "./machines.ts";
import { CELL, CODE } from "./observe.ts";

export interface Unreachable {
  readonly what: readonly string[];
  readonly why: string;
}

export const unreachable: readonly Unreachable[] = [
  {
    what: cellsOf("service", () => true),
    why: "genesis is no part of a simulated world; serviceMachine.test.ts runs every cell",
  },
  {
    what: cellsOf("election", (state, event) => state === "resigned" || event === "resign"),
    why: "processes of the simulator are killed, not ended in good order; electionModel.test.ts resigns",
  },
  {
    what: [
      ...cellsOf("nbd", (_, state) => state === "optionSkip"),
      ...cellsOf("nbd answer", (question) => question === "exportName" || question === "list"),
    ],
    why: "clients here choose exports by GO with short options; handshake.test.ts asks in all ways",
  },
  {
    what: cellsOf("nbd answer", (question, answer) => isOpening(question) && answer === "listed"),
    why: "a session answers a question to open with opened or refused; handshake.test.ts does otherwise",
  },
  {
    what: codes(
      "SITE_NOT_FOUND",
      "LAB_RUNNING",
      "LAB_NOT_RUNNING",
      "LAB_NOT_FOUND",
      "LAB_START_FAILED",
      "SIMULATOR_NOT_FOUND",
    ),
    why: "made by lab and command line, which are no part of a simulated world",
  },
  {
    what: codes("PORT_IN_USE", "PROCESS_NOT_FOUND", "CHECK_FAILED"),
    why: "made by genesis, lab, drill and benchmarks, which are no part of a simulated world",
  },
  {
    what: [`${CELL}nbd bytes ended`],
    why: "a handshake that has ended is not asked any more: what comes then belongs to the transmission (nbd/session.ts)",
  },
  {
    what: codes("CVM_NOT_FOUND"),
    why: "made by lab and command line; all CVMs of a simulated site are in its configuration",
  },
  {
    what: codes("IO_FAILED"),
    why: "made for NBD servers that say nothing but an errno; ours says its code before the text",
  },
  {
    what: codes("COORDINATOR_CORRUPT"),
    why: "a simulated etcd is the embedded server's core without its log, and holds what antipode wrote; etcdProcess.test.ts damages a log, records.test.ts a record",
  },
  {
    what: codes("COORDINATOR_BEHIND"),
    why: "an etcd that lost its data is put back as it was then, and nothing could drain without it; etcdLoss.test.ts puts an older one back",
  },
  {
    what: codes("CHUNK_NOT_FOUND"),
    why: "no fault takes the last good copy of a chunk (faults/ground.ts, G1); chunkSpace.test.ts and ship.test.ts do",
  },
  {
    what: codes("FINGERPRINT_MISMATCH"),
    why: "simulated lines carry what they were given, and a rotten chunk fails its checksum first; receive.test.ts and ship.test.ts send other bytes",
  },
  {
    what: codes("FORMAT_UNSUPPORTED"),
    why: "a simulated world runs one version; recovery.test.ts of oplog, extents and etcd read files of another",
  },
  {
    what: codes("INTERNAL"),
    why: "made for what nobody foresaw: a run that makes one has found a bug, and fails because it stands here",
  },
  {
    what: codes("OPLOG_FULL"),
    why: "half a GiB of one vDisk that does not drain for a minute, more than is written in a run; ownedVdisk.test.ts fills it",
  },
];

function cellsOf(
  machine: string,
  isMeant: (state: string, event: string) => boolean,
): readonly string[] {
  return machines
    .filter(({ name }) => name === machine)
    .flatMap(({ name, cells }) =>
      Object.entries(cells).flatMap(([state, events]) =>
        outcomesOf(events).flatMap(([event]) =>
          isMeant(state, event) ? `${CELL}${name} ${state} ${event}` : [],
        ),
      ),
    );
}

function codes(...all: readonly ErrorCode[]): readonly string[] {
  return all.map((code) => `${CODE}${code}`);
}

function isOpening(question: string): boolean {
  return question === "info" || question === "meta";
}
