/**
 * What `antipode chaos` aims at, as written on the command line: the targets of scenarios, and `leader`
 * for short. Pure.
 */

import { AntipodeError } from "../base/errors.ts";
import { parseTarget as parseScenarioTarget, type Target } from "../chaos/index.ts";

export const targetHelp = [
  "TARGET is one of:",
  "  stargate@A/1          a service of a CVM",
  "  etcd@A, wan           a service of a site, of the lab",
  "  leader, leader@A      the site's Cerebro leader (cerebro.leader@A)",
  "  stargate.owner(d)@A   the Stargate that owns vDisk d",
  "  stargate@A:random     one of them by chance; stargate:random of any site",
  "                        (cerebro, etcd, cvm, site too)",
  "  cvm@A/1, site@A       all processes of a CVM, of a site, at once",
  "  genesis               the supervisor; the next command starts it again",
].join("\n");

/**
 * Parses a target.
 * @param firstSite the site of a `leader` that names none
 * @throws AntipodeError `INVALID_ARGUMENT` with the forms that are understood
 */
export function parseTarget(text: string, firstSite: string): Target {
  const short = /^(?:cerebro\.)?leader(?:@([A-Za-z][\w-]*))?$/.exec(text);
  const full = short === null ? text : `cerebro.leader@${short[1] ?? firstSite}`;
  const target = parseScenarioTarget(full);
  if (target !== undefined) return target;
  throw new AntipodeError("INVALID_ARGUMENT", `"${text}" is no target.\n${targetHelp}`, {
    target: text,
  });
}
