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
