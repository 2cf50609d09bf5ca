/**
 * What a fault aims at: written by role, chosen when it strikes. Pure: a selector and a view of the
 * lab give the ids of services; a seeded generator decides what is left to chance.
 */

import type { Prng } from "../base/prng.ts";

export type Target =
  | { readonly kind: "service"; readonly id: string; readonly site: string }
  | { readonly kind: "leader"; readonly site: string }
  | { readonly kind: "owner"; readonly vdisk: string; readonly site: string }
  | { readonly kind: "random"; readonly role: string; readonly site: string }
  | { readonly kind: "cvm"; readonly site: string; readonly cvm: number }
  | { readonly kind: "site"; readonly site: string }
  /** The supervisor: killed only, since nobody could let a frozen one go on. */
  | { readonly kind: "genesis" };

/** The lab as a selector sees it. */
export interface View {
  readonly services: readonly {
    readonly id: string;
    readonly role: string;
    readonly site: string;
    readonly cvm: number;
    /** It has a process that is not frozen. */
    readonly isRunning: boolean;
  }[];
  /** CVM of the Cerebro leader of a site, 0 when there is none. */
  readonly leaderCvm: number;
  /** CVM of the owner of the vDisk that the target names, 0 when there is none. */
  readonly ownerCvm: number;
}

/** The forms of a target, for messages and editors. */
export const TARGET_FORMS =
  "cerebro.leader@A, stargate.owner(vdisk)@A, stargate.random@A, stargate@A/1, etcd@A, cvm@A/1, site@A, wan, genesis";

const FORM =
  /^(?:(genesis|wan)|(site|etcd)@([A-Za-z][\w-]*)|(cvm|stargate|cerebro)@([A-Za-z][\w-]*)\/(\d{1,3})|cerebro\.leader@([A-Za-z][\w-]*)|(stargate|cerebro)\.random@([A-Za-z][\w-]*)|stargate\.owner\(([^()]+)\)@([A-Za-z][\w-]*))$/;

/** The target that a text means; `undefined` when it means none. */
export function parseTarget(text: string): Target | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [, lone, wide, wideSite, one, oneSite, cvm, ledSite, role, randomSite, vdisk, ownSite] =
    match;
  if (lone === "genesis") return { kind: "genesis" };
  if (lone !== undefined) return { kind: "service", id: lone, site: "" };
  if (wideSite !== undefined)
    return wide === "site"
      ? { kind: "site", site: wideSite }
      : { kind: "service", id: text, site: wideSite };
  if (oneSite !== undefined)
    return one === "cvm"
      ? { kind: "cvm", site: oneSite, cvm: Number(cvm) }
      : { kind: "service", id: text, site: oneSite };
  if (ledSite !== undefined) return { kind: "leader", site: ledSite };
  if (role !== undefined && randomSite !== undefined)
    return { kind: "random", role, site: randomSite };
  if (vdisk !== undefined && ownSite !== undefined) return { kind: "owner", vdisk, site: ownSite };
  return undefined;
}

/** Ids of the services that the target means now; empty when there is none. */
export function chooseTargets(target: Target, view: View, prng: Prng): readonly string[] {
  const running = view.services.filter((one) => one.isRunning);
  const idsAt = (role: string, site: string, cvm: number): readonly string[] =>
    running
      .filter((one) => one.role === role && one.site === site && one.cvm === cvm && cvm !== 0)
      .map((one) => one.id);
  switch (target.kind) {
    case "service":
      return running.filter((one) => one.id === target.id).map((one) => one.id);
    case "leader":
      return idsAt("cerebro", target.site, view.leaderCvm);
    case "owner":
      return idsAt("stargate", target.site, view.ownerCvm);
    case "random": {
      const all = running.filter((one) => one.role === target.role && one.site === target.site);
      const chosen = all[prng.below(Math.max(1, all.length))];
      return chosen === undefined ? [] : [chosen.id];
    }
    case "cvm":
      return running
        .filter((one) => one.site === target.site && one.cvm === target.cvm)
        .map((one) => one.id);
    case "site":
      return running.filter((one) => one.site === target.site).map((one) => one.id);
    case "genesis":
      return [];
  }
}
