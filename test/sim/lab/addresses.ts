/**
 * Which simulated process answers at an address of a lab. In a lab processes share addresses of the
 * loopback range and differ by port; in the simulated network every process is a host, so that lines
 * between any two of them can be told apart. The lab's own configurations say which is whose; a passage
 * (where one site sees a process of another) leads to that process.
 */

import { parseJson } from "../../../services/base/checkedJson.ts";
import { parseCvmConfig } from "../../../services/base/siteConfig.ts";
import { type Layout, parseLayout } from "../../../services/genesis/index.ts";
import type { Address, Net } from "../../../services/platform/net.ts";
import type { Rpc } from "../../../services/platform/rpc.ts";
import { parseWanConfig } from "../../../services/wan/index.ts";

/** `stargate@A/1` → `stargate-A-1`. */
export function hostOf(id: string): string {
  return id.replaceAll(/[@/]/g, "-");
}

export const GENESIS_HOST = "genesis";

export class Addresses {
  readonly #hosts = new Map<string, string>();
  readonly #sites = new Map<string, string>();

  /** All hosts that are known. */
  get hosts(): readonly string[] {
    return [...this.#sites.keys()];
  }

  /** The site that a host belongs to; "" for one of the whole lab, or of nobody. */
  siteOf(host: string): string {
    return this.#sites.get(host) ?? "";
  }

  /** The host that answers at an address, `undefined` for one that no lab has. */
  hostAt(address: Address): string | undefined {
    return this.#hosts.get(keyOf(address));
  }

  /** Learns the lab whose genesis has this configuration. */
  learn(layoutText: Uint8Array, read: (path: string) => unknown): Layout {
    const layout = parseLayout(parseJson(layoutText, "the layout"));
    this.#add(layout.admin, GENESIS_HOST);
    this.#sites.set(GENESIS_HOST, "");
    for (const { id, address, site } of layout.services) {
      this.#add(address, hostOf(id));
      this.#sites.set(hostOf(id), site);
    }
    for (const { id, role, args } of layout.services) {
      const path = args.at(-1) ?? "";
      if (role === "stargate") {
        const { cvm, members } = parseCvmConfig(read(path));
        const own = members.find((member) => member.cvm === cvm);
        if (own !== undefined) this.#add(own.nbd, hostOf(id));
      }
      if (role === "wan")
        for (const { passages } of parseWanConfig(read(path)).links)
          for (const { listen, target } of passages)
            this.#hosts.set(keyOf(listen), this.#hosts.get(keyOf(target)) ?? target.host);
    }
    return layout;
  }

  /** The network as processes of the lab name it. */
  rpc(real: Rpc): Rpc {
    return {
      connect: (address) => real.connect(this.#named(address)),
      serve: (address, bindings) => real.serve(this.#named(address), bindings),
      close: () => {
        real.close();
      },
    };
  }

  net(real: Net): Net {
    return {
      listen: (address, onConnection) => real.listen(this.#named(address), onConnection),
      connect: (address, timeoutMs) => real.connect(this.#named(address), timeoutMs),
    };
  }

  #named(address: Address): Address {
    return { host: this.hostAt(address) ?? address.host, port: address.port };
  }

  #add(address: Address, host: string): void {
    this.#hosts.set(keyOf(address), host);
  }
}

function keyOf({ host, port }: Address): string {
  return `${host}:${port}`;
}
