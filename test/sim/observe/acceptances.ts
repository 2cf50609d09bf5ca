/**
 * Which orders with an epoch were taken, by whom, as seen from outside (P4): Stargates keep copies of logs
 * for owners and obey leaders; leaders of other sites are heeded; etcd takes what owners and leaders
 * write. A request counts when its answer says that it was taken, and has the place in the run's order at
 * which it came: there its epoch was compared.
 */

import { fromUtf8 } from "../../../services/base/bytes.ts";
import { siteKeys } from "../../../services/base/siteRecords.ts";
import type { Infer } from "../../../services/base/wire.ts";
import { cerebroKeys } from "../../../services/cerebro/state/records.ts";
import type { Transaction } from "../../../services/platform/coordinator.ts";
import type {
  AppendRequest,
  AppendResponse,
  FenceRequest,
  FenceResponse,
  LevelRequest,
  LevelResponse,
} from "../../../services/platform/wire/oplog.ts";
import { PeerService } from "../../../services/platform/wire/oplog.ts";
import {
  CerebroPeerService,
  type ForwardRequest,
  RemoteCerebroService,
  type Sender,
} from "../../../services/platform/wire/remoteCerebro.ts";
import { VdiskService } from "../../../services/platform/wire/stargate.ts";
import type { Acceptance, Instant } from "../check/contracts.ts";
import type { Recorder } from "../record.ts";
import type { StreamTap, TappedCall, TransactionTap } from "../world/tap.ts";

/** What a Cerebro writes to etcd as the leader only; workers write tasks and claims. */
const LEADERS_KEYS: readonly string[] = [
  cerebroKeys.pds,
  cerebroKeys.pendingCuts,
  cerebroKeys.remotes,
  cerebroKeys.peers,
  cerebroKeys.received(""),
  cerebroKeys.jobs,
  cerebroKeys.holds,
  cerebroKeys.activations,
  siteKeys.recoveryPoints,
];
const ROLE_KEYS = siteKeys.leaderEpoch("");
const LEADER_ORDERS: ReadonlySet<string> = new Set(
  [VdiskService.hold, VdiskService.mark, VdiskService.release].map(({ path }) => path),
);
const REMOTE_ORDERS = new Map(
  Object.values(RemoteCerebroService).map((method) => [method.path, method.request]),
);
type Answered = (answer: unknown) => void;
/** What an order of a leader to a Stargate says of who gives it. */
interface LeaderOrder {
  readonly leaderEpoch: number;
  readonly leaderIncarnation: string;
}
interface Order {
  /** Whose etcd counts the epochs. */
  readonly site: string;
  /** Which life of that etcd, where the order tells it. */
  readonly life?: string;
  readonly token: string;
  readonly epoch: number;
  readonly node: string | undefined;
  readonly answered?: Instant;
}

export class AcceptanceLog {
  readonly #recorder: Recorder;
  readonly #taken: Acceptance[] = [];
  /** The newest leader of each site, once it knows that it is. */
  readonly #leaders = new Map<string, { readonly process: string; knows: boolean }>();
  /** The newest term of a process as leader, and as owner of a vDisk, as etcd has it. */
  readonly #terms = new Map<string, { readonly epoch: number; readonly life?: string }>();
  /** Lives that etcds have had. */
  readonly #lives = new Set<string>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  /** In the order in which they were taken. */
  all(): readonly Acceptance[] {
    return this.#taken.toSorted((a, b) => a.at.order - b.at.order);
  }

  takes(call: TappedCall, request: unknown): Answered | undefined {
    const { path } = call;
    if (path === PeerService.fence.path || path === PeerService.level.path)
      return this.#takesLogOrder(call, request);
    if (LEADER_ORDERS.has(path)) {
      return this.#answered(call, leaderOrder(call, request as LeaderOrder), () => true);
    }
    return this.#takesRemote(call, request);
  }

  serves(call: TappedCall): StreamTap | undefined {
    if (call.path === PeerService.append.path) return this.#servesAppends(call);
    if (call.path !== VdiskService.ship.path) return undefined;
    let answered: Answered | undefined;
    return {
      received: (message) => {
        // A worker hands the order on that its job has from a leader.
        const order = { ...leaderOrder(call, message as LeaderOrder), node: undefined };
        answered = this.#answered(call, order, () => true);
      },
      sent: (message) => {
        answered?.(message);
        answered = undefined;
      },
    };
  }

  /** Counts in etcd's order, whether or not the process hears of it. */
  transacts(process: string, { then }: Transaction): TransactionTap {
    return {
      carriedOut: ({ succeeded }) => {
        if (!succeeded) return;
        for (const operation of then)
          if (operation.kind === "put") this.#wrote(process, operation.key, operation.value);
        if (then.some(isLeadersWrite)) this.#wroteAsLeader(process);
      },
      answered: () => {
        const leader = this.#leaders.get(siteOf(process));
        if (leader?.process === process) leader.knows = true;
      },
    };
  }

  #wrote(process: string, key: string, value: Uint8Array): void {
    const site = siteOf(process);
    if (key.startsWith(siteKeys.owners)) {
      const id = key.slice(siteKeys.owners.length);
      const { epoch, owner } = recordOf(value);
      const node = `stargate-${site}-${owner ?? 0}`;
      if (node === process) this.#terms.set(termOf(process, id), { epoch });
      this.#noteNow(`etcd of ${site}`, { site, token: ownerOf(id), epoch, node });
    } else if (key.startsWith(siteKeys.maps)) {
      const id = key.slice(siteKeys.maps.length);
      const term = this.#terms.get(termOf(process, id));
      if (term !== undefined)
        this.#noteNow(`etcd of ${site}`, { site, token: ownerOf(id), ...term, node: process });
    } else if (key.startsWith(ROLE_KEYS)) {
      this.#leaders.set(site, { process, knows: false });
      const { epoch, incarnation: life = "" } = recordOf(value);
      this.#lives.add(lifeOf(site, life));
      this.#terms.set(process, { epoch, life });
    }
  }

  #wroteAsLeader(process: string): void {
    const site = siteOf(process);
    const term = this.#terms.get(process);
    if (term !== undefined)
      this.#noteNow(`etcd of ${site}`, { site, token: leaderOf(site), ...term, node: process });
  }

  #servesAppends(call: TappedCall): StreamTap {
    const open = new Map<number, { items: Infer<typeof AppendRequest>["items"]; at: Instant }>();
    return {
      received: (message) => {
        const { sequence, items } = message as Infer<typeof AppendRequest>;
        open.set(sequence, { items, at: this.#recorder.instant() });
      },
      sent: (message) => {
        const { sequence, outcomes } = message as Infer<typeof AppendResponse>;
        const request = open.get(sequence);
        open.delete(sequence);
        for (const [index, { kind }] of outcomes.entries()) {
          const item = request?.items[index];
          if (request === undefined || item === undefined || kind !== "appended") continue;
          const { vdiskId, epoch } = item;
          const site = siteOf(call.process);
          const order = { site, token: ownerOf(vdiskId), epoch, node: call.peer };
          this.#note(`log of ${call.process}`, order, request.at);
        }
      },
    };
  }

  #takesLogOrder(call: TappedCall, request: unknown): Answered {
    const { vdiskId, epoch } = request as Infer<typeof FenceRequest> | Infer<typeof LevelRequest>;
    const at = this.#recorder.instant();
    return (answer) => {
      const told = answer as Infer<typeof FenceResponse> | Infer<typeof LevelResponse>;
      const isTaken = "granted" in told ? told.granted : told.kind === "levelled";
      const site = siteOf(call.process);
      const order = { site, token: ownerOf(vdiskId), epoch, node: call.peer };
      if (isTaken) this.#note(`log of ${call.process}`, order, at);
    };
  }

  /** Of another site's leader. Only a leader carries it out; who hands it on takes nothing. */
  #takesRemote(call: TappedCall, request: unknown): Answered | undefined {
    const isForwarded = call.path === CerebroPeerService.forward.path;
    const forwarded = isForwarded ? (request as Infer<typeof ForwardRequest>) : undefined;
    const codec = REMOTE_ORDERS.get(forwarded?.path ?? call.path);
    if (codec === undefined) return undefined;
    const { sender } = (forwarded === undefined ? request : codec.decode(forwarded.request)) as {
      readonly sender: Sender | undefined;
    };
    if (sender === undefined) return undefined;
    const isLeader = (): boolean => {
      const leader = this.#leaders.get(siteOf(call.process));
      return leader?.process === call.process && leader.knows;
    };
    if (!isLeader()) return undefined;
    const node = isForwarded ? undefined : call.peer;
    const { site, epoch } = sender;
    const order = { site, token: leaderOf(site), epoch, node };
    return this.#answered({ ...call, process: `site ${siteOf(call.process)}` }, order, isLeader);
  }

  #answered({ process }: TappedCall, order: Order, isTaken: () => boolean): Answered {
    const at = this.#recorder.instant();
    return () => {
      if (isTaken()) this.#note(process, { ...order, answered: this.#recorder.instant() }, at);
    };
  }

  #noteNow(resource: string, order: Order): void {
    this.#note(resource, order, this.#recorder.instant());
  }

  #note(resource: string, { site, life, ...order }: Order, at: Instant): void {
    const incarnation = life === undefined ? site : lifeOf(site, life);
    const isForged = life !== undefined && !this.#lives.has(incarnation);
    this.#taken.push({ resource, incarnation, at, ...order, ...(isForged && { isForged }) });
  }
}

function lifeOf(site: string, life: string): string {
  return `${site}/${life}`;
}

function leaderOrder({ process, peer }: TappedCall, order: LeaderOrder): Order {
  // Who is no owner hands the order on to the owner: then the sender is a Stargate.
  const site = siteOf(process);
  return {
    site,
    life: order.leaderIncarnation,
    token: leaderOf(site),
    epoch: order.leaderEpoch,
    node: peer.startsWith("cerebro-") ? peer : undefined,
  };
}

function isLeadersWrite(operation: Transaction["then"][number]): boolean {
  if (operation.kind !== "put" && operation.kind !== "delete") return false;
  if (operation.key.startsWith(ROLE_KEYS)) return true;
  return LEADERS_KEYS.some((prefix) => operation.key.startsWith(prefix));
}

interface TermRecord {
  readonly epoch: number;
  readonly owner?: number;
  readonly incarnation?: string;
}

function recordOf(value: Uint8Array): TermRecord {
  return JSON.parse(fromUtf8(value)) as TermRecord;
}

function termOf(process: string, vdiskId: string): string {
  return `${process}/${vdiskId}`;
}

function siteOf(process: string): string {
  return process.split("-")[1] ?? "";
}

function leaderOf(site: string): string {
  return `cerebro leader@${site}`;
}

function ownerOf(vdiskId: string): string {
  return `owner of ${vdiskId}`;
}
