/** Where a lab lies and what its processes are told: pure planning. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCvmConfig } from "../../../services/base/siteConfig.ts";
import { parseLayout } from "../../../services/genesis/index.ts";
import { listeningAddresses, planAddresses } from "../../../services/lab/addresses.ts";
import { planConfigs } from "../../../services/lab/configs.ts";
import { type LabFile, parseLabFile } from "../../../services/lab/labFile.ts";
import { parseCvmCounts, parseSiteNames } from "../../../services/lab/shape.ts";
import { lastWords } from "../../../services/lab/startFailure.ts";
import { parseWanConfig } from "../../../services/wan/index.ts";

const identity = "0123456789abcdef0123456789abcdef";
const lab: LabFile = {
  version: 1,
  id: identity,
  createdAtMs: 1,
  sites: [
    { name: "A", cvms: 3, incarnation: identity },
    { name: "B", cvms: 2, incarnation: identity },
  ],
  place: { kind: "loopback", octets: [10, 11] },
  latencyMs: 5,
  jitterMs: 0,
  bitsPerSecond: 1e9,
  etcd: "embedded",
  etcdCommand: "",
  autoRestart: true,
  logLevel: "info",
};
const launch = { node: "/bin/node", entryOf: (service: string) => `/dist/${service}/main.js` };

describe("addresses of a lab", () => {
  it("gives every CVM an address of its own with the product's ports", () => {
    const plan = planAddresses(lab, lab.place);
    expect(plan.sites[1]?.cvms[1]).toEqual({
      cvm: 2,
      stargate: { host: "127.11.0.2", port: 2009 },
      nbd: { host: "127.11.0.2", port: 10_809 },
      cerebro: { host: "127.11.0.2", port: 2020 },
    });
    expect(plan.sites[0]?.remotes[0]?.cvms[1]?.stargate).toEqual({
      host: "127.10.101.2",
      port: 2009,
    });
    expect(plan.sites[1]?.etcd).toEqual({ host: "127.11.0.100", port: 2379 });
  });

  it("never gives one address twice, for any shape and either kind of place", () => {
    const shape = fc.array(fc.integer({ min: 1, max: 32 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(shape, fc.boolean(), (counts, shifted) => {
        const sites = counts.map((cvms, index) => ({ name: `S${index}`, cvms }));
        const place = shifted
          ? ({ kind: "shifted", basePort: 20_000 } as const)
          : ({ kind: "loopback", octets: counts.map((_, index) => 10 + index) } as const);
        const all = listeningAddresses(planAddresses({ sites }, place)).map(
          ({ host, port }) => `${host}:${port}`,
        );
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });
});

describe("configurations of a lab", () => {
  const plan = planAddresses(lab, lab.place);
  const { files, layout } = planConfigs(lab, plan, "/lab", launch);
  const contentOf = (path: string): unknown => files.find((file) => file.path === path)?.content;

  it("are what the processes take", () => {
    expect(parseLayout(contentOf("config/genesis.json"))).toEqual(layout);
    expect(parseWanConfig(contentOf("config/wan.json")).links).toHaveLength(2);
    expect(parseCvmConfig(contentOf("config/A/cvm-3.json")).members).toHaveLength(3);
  });

  it("start etcd and the links before what needs them", () => {
    const tiers = new Map(layout.services.map((service) => [service.id, service.tier]));
    expect([tiers.get("etcd@A"), tiers.get("wan"), tiers.get("cerebro@B/2")]).toEqual([0, 0, 1]);
    expect(layout.services).toHaveLength(2 + 1 + 2 * 5);
  });

  it("lead every passage of a link to the CVM that it stands for", () => {
    const { links } = parseWanConfig(contentOf("config/wan.json"));
    const there = links.find((link) => link.from === "A");
    expect(there?.passages).toHaveLength(4);
    expect(there?.passages[3]).toEqual({
      listen: { host: "127.10.101.2", port: 2020 },
      target: { host: "127.11.0.2", port: 2020 },
    });
  });

  it("have no links in a lab of one site", () => {
    const single = { ...lab, sites: lab.sites.slice(0, 1) };
    const alone = planConfigs(single, planAddresses(single, lab.place), "/lab", launch);
    expect(alone.layout.services.map((service) => service.role)).not.toContain("wan");
  });

  it("start a real etcd with fast ticks at the site's address", () => {
    const real = planConfigs(
      { ...lab, etcd: "real", etcdCommand: "/bin/etcd" },
      plan,
      "/lab",
      launch,
    );
    const etcd = real.layout.services.find((service) => service.id === "etcd@B");
    expect(etcd?.command).toBe("/bin/etcd");
    expect(etcd?.args).toContain("--heartbeat-interval=50");
    expect(etcd?.args).toContain("--listen-client-urls=http://127.11.0.100:2379");
  });
});

describe("lab.json", () => {
  it("is read as it was written", () => {
    expect(parseLabFile(JSON.parse(JSON.stringify(lab)))).toEqual(lab);
  });

  it.each([
    ["an unknown key", { ...lab, extra: 1 }, "extra"],
    ["another version", { ...lab, version: 2 }, "version"],
    ["no place", { ...lab, place: undefined }, "place"],
    ["too few octets", { ...lab, place: { kind: "loopback", octets: [10] } }, "octet"],
    ["a site without identity", { ...lab, sites: [{ name: "A", cvms: 1, incarnation: "" }] }, "id"],
    ["an unknown etcd", { ...lab, etcd: "consul" }, "etcd"],
  ])("P10: is refused with %s", (_, file, named) => {
    expect(() => parseLabFile(file)).toThrow(named);
  });
});

describe("the shape of a lab", () => {
  it("is read from names and counts", () => {
    expect(parseSiteNames("paris, tokyo")).toEqual(["paris", "tokyo"]);
    expect(parseCvmCounts("3", 2)).toEqual([3, 3]);
    expect(parseCvmCounts("3,1", 2)).toEqual([3, 1]);
  });

  it.each(["", "A,,B", "A,a", "1A", "A/B", "../x"])("P10: refuses the names %j", (text) => {
    expect(() => parseSiteNames(text)).toThrow();
  });

  it.each(["0", "33", "x", "1,2,3", "-1", "1.5"])("P10: refuses the counts %j", (text) => {
    expect(() => parseCvmCounts(text, 2)).toThrow();
  });
});

describe("the last words of a service that did not start", () => {
  it("are the message of its last error", () => {
    const log = [
      '{"level":"info","phrase":"configuration"}',
      '{"level":"fatal","err":{"message":"127.10.0.1:2009 is in use by node (pid 12)"}}',
      '{"level":"info","phrase":"bye"}',
    ].join("\n");
    expect(lastWords(log)).toBe("127.10.0.1:2009 is in use by node (pid 12)");
  });

  it("are its last line when it does not speak JSON", () => {
    expect(lastWords("Error: no such module\n\n")).toBe("Error: no such module");
    expect(lastWords("")).toBe("");
  });
});
