/** WanService over the links. */

import { type Binding, serveUnary } from "../platform/rpc.ts";
import { WanService } from "../platform/wire/wan.ts";
import type { Wan } from "./wan.ts";

/** What the wan process serves. */
export function wanBindings(wan: Wan): readonly Binding[] {
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
  ];
}
