/** What `antipode chaos` aims at, as written on the command line. Pure. */

import { AntipodeError } from "../base/errors.ts";

export type ChaosTarget =
  /** One service of a CVM, a site or the lab, by its id. */
  | { readonly kind: "service"; readonly id: string }
  /** The process that leads a role at a site; found by asking. */
  | { readonly kind: "leader"; readonly role: "cerebro"; readonly site: string | undefined }
  /** Every process of a site. */
  | { readonly kind: "site"; readonly site: string }
  /** Every process of a CVM. */
  | { readonly kind: "cvm"; readonly site: string; readonly cvm: number }
  /** The supervisor itself. */
  | { readonly kind: "genesis" };

/** Words that are no service. */
const RESERVED: ReadonlySet<string> = new Set(["site", "cvm", "genesis", "leader"]);

export const targetHelp = [
  "TARGET is one of:",
  "  stargate@A/1          a service of a CVM",
  "  etcd@A, wan           a service of a site, of the lab",
  "  leader, leader@A      the site's Cerebro leader (cerebro.leader@A)",
  "  cvm@A/1, site@A       all processes of a CVM, of a site, at once",
  "  genesis               the supervisor; the next command starts it again",
].join("\n");

/**
 * Parses a target.
 * @throws AntipodeError `INVALID_ARGUMENT` with the forms that are understood
 */
export function parseTarget(text: string): ChaosTarget {
  const match = /^([a-z][a-z.-]*)(?:@([A-Za-z][A-Za-z0-9-]*)(?:\/(\d{1,3}))?)?$/.exec(text);
  const [, what, site, cvm] = match ?? [];
  if (what === "genesis" && site === undefined) return { kind: "genesis" };
  if ((what === "leader" || what === "cerebro.leader") && cvm === undefined)
    return { kind: "leader", role: "cerebro", site };
  if (what === "site" && site !== undefined && cvm === undefined) return { kind: "site", site };
  if (what === "cvm" && site !== undefined && cvm !== undefined)
    return { kind: "cvm", site, cvm: Number(cvm) };
  const isReserved = what === undefined || RESERVED.has(what) || what.includes(".");
  if (!isReserved) return { kind: "service", id: text };
  throw new AntipodeError("INVALID_ARGUMENT", `"${text}" is no target.\n${targetHelp}`, {
    target: text,
  });
}
