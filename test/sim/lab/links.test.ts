/** What crosses wan's links in a simulated lab: in order, as late as they say, not at all when they are cut (P8, P9). */

import { describe, expect, it } from "vitest";
import { createPrng } from "../../../services/base/prng.ts";
import { Link } from "../../../services/wan/link.ts";
import { createFakeClock } from "../../support/fakeClock.ts";
import type { Pipe } from "../../support/fakeFabric.ts";
import { createTrace } from "../trace.ts";
import { Life } from "../world/life.ts";
import { SiteLinks } from "./links.ts";

const FREE = { latencyMs: 10, jitterMs: 0, bitsPerSecond: 0, cut: false };
const SLOW = { ...FREE, bitsPerSecond: 8000 };

function world(settings = FREE) {
  const clock = createFakeClock();
  const trace = createTrace(() => clock.now());
  const life = new Life("wan", trace, () => undefined);
  const link = new Link({ from: "A", to: "B" }, settings, clock, createPrng(1));
  const torn: string[] = [];
  const links = new SiteLinks({
    siteOf: (host) => (host.startsWith("outside") ? "" : (host.split("-")[1] ?? "")),
    tear: (from, to) => torn.push(`${from} ${to}`),
  });
  links.carriedBy({ life, linkOf: () => link });
  const arrived: string[] = [];
  const send = (pipe: Pipe | undefined, what: string, bytes = 0): void => {
    pipe?.send(() => arrived.push(`${Math.round(clock.now())} ${what}`), bytes);
  };
  const pipe = (): Pipe | undefined => links.pipe("stargate-A-1", "stargate-B-1");
  return { clock, life, link, links, torn, arrived, send, pipe };
}

describe("lines between two sites of a simulated lab", () => {
  it("are the links of wan; other lines are not", () => {
    const { links, pipe } = world();
    expect(pipe()).toBeDefined();
    expect(links.pipe("stargate-A-1", "cerebro-A-2")).toBeUndefined();
    expect(links.pipe("outside", "cerebro-A-2")).toBeUndefined();
  });

  it("let everything of a pipe arrive in order, after the latency", async () => {
    const { clock, arrived, send, pipe } = world();
    const one = pipe();
    send(one, "first", 300_000);
    send(one, "second");
    await clock.tick(5);
    send(one, "third", 10);
    await clock.tick(100);
    expect(arrived).toEqual(["10 first", "10 second", "15 third"]);
  });

  it("share their bandwidth between pipes", async () => {
    const { clock, arrived, send, pipe } = world(SLOW);
    send(pipe(), "one", 1000);
    send(pipe(), "other", 1000);
    await clock.tick(5000);
    expect(arrived.map((line) => Number(line.split(" ")[0]))).toEqual([1010, 2010]);
  });

  it("hold up what is sent over a cut link, and lose nothing", async () => {
    const { clock, link, arrived, send, pipe } = world();
    link.change({ ...FREE, cut: true });
    send(pipe(), "held");
    await clock.tick(1000);
    expect(arrived).toEqual([]);
    link.change(FREE);
    await clock.tick(1000);
    expect(arrived).toEqual(["1010 held"]);
  });

  it("stand still while wan is frozen", async () => {
    const { clock, life, arrived, send, pipe } = world();
    life.pause();
    const one = pipe();
    send(one, "first");
    send(one, "second");
    await clock.tick(1000);
    expect(arrived).toEqual([]);
    life.resume();
    await clock.tick(1000);
    expect(arrived).toEqual(["1010 first", "1010 second"]);
  });

  it("break whatever is begun while wan is dead, and carry again in its next life", async () => {
    const { clock, life, link, links, torn, arrived, send, pipe } = world();
    life.die();
    links.carriedBy(undefined);
    const one = pipe();
    send(one, "lost");
    await clock.tick(1000);
    expect(torn).toEqual(["stargate-A-1 stargate-B-1"]);
    const next = new Life(
      "wan",
      createTrace(() => clock.now()),
      () => undefined,
    );
    links.carriedBy({ life: next, linkOf: () => link });
    send(one, "carried");
    await clock.tick(1000);
    expect(arrived).toEqual(["1010 carried"]);
  });
});
