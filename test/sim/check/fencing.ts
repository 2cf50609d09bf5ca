/**
 * P4 (I6, I9): epochs are the safety. Every resource takes orders of epochs that never fall, one
 * node has an epoch of a token whoever took its orders, each life of an etcd counts for itself, one site is active for a generation of a
 * protection domain, and nothing is acknowledged anywhere else under that generation, nor at the old
 * site once it agreed to stop.
 */

import type { Acceptance, Activation, RunRecord, Verdict } from "./contracts.ts";
import { atMs, Examination, momentItem, writeItem } from "./examination.ts";

/** Checks the acceptance logs of all resources. */
export function checkEpochs(record: Pick<RunRecord, "acceptances">): Verdict {
  const examination = new Examination("P4", "one node has an epoch, and epochs never fall");
  const newest = new Map<string, Acceptance>();
  const holders = new Map<string, Acceptance>();
  for (const acceptance of record.acceptances) {
    examination.examine();
    const { resource, token, incarnation, epoch, node, isForged } = acceptance;
    if (isForged === true) {
      const never = momentItem("no etcd has had that incarnation", acceptance.at);
      examination.violate("of-no-etcd", acceptanceItem(acceptance), never);
    }
    const place = JSON.stringify([resource, token, incarnation]);
    const before = newest.get(place);
    if (before !== undefined && before.epoch > epoch)
      examination.violate("epoch-fell", acceptanceItem(acceptance), acceptanceItem(before));
    else newest.set(place, acceptance);
    if (node === undefined) continue;
    const seat = JSON.stringify([token, incarnation, epoch]);
    const holder = holders.get(seat);
    if (holder === undefined) holders.set(seat, acceptance);
    else if (holder.node !== node)
      examination.violate(
        "two-nodes-of-an-epoch",
        acceptanceItem(acceptance),
        acceptanceItem(holder),
      );
  }
  return examination.conclude("accepted orders");
}

/** Checks activations, and acknowledgements against them. */
export function checkActivations(record: RunRecord): Verdict {
  const examination = new Examination("P4", "one site is active for a generation");
  const newest = new Map<string, Activation>();
  const byGeneration = new Map<string, Activation>();
  for (const activation of record.activations) {
    examination.examine();
    const { pd, generation, site } = activation;
    const seat = JSON.stringify([pd, generation]);
    const holder = byGeneration.get(seat);
    if (holder === undefined) byGeneration.set(seat, activation);
    else if (holder.site !== site)
      examination.violate(
        "two-sites-of-a-generation",
        activationItem(activation),
        activationItem(holder),
      );
    const before = newest.get(pd);
    if (before !== undefined && before.generation > generation)
      examination.violate("generation-fell", activationItem(activation), activationItem(before));
    else newest.set(pd, activation);
  }
  checkAcknowledgements(record, byGeneration, examination);
  return examination.conclude("activations and acknowledgements");
}

function checkAcknowledgements(
  record: RunRecord,
  byGeneration: ReadonlyMap<string, Activation>,
  examination: Examination,
): void {
  for (const branch of record.branches) {
    const { pd, generation, site } = branch;
    const own = byGeneration.get(JSON.stringify([pd, generation]));
    const stop = record.activations.find(
      (other) => other.pd === pd && other.generation > generation && other.isPlanned,
    );
    for (const write of branch.writes) {
      if (write.outcome !== "acknowledged") continue;
      examination.examine();
      const vdisk = branch.vdisks.find(({ id }) => id === write.vdiskId);
      const item = writeItem(write, vdisk ?? { name: `vDisk ${write.vdiskId}` });
      const found = {
        ...item,
        what: `${item.what} at ${site} in generation ${generation} of ${pd}`,
      };
      if (own !== undefined && own.site !== site)
        examination.violate("acknowledged-elsewhere", found, activationItem(own));
      if (stop !== undefined && write.invoked.order > stop.at.order)
        examination.violate("acknowledged-after-handover", found, activationItem(stop));
    }
  }
}

function acceptanceItem(acceptance: Acceptance): ReturnType<typeof momentItem> {
  const { resource, token, incarnation, epoch, node, at } = acceptance;
  return momentItem(
    `${resource} took an order of ${node ?? "somebody"} with epoch ${epoch} of ${token} (incarnation ${incarnation})`,
    at,
  );
}

function activationItem(activation: Activation): ReturnType<typeof momentItem> {
  const { pd, generation, site, at, isPlanned } = activation;
  const how = isPlanned ? "by plan" : "unplanned";
  return {
    what: `${site} became active for ${pd} in generation ${generation}, ${how}, ${atMs(at)}`,
    at,
  };
}
