/** WanService over the links. */

import type { FaultLeases } from "../platform/faultLeases.ts";
import { faultBindings, leaseOf } from "../platform/faultService.ts";
import { type Binding, serveUnary } from "../platform/rpc.ts";
import { WanService } from "../platform/wire/wan.ts";
import { faultsOf, type LinkFault } from "./linkFaults.ts";
import type { Wan } from "./wan.ts";

/** What the wan process serves. */
export function wanBindings(wan: Wan, faults: FaultLeases<LinkFault>): readonly Binding[] {
  return [
    serveUnary(WanService.show, () => Promise.resolve({ links: wan.show() })),
    serveUnary(WanService.set, async ({ links, latencyMs, jitterMs, bitsPerSecond }) => ({
      links: await wan.change(links, (settings) => ({
        latencyMs: latencyMs ?? settings.latencyMs,
        jitterMs: jitterMs ?? settings.jitterMs,
        bitsPerSecond: bitsPerSecond ?? settings.bitsPerSecond,
        cut: settings.cut,
      })),
    })),
    serveUnary(WanService.cut, async ({ links }) => ({
      links: await wan.change(links, (settings) => ({ ...settings, cut: true })),
    })),
    serveUnary(WanService.heal, async ({ links }) => ({
      links: await wan.change(links, (settings) => ({ ...settings, cut: false })),
    })),
    serveUnary(
      WanService.injectFault,
      async ({ lease, links, latencyMs, jitterMs, bitsPerSecond, cut }) => ({
        links: await faults.hold(
          leaseOf(lease),
          () => faultsOf(wan, links),
          () =>
            wan.change(links, (settings) => ({
              latencyMs: latencyMs ?? settings.latencyMs,
              jitterMs: jitterMs ?? settings.jitterMs,
              bitsPerSecond: bitsPerSecond ?? settings.bitsPerSecond,
              cut: cut ?? settings.cut,
            })),
        ),
      }),
    ),
    ...faultBindings(faults),
  ];
}
