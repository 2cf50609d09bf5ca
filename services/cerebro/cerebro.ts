/**
 * One Cerebro: a candidate for the leadership, a worker, and the service that users and other sites
 * call. Made from ports, so that the same thing runs in a process and in a test.
 */

import { InvariantViolation } from "../base/assert.ts";
import { ownMember } from "../base/siteConfig.ts";
import { LEADER_ROLE, siteKeys } from "../base/siteRecords.ts";
import {
  type Election,
  readLeader,
  startElection,
  type Term,
} from "../platform/coordination/election.ts";
import { type ProcessLease, startProcessLease } from "../platform/coordination/processLease.ts";
import { type Binding, type RpcServer, serveUnary } from "../platform/rpc.ts";
import { CerebroPeerService } from "../platform/wire/remoteCerebro.ts";
import { commands } from "./api/commands.ts";
import { type DispatchInput, dispatch, onForward } from "./api/dispatch.ts";
import { readBindings } from "./api/reads.ts";
import type { LeaderInfo, Leadership } from "./leader/leadership.ts";
import { Office } from "./leader/office.ts";
import { RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX } from "./limits.ts";
import { loadSiteKey } from "./remote/identity.ts";
import { Board } from "./replication/board.ts";
import { Worker } from "./replication/worker.ts";
import type { Site } from "./site.ts";
import { backoffMs, Wakeup } from "./state/wakeup.ts";

const seatKeys = {
  seatPrefix: siteKeys.seatPrefix(LEADER_ROLE),
  epochKey: siteKeys.leaderEpoch(LEADER_ROLE),
};

export interface CerebroOptions {
  readonly site: Site;
  /** A bug was found: the process must end. */
  readonly onBug: (error: unknown) => void;
}

export class Cerebro implements Leadership {
  readonly #site: Site;
  readonly #onBug: (error: unknown) => void;
  readonly #board: Board;
  readonly #lease: ProcessLease;
  readonly #worker: Worker;
  readonly #listeners = new Set<() => void>();
  #election: Election | undefined;
  #office: Office | undefined;
  #server: RpcServer | undefined;

  private constructor(options: CerebroOptions) {
    const { site, onBug } = options;
    this.#site = site;
    this.#onBug = onBug;
    this.#board = new Board(site);
    this.#lease = startProcessLease({
      coordinator: site.coordinator,
      clock: site.clock,
      log: site.log,
      ttlMs: site.config.leaseTtlMs,
      key: siteKeys.live("cerebro", site.config.cvm),
      value: { cvm: site.config.cvm, address: ownMember(site.config).cerebro },
    });
    this.#worker = new Worker({
      site,
      board: this.#board,
      lease: () => (this.#lease.isValid() ? this.#lease.current()?.id : undefined),
      onBug,
    });
  }

  /**
   * Serves at the CVM's address, stands for election, and works.
   * @throws AntipodeError `PORT_IN_USE`
   */
  static async start(options: CerebroOptions): Promise<Cerebro> {
    const cerebro = new Cerebro(options);
    await cerebro.#begin();
    return cerebro;
  }

  async #begin(): Promise<void> {
    const { config, rpc, coordinator, clock, log } = this.#site;
    this.#board.start();
    try {
      this.#server = await rpc.serve(ownMember(config).cerebro, this.#bindings());
    } catch (error) {
      this.#board.close();
      await this.#lease.stop();
      throw error;
    }
    this.#election = startElection({
      coordinator,
      clock,
      log,
      lease: this.#lease,
      ...seatKeys,
      value: { cvm: config.cvm },
      onElected: (term) => {
        this.#takeOffice(term).catch(this.#onBug);
      },
      onLost: (epoch) => {
        if (this.#office?.term.epoch === epoch) this.#office = undefined;
        this.#tell();
      },
    });
    this.#worker.start();
  }

  #bindings(): readonly Binding[] {
    const input: DispatchInput = {
      site: this.#site,
      leadership: this,
      office: () => this.#office,
    };
    return [
      ...[...commands.values()].map((command) =>
        serveUnary(command.method, (request, { signal }) =>
          dispatch(input, command, request, signal),
        ),
      ),
      ...readBindings({ site: this.#site, board: this.#board, leadership: this }),
      serveUnary(CerebroPeerService.forward, (request) => onForward(input, request)),
    ];
  }

  /** The office opens once the site's key is there. */
  async #takeOffice(term: Term): Promise<void> {
    const site = this.#site;
    for (let failures = 1; term.isLeader(); failures++) {
      try {
        const key = await loadSiteKey(site.coordinator, site.signer);
        if (!term.isLeader()) return;
        this.#office = new Office({ site, term, key, board: this.#board, onBug: this.#onBug });
        this.#office.start();
        this.#tell();
        return;
      } catch (error) {
        if (error instanceof InvariantViolation) throw error;
        site.log.warn({ event: "leader.key", failures, err: error }, "site key is not readable");
        const pause = new Wakeup();
        await pause.wait(
          site.clock,
          backoffMs(failures, RETRY_BACKOFF_MS, RETRY_BACKOFF_MS_MAX),
          term.signal,
        );
      }
    }
  }

  term(): Term | undefined {
    return this.#office?.term;
  }

  async leader(): Promise<LeaderInfo | undefined> {
    const { leader, epoch } = await readLeader(this.#site.coordinator, seatKeys);
    if (typeof leader !== "object" || leader === null || !("cvm" in leader)) return undefined;
    return typeof leader.cvm === "number" ? { cvm: leader.cvm, epoch } : undefined;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Leaves in good order: gives tasks and the seat back, so that nobody waits for a lease to end. */
  async close(): Promise<void> {
    this.#worker.close();
    await this.#election?.resign();
    await this.#server?.close();
    this.#board.close();
    await this.#lease.stop();
  }
}
