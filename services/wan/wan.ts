/**
 * All links of a lab: the listeners of every passage, and what WanService orders. A change is kept on
 * disk before it is in force and answered after; changes are made one after the other.
 */

import { AntipodeError } from "../base/errors.ts";
import { createPrng } from "../base/prng.ts";
import type { Clock } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Connection, Listener } from "../platform/net.ts";
import type { LinkName, Link as LinkStatus } from "../platform/wire/wan.ts";
import { type CarrierWorld, carry } from "./carrier.ts";
import { checkSettings, linkKey, readSettings, type WanConfig, writeSettings } from "./config.ts";
import { Link } from "./link.ts";
import type { LinkSettings } from "./linkShaper.ts";

/** Each costs two descriptors and at least one lane's buffer. */
const CONNECTIONS_MAX = 4096;

export interface WanWorld extends CarrierWorld {
  readonly clock: Clock;
  /** Rooted at the configuration's state folder. */
  readonly state: Disk;
}

export class Wan {
  readonly #world: WanWorld;
  readonly #links: ReadonlyMap<string, Link>;
  readonly #listeners: Listener[] = [];
  #connections = 0;
  #lastChange: Promise<unknown> = Promise.resolve();

  private constructor(world: WanWorld, links: ReadonlyMap<string, Link>) {
    this.#world = world;
    this.#links = links;
  }

  /**
   * Links as they were last set, listening.
   * @throws AntipodeError `PORT_IN_USE`, `FORMAT_UNSUPPORTED`
   */
  static async start(config: WanConfig, world: WanWorld): Promise<Wan> {
    await world.state.makeFolder("");
    const kept = await readSettings(world.state);
    const links = new Map(
      config.links.map((link, index): [string, Link] => {
        const { latencyMs, jitterMs, bitsPerSecond } = link;
        const first = { latencyMs, jitterMs, bitsPerSecond, cut: false };
        const settings = kept.get(linkKey(link)) ?? first;
        return [linkKey(link), new Link(link, settings, world.clock, createPrng(index + 1))];
      }),
    );
    const wan = new Wan(world, links);
    try {
      await wan.#listen(config);
    } catch (error) {
      await wan.close();
      throw error;
    }
    return wan;
  }

  show(): readonly LinkStatus[] {
    return [...this.#links.values()].map(statusOf);
  }

  /**
   * Changes all named links, or none.
   * @throws AntipodeError `INVALID_ARGUMENT` for an unknown link or a wrong value
   */
  async change(
    names: readonly LinkName[],
    changed: (settings: LinkSettings) => LinkSettings,
  ): Promise<readonly LinkStatus[]> {
    const turn = this.#lastChange.then(async () => {
      const links = names.map((name) => this.link(name));
      const next = new Map(links.map((link) => [link, checkSettings(changed(link.settings))]));
      await writeSettings(
        this.#world.state,
        [...this.#links.values()].map((link) => ({
          from: link.from,
          to: link.to,
          settings: next.get(link) ?? link.settings,
        })),
      );
      for (const [link, settings] of next) link.change(settings);
      return links.map(statusOf);
    });
    // The next change waits for this one, however it ends; its caller is told of a failure.
    this.#lastChange = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  async #listen(config: WanConfig): Promise<void> {
    for (const { from, to, passages } of config.links) {
      const there = this.link({ from, to });
      const back = this.link({ from: to, to: from });
      for (const { listen, target } of passages) {
        const onConnection = (caller: Connection): void => {
          this.#onCaller(caller, () => {
            carry(this.#world, caller, target, { there, back }, () => {
              this.#connections -= 1;
            });
          });
        };
        this.#listeners.push(await this.#world.net.listen(listen, onConnection));
      }
    }
  }

  #onCaller(caller: Connection, start: () => void): void {
    if (this.#connections >= CONNECTIONS_MAX) {
      caller.onClose(() => undefined);
      caller.destroy("reset");
      this.#world.log.warn(
        { event: "wan.too-many", connections: this.#connections },
        "connection refused",
      );
      return;
    }
    this.#connections += 1;
    start();
  }

  /**
   * The link of this name, for whoever sends over it.
   * @throws AntipodeError `INVALID_ARGUMENT` when there is none
   */
  link(name: LinkName): Link {
    const link = this.#links.get(linkKey(name));
    if (link === undefined)
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `there is no link from "${name.from}" to "${name.to}"`,
        { from: name.from, to: name.to },
      );
    return link;
  }
}

function statusOf(link: Link): LinkStatus {
  const { settings, shaper, counters } = link;
  return {
    from: link.from,
    to: link.to,
    latencyMs: settings.latencyMs,
    jitterMs: settings.jitterMs,
    bitsPerSecond: settings.bitsPerSecond,
    cut: settings.cut,
    bytesEntered: shaper.enteredBytes,
    bytesDelivered: shaper.deliveredBytes,
    bytesBuffered: shaper.bufferedBytes,
    connectionsOpen: counters.connectionsOpen,
    connectionsTotal: counters.connectionsTotal,
    connectionsRefused: counters.connectionsRefused,
  };
}
