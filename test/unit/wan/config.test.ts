/** P10: a wrong configuration of the links is named, not taken. */

import { describe, expect, it } from "vitest";
import { parseWanConfig } from "../../../services/wan/index.ts";

const link = (from: string, to: string) => ({
  from,
  to,
  latencyMs: 5,
  jitterMs: 0,
  bitsPerSecond: 0,
  passages: [{ listen: { host: "127.1.1.1", port: 1 }, target: { host: "127.1.0.1", port: 1 } }],
});
const good = {
  version: 1,
  admin: { host: "127.0.0.1", port: 2110 },
  stateFolder: "/s",
  links: [link("A", "B"), link("B", "A")],
  logLevel: "info",
};

describe("parseWanConfig", () => {
  it("takes what the lab writes", () => {
    expect(parseWanConfig(good).links).toHaveLength(2);
  });

  it.each([
    ["an unknown key", { ...good, extra: 1 }, "extra"],
    ["another version", { ...good, version: 2 }, "version"],
    ["a link without its opposite", { ...good, links: [link("A", "B")] }, "no link from B"],
    ["a link twice", { ...good, links: [link("A", "B"), link("A", "B")] }, "same ends"],
    ["a link to itself", { ...good, links: [link("A", "A")] }, "itself"],
    [
      "a bandwidth of less than a packet",
      { ...good, links: [{ ...link("A", "B"), bitsPerSecond: 10 }, link("B", "A")] },
      "bandwidth",
    ],
    [
      "a negative latency",
      { ...good, links: [{ ...link("A", "B"), latencyMs: -1 }, link("B", "A")] },
      "latency",
    ],
  ])("refuses %s", (_, config, named) => {
    expect(() => parseWanConfig(config)).toThrow(named);
  });
});
