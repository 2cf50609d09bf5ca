/**
 * Faults of services that undo themselves (platform/faultLeases.ts): a frozen process goes on, one that is
 * left dead is started, a disk that fails on order (diskOrders.ts) is whole. A kill after which genesis
 * starts the service anyway needs no lease.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import type { DiskFault } from "../platform/diskFaults.ts";
import {
  type FaultKind,
  FaultLeases,
  type FaultWorld,
  type Lease,
} from "../platform/faultLeases.ts";
import type { ServiceStatus } from "../platform/wire/genesis.ts";
import type { DiskOrders } from "./diskOrders.ts";
import type { Supervisor } from "./supervisor.ts";

const kinds = ["frozen", "dead", "disk"] as const;

/** One fault of one service. */
interface ServiceFault {
  readonly id: string;
  readonly kind: (typeof kinds)[number];
}

/** Who carries faults out and undoes them. */
interface Hands {
  readonly supervisor: Pick<Supervisor, "kill" | "start">;
  readonly disks: DiskOrders;
}

export class ServiceFaults {
  readonly #hands: Hands;
  readonly leases: FaultLeases<ServiceFault>;

  private constructor(hands: Hands, leases: FaultLeases<ServiceFault>) {
    this.#hands = hands;
    this.leases = leases;
  }

  /** With what an earlier genesis held. */
  static async open(world: FaultWorld, hands: Hands): Promise<ServiceFaults> {
    return new ServiceFaults(hands, await FaultLeases.open(world, kindOver(hands)));
  }

  /**
   * Freezes services (SIGSTOP), or kills them and leaves them dead (SIGKILL, SIGTERM).
   * @throws AntipodeError `INVALID_ARGUMENT`, `PROCESS_NOT_FOUND`
   */
  signal(
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
    return this.leases.hold(
      lease,
      () => faultsOf(ids, kind),
      () => this.#hands.supervisor.kill(ids, signal, kind === "dead" ? "stayDead" : "restart"),
    );
  }

  /**
   * Lets the disks of services fail.
   * @throws AntipodeError `INVALID_ARGUMENT` when one has no disk that obeys, `PROCESS_NOT_FOUND`
   */
  async breakDisks(lease: Lease, ids: readonly string[], fault: DiskFault): Promise<void> {
    const { disks } = this.#hands;
    disks.require(ids);
    await this.leases.hold(
      lease,
      () => faultsOf(ids, "disk"),
      async () => {
        for (const id of ids) await disks.order(id, fault);
      },
    );
  }

  close(): void {
    this.leases.close();
  }
}

function faultsOf(ids: readonly string[], kind: ServiceFault["kind"]): readonly ServiceFault[] {
  return ids.map((id) => ({ id, kind }));
}

function kindOver({ supervisor, disks }: Hands): FaultKind<ServiceFault> {
  return {
    // A service can be frozen and then killed, with a full disk: each is undone by itself.
    keyOf: ({ id, kind }) => `${id} ${kind}`,
    parse: (field) => {
      const { id, kind } = field.object(["id", "kind"]);
      return { id: id.text(), kind: kind.oneOf(kinds) };
    },
    undo: async (faults) => {
      const idsOf = (kind: ServiceFault["kind"]): readonly string[] =>
        faults.filter((fault) => fault.kind === kind).map((fault) => fault.id);
      // First: a process that is started on a disk that still fails would end again.
      for (const id of idsOf("disk")) await disks.withdraw(id);
      for (const id of idsOf("frozen")) await goOn(supervisor, id);
      await supervisor.start(idsOf("dead"));
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
