/**
 * What a fault aims at: written by role, chosen when it strikes. Pure: a selector and a view of the
 * lab give the ids of services; a seeded generator decides what is left to chance.
 */

import type { Prng } from "../base/prng.ts";

/** What can be left to chance: a process of a role, a whole CVM, a whole site. */
export type RandomChoice = "stargate" | "cerebro" | "etcd" | "cvm" | "site";

export type Target =
  | { readonly kind: "service"; readonly id: string; readonly site: string }
  | { readonly kind: "leader"; readonly site: string }
  | { readonly kind: "owner"; readonly vdisk: string; readonly site: string }
  /** Of any site when `site` is "". */
  | { readonly kind: "random"; readonly of: RandomChoice; readonly site: string }
  | { readonly kind: "cvm"; readonly site: string; readonly cvm: number }
  | { readonly kind: "site"; readonly site: string }
  /** The supervisor: killed only, since nobody could let a frozen one go on. */
  | { readonly kind: "genesis" };

export type Condition = "running" | "frozen" | "down";

/** The lab as a selector sees it. */
export interface View {
  readonly services: readonly {
    readonly id: string;
    readonly role: string;
    readonly site: string;
    readonly cvm: number;
    readonly condition: Condition;
  }[];
  /** CVM of the Cerebro leader of a site, 0 when there is none. */
  readonly leaderCvm: number;
  /** CVM of the owner of the vDisk that the target names, 0 when there is none. */
  readonly ownerCvm: number;
}

/** The forms of a target, for messages and editors. */
export const TARGET_FORMS =
  "cerebro.leader@A, stargate.owner(vdisk)@A, stargate@A/1, cerebro@A/1, etcd@A, cvm@A/1, site@A, stargate@A:random, stargate:random (cerebro, etcd, cvm, site too), wan, genesis";

const SITE = "[A-Za-z][\\w-]*";
const LONE = /^(genesis|wan)$/;
const OF_SITE = new RegExp(`^(site|etcd)@(${SITE})$`);
const OF_CVM = new RegExp(`^(cvm|stargate|cerebro)@(${SITE})/(\\d{1,3})$`);
const LEADER = new RegExp(`^cerebro\\.leader@(${SITE})$`);
const OWNER = new RegExp(`^stargate\\.owner\\(([^()]+)\\)@(${SITE})$`);
const RANDOM = new RegExp(
  `^(?:(stargate|cerebro|cvm)@(${SITE})|(stargate|cerebro|etcd|cvm|site)):random$`,
);

/** The target that a text means; `undefined` when it means none. */
export function parseTarget(text: string): Target | undefined {
  const [, lone] = LONE.exec(text) ?? [];
  if (lone !== undefined)
    return lone === "genesis" ? { kind: "genesis" } : { kind: "service", id: lone, site: "" };
  const [, wide, wideSite] = OF_SITE.exec(text) ?? [];
  if (wideSite !== undefined)
    return wide === "site"
      ? { kind: "site", site: wideSite }
      : { kind: "service", id: text, site: wideSite };
  const [, one, oneSite, cvm] = OF_CVM.exec(text) ?? [];
  if (oneSite !== undefined)
    return one === "cvm"
      ? { kind: "cvm", site: oneSite, cvm: Number(cvm) }
      : { kind: "service", id: text, site: oneSite };
  const [, ledSite] = LEADER.exec(text) ?? [];
  if (ledSite !== undefined) return { kind: "leader", site: ledSite };
  const [, vdisk, ownSite] = OWNER.exec(text) ?? [];
  if (vdisk !== undefined && ownSite !== undefined) return { kind: "owner", vdisk, site: ownSite };
  const [, of, site = "", anywhere] = RANDOM.exec(text) ?? [];
  const choice = of ?? anywhere;
  return choice === undefined ? undefined : { kind: "random", of: choice as RandomChoice, site };
}

/**
 * Ids of the services that the target means now; empty when there is none.
 * @param condition only those that are so
 */
export function chooseTargets(
  target: Target,
  view: View,
  prng: Prng,
  condition: Condition = "running",
): readonly string[] {
  const meant = view.services.filter((one) => one.condition === condition);
  const idsAt = (role: string, site: string, cvm: number): readonly string[] =>
    meant
      .filter((one) => one.role === role && one.site === site && one.cvm === cvm && cvm !== 0)
      .map((one) => one.id);
  switch (target.kind) {
    case "service":
      return meant.filter((one) => one.id === target.id).map((one) => one.id);
    case "leader":
      return idsAt("cerebro", target.site, view.leaderCvm);
    case "owner":
      return idsAt("stargate", target.site, view.ownerCvm);
    case "random":
      return chooseAtRandom(target, meant, prng);
    case "cvm":
      return meant
        .filter((one) => one.site === target.site && one.cvm === target.cvm)
        .map((one) => one.id);
    case "site":
      return meant.filter((one) => one.site === target.site).map((one) => one.id);
    case "genesis":
      return [];
  }
}

/** One process, or all of one CVM or site, each as likely as the others. */
function chooseAtRandom(
  { of, site }: { readonly of: RandomChoice; readonly site: string },
  meant: View["services"],
  prng: Prng,
): readonly string[] {
  const here = meant.filter((one) => one.site !== "" && (site === "" || one.site === site));
  const groups = new Map<string, string[]>();
  for (const one of here) {
    const key = of === "site" ? one.site : of === "cvm" ? `${one.site}/${one.cvm}` : one.id;
    const fits = of === "site" || (of === "cvm" ? one.cvm > 0 : one.role === of);
    if (fits) groups.set(key, [...(groups.get(key) ?? []), one.id]);
  }
  return [...groups.values()][prng.below(Math.max(1, groups.size))] ?? [];
}
