/**
 * The coordinator port over etcd's v3 gRPC API: the same code for the embedded server and for real
 * etcd. Thin clients of our own rather than npm's etcd3: that one measures leases by the wall clock,
 * leaves calls without deadline, and lets its watches be blind for seconds (ADR; FAULT_MODEL.md).
 */

import { utf8 } from "../../base/bytes.ts";
import { codeOf } from "../../base/errors.ts";
import type { Clock } from "../clock.ts";
import type { Coordinator } from "../coordinator.ts";
import type { Log } from "../log.ts";
import type { Address } from "../net.ts";
import type { Rpc } from "../rpc.ts";
import { KvService, LeaseService, make, RangeRequest } from "../wire/etcd.ts";
import { CoordinatorCalls } from "./coordinatorCalls.ts";
import { Renewals } from "./coordinatorRenewals.ts";
import { fromKeyValue, fromTxn, prefixRange, revisionOf, toTxn } from "./coordinatorRequests.ts";
import { Watches } from "./coordinatorWatch.ts";

const SECOND_MS = 1000;

export interface CoordinatorOptions {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Log;
  /** Client addresses of the members of one etcd; calls go to one until it fails. */
  readonly endpoints: readonly Address[];
}

/** A site's etcd. `close` ends its watches and calls; the `rpc` stays its owner's. */
export function createCoordinator(options: CoordinatorOptions): Coordinator {
  const { clock, log } = options;
  const calls = new CoordinatorCalls(options);
  const renewals = new Renewals(clock);
  const watches = new Watches({ calls, clock, log });
  return {
    async get(key) {
      const request = make(RangeRequest, { key: utf8(key) });
      const { kvs } = await calls.unary(KvService.range, request, "repeatable");
      return kvs[0] && fromKeyValue(kvs[0]);
    },
    async list(prefix) {
      const request = make(RangeRequest, prefixRange(prefix));
      const response = await calls.unary(KvService.range, request, "repeatable");
      return { entries: response.kvs.map(fromKeyValue), revision: revisionOf(response) };
    },
    async transact(transaction) {
      return fromTxn(await calls.unary(KvService.txn, toTxn(transaction), "once"));
    },
    watch: (prefix, fromRevision, handlers) => watches.watch(prefix, fromRevision, handlers),
    async grantLease(ttlMs) {
      const request = { TTL: Math.max(1, Math.ceil(ttlMs / SECOND_MS)), ID: "0" };
      // A grant whose answer is lost leaves a lease that nobody uses and that ends by itself.
      const { ID, TTL } = await calls.unary(LeaseService.grant, request, "repeatable");
      return { id: ID, ttlMs: TTL * SECOND_MS };
    },
    async renewLease(id) {
      const answer = await calls.attempt("repeatable", (client, { deadlineMs }) =>
        renewals.renew(client, id, deadlineMs),
      );
      return answer.TTL > 0 ? answer.TTL * SECOND_MS : undefined;
    },
    async revokeLease(id) {
      try {
        await calls.unary(LeaseService.revoke, { ID: id }, "repeatable");
      } catch (error) {
        // Gone already, perhaps by an attempt whose answer was lost.
        if (codeOf(error) !== "COORDINATOR_CONFLICT") throw error;
      }
    },
    close() {
      calls.close();
      watches.close();
      renewals.close();
      return Promise.resolve();
    },
  };
}
