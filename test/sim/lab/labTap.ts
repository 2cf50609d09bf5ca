/**
 * What the observer of a run (observe/observer.ts) is shown of a simulated lab. Calls and streams are seen at
 * the borders of processes as in every world; transactions at the border of etcd, which is a process
 * here: the order of its answers is that in which it carried them out.
 */

import { fromUtf8 } from "../../../services/base/bytes.ts";
import type { Operation } from "../../../services/platform/coordinator.ts";
import {
  KvService,
  type RequestOp,
  type TxnRequest,
  type TxnResponse,
} from "../../../services/platform/wire/etcd.ts";
import type { WorldTap } from "../world/tap.ts";

/** Shows the transactions that an etcd takes as those of the process that asked for them. */
export function labTap(tap: WorldTap): WorldTap {
  return {
    ...tap,
    takes(call, request) {
      if (call.path !== KvService.txn.path) return tap.takes(call, request);
      const { success } = request as TxnRequest;
      const seen = tap.transacts(call.peer, { when: [], then: success.flatMap(operationOf) });
      return (answer) => {
        const { succeeded } = answer as TxnResponse;
        seen.carriedOut({ succeeded, revision: 0, found: [] });
        seen.answered();
      };
    },
  };
}

/** What changes a key; what only reads shows nothing to an observer. */
function operationOf({ requestPut, requestDeleteRange }: RequestOp): readonly Operation[] {
  if (requestPut !== undefined)
    return [{ kind: "put", key: fromUtf8(requestPut.key), value: requestPut.value }];
  if (requestDeleteRange !== undefined)
    return [{ kind: "delete", key: fromUtf8(requestDeleteRange.key) }];
  return [];
}
