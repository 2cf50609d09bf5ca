/** P10: a wrong layout is named, not taken. */

import { describe, expect, it } from "vitest";
import { parseLayout } from "../../../services/genesis/index.ts";

const service = {
  id: "wan",
  role: "wan",
  site: "",
  cvm: 0,
  command: "node",
  args: ["a"],
  env: {},
  logFile: "/l",
  probe: "wan",
  address: { host: "127.0.0.1", port: 1 },
  tier: 0,
};
const good = {
  version: 1,
  admin: { host: "127.0.0.1", port: 2100 },
  stateFolder: "/s",
  autoRestart: true,
  restartDelayMs: 1000,
  stopGraceMs: 5000,
  services: [service],
};

describe("parseLayout", () => {
  it("takes what the lab writes", () => {
    expect(parseLayout(good).services).toHaveLength(1);
  });

  it.each([
    ["an unknown key", { ...good, more: 1 }, "more"],
    ["an unknown key of a service", { ...good, services: [{ ...service, x: 1 }] }, '"x"'],
    ["a missing key", { ...good, stopGraceMs: undefined }, "stopGraceMs"],
    ["one id twice", { ...good, services: [service, service] }, "one id"],
    ["an unknown probe", { ...good, services: [{ ...service, probe: "ping" }] }, "probe"],
    ["another version", { ...good, version: 3 }, "version"],
    ["a port out of range", { ...good, admin: { host: "h", port: 70_000 } }, "admin.port"],
  ])("refuses %s", (_, layout, named) => {
    expect(() => parseLayout(layout)).toThrow(named);
  });
});
