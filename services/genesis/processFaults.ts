/**
 * Faults of processes that undo themselves (platform/faultLeases.ts): a frozen process goes on, one
 * that is left dead is started. A kill after which genesis starts the service anyway needs no lease.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import {
  type FaultKind,
  FaultLeases,
  type FaultWorld,
  type Lease,
} from "../platform/faultLeases.ts";
import type { ServiceStatus } from "../platform/wire/genesis.ts";
import type { Supervisor } from "./supervisor.ts";

const kinds = ["frozen", "dead"] as const;

/** One fault of one service. */
interface ProcessFault {
  readonly id: string;
  readonly kind: (typeof kinds)[number];
}

export class ProcessFaults {
  readonly #supervisor: Pick<Supervisor, "kill" | "start">;
  readonly #leases: FaultLeases<ProcessFault>;

  private constructor(
    supervisor: Pick<Supervisor, "kill" | "start">,
    leases: FaultLeases<ProcessFault>,
  ) {
    this.#supervisor = supervisor;
    this.#leases = leases;
  }

  /** With what an earlier genesis held. */
  static async open(
    world: FaultWorld,
    supervisor: Pick<Supervisor, "kill" | "start">,
  ): Promise<ProcessFaults> {
    return new ProcessFaults(supervisor, await FaultLeases.open(world, kindOver(supervisor)));
  }

  /**
   * Freezes services (SIGSTOP), or kills them and leaves them dead (SIGKILL, SIGTERM).
   * @throws AntipodeError `INVALID_ARGUMENT`, `PROCESS_NOT_FOUND`
   */
  inject(
    lease: Lease,
    ids: readonly string[],
    signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT",
  ): Promise<readonly ServiceStatus[]> {
    if (signal === "SIGCONT")
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        "SIGCONT is no fault: heal, or kill without lease",
      );
    const kind = signal === "SIGSTOP" ? "frozen" : "dead";
    const faults = ids.map((id) => ({ id, kind }) as const);
    return this.#leases.hold(lease, faults, () =>
      this.#supervisor.kill(ids, signal, kind === "dead" ? "stayDead" : "restart"),
    );
  }

  renew(lease: Lease): Promise<readonly string[]> {
    return this.#leases.renew(lease);
  }

  heal(holder: string): Promise<readonly string[]> {
    return this.#leases.heal(holder);
  }

  close(): void {
    this.#leases.close();
  }
}

function kindOver(supervisor: Pick<Supervisor, "kill" | "start">): FaultKind<ProcessFault> {
  return {
    // A service can be frozen and then killed: each is undone by itself.
    keyOf: ({ id, kind }) => `${id} ${kind}`,
    parse: (field) => {
      const { id, kind } = field.object(["id", "kind"]);
      return { id: id.text(), kind: kind.oneOf(kinds) };
    },
    undo: async (faults) => {
      for (const { id } of faults.filter((fault) => fault.kind === "frozen"))
        await goOn(supervisor, id);
      const dead = faults.filter((fault) => fault.kind === "dead").map((fault) => fault.id);
      await supervisor.start(dead);
    },
  };
}

async function goOn(supervisor: Pick<Supervisor, "kill">, id: string): Promise<void> {
  try {
    await supervisor.kill([id], "SIGCONT", "restart");
  } catch (error) {
    // It died while it was frozen: nothing is left to go on.
    if (codeOf(error) !== "PROCESS_NOT_FOUND") throw error;
  }
}
