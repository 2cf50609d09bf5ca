/** The checker of etcd's lives sees who obeys a life that is over, and nothing else (P4). */

import { expect, it } from "vitest";
import type { Acceptance, FaultRecord, RunRecord } from "./contracts.ts";
import { checkLives } from "./lives.ts";

const instant = (order: number) => ({ ms: order, order });
const took = (resource: string, order: number, life: string): Acceptance => ({
  ...{ resource, token: "cerebro leader@A", incarnation: life, epoch: 1, node: undefined },
  at: instant(order),
});
const wipe: FaultRecord = {
  ...{ kind: "F15", what: "wipeEtcd put back at A", sites: ["A"], link: undefined },
  ...{ from: instant(20), until: instant(40) },
};
/** Leaders of the first life at 10 and after 40, of the wiped etcd at 25. */
const written = [took("etcd of A", 10, "one"), took("etcd of A", 25, "two")];

function judge(...orders: readonly Acceptance[]): string {
  const acceptances = [...written, ...orders].toSorted((a, b) => a.at.order - b.at.order);
  const { verdict } = checkLives({ acceptances, faults: [wipe] } as unknown as RunRecord);
  return verdict;
}

it("finds nothing where whoever obeys turns as etcd does (P4)", () => {
  const orders = [took("stargate", 12, "one"), took("stargate", 30, "two")];
  expect(judge(...orders, took("stargate", 50, "one"))).toBe("held");
});

it("finds an order of a life that was over before it was taken (P4)", () => {
  const orders = [took("stargate", 30, "two"), took("stargate", 45, "one")];
  expect(judge(...orders, took("stargate", 50, "two"))).toBe("violated");
});

it("finds an order of the life before while etcd is in another (P4)", () => {
  const orders = [took("stargate", 12, "one"), took("stargate", 30, "two")];
  expect(judge(...orders, took("stargate", 35, "one"))).toBe("violated");
});

it("examines nothing where nobody turns (P4)", () => {
  expect(judge(took("stargate", 12, "one"), took("stargate", 45, "one"))).toBe("vacuous");
});
