/**
 * Faults of links that undo themselves (platform/faultLeases.ts): a link whose drill has died goes back
 * to the settings that it had before the first fault.
 */

import type { FaultKind } from "../platform/faultLeases.ts";
import type { LinkName } from "../platform/wire/wan.ts";
import { checkSettings, linkKey } from "./config.ts";
import type { LinkSettings } from "./linkShaper.ts";
import type { Wan } from "./wan.ts";

/** A link and what it goes back to. */
export interface LinkFault extends LinkName, LinkSettings {}

/** How a link becomes what it was. */
export function linkFaultKind(wan: Pick<Wan, "change">): FaultKind<LinkFault> {
  return {
    keyOf: linkKey,
    parse: (field) => {
      const link = field.object(["from", "to", "latencyMs", "jitterMs", "bitsPerSecond", "cut"]);
      const settings = checkSettings({
        latencyMs: link.latencyMs.number(),
        jitterMs: link.jitterMs.number(),
        bitsPerSecond: link.bitsPerSecond.number(),
        cut: link.cut.flag(),
      });
      return { from: link.from.text(), to: link.to.text(), ...settings };
    },
    undo: async (faults) => {
      for (const { latencyMs, jitterMs, bitsPerSecond, cut, ...name } of faults)
        await wan.change([name], () => ({ latencyMs, jitterMs, bitsPerSecond, cut }));
    },
  };
}

/** What the named links are now, to go back to. */
export function faultsOf(wan: Pick<Wan, "show">, names: readonly LinkName[]): readonly LinkFault[] {
  const wanted = new Set(names.map(linkKey));
  return wan
    .show()
    .filter((link) => wanted.has(linkKey(link)))
    .map(({ from, to, latencyMs, jitterMs, bitsPerSecond, cut }) => ({
      from,
      to,
      latencyMs,
      jitterMs,
      bitsPerSecond,
      cut,
    }));
}
