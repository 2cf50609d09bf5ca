/** What the command line says and takes, without any lab. */

import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { AntipodeError, errorTable, exitCode } from "../../../services/base/errors.ts";
import { parseTarget } from "../../../services/cli/chaosTarget.ts";
import { shapeOf } from "../../../services/cli/commands/lab.ts";
import { chooseLinks } from "../../../services/cli/commands/link.ts";
import { parseAddresses } from "../../../services/cli/commands/remote.ts";
import { failureJson, failureOf, failureText } from "../../../services/cli/failure.ts";
import { facts, table } from "../../../services/cli/output.ts";
import { createProgram } from "../../../services/cli/program.ts";
import { progressOn } from "../../../services/cli/progress.ts";

const CLEAR_LINE = "\r\u001b[K";

/** Without the program's own name: "vdisk create", "demo". */
const nameOf = (command: Command): string =>
  `${command.parent?.name() ?? ""} ${command.name()}`.replace(/^antipode /, "");
const leaves = (command: Command): readonly Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);

describe("every command", () => {
  const commands = leaves(createProgram());

  it("is there", () => {
    const names = commands.map(nameOf).filter((name) => name.includes(" "));
    expect(names).toMatchSnapshot();
  });

  it.each(commands.map((command) => [nameOf(command), command] as const))(
    "%s has --json, --dir, a summary and examples that call it",
    (name, command) => {
      const flags = command.options.map((option) => option.long);
      expect(flags).toContain("--json");
      expect(flags).toContain("--dir");
      expect(command.summary()).not.toBe("");
      let help = "";
      command.configureOutput({
        writeOut: (text) => {
          help += text;
        },
      });
      command.outputHelp();
      expect(help).toContain("Examples:");
      expect(help).toContain(`antipode ${name}`);
    },
  );
});

describe("failures", () => {
  it("have the exit code of their kind in the table, and a remedy", () => {
    for (const [code, row] of Object.entries(errorTable)) {
      const failure = failureOf(new AntipodeError(code as keyof typeof errorTable, "x"));
      expect(failure.exit).toBe(exitCode[row.exit]);
      expect(failure.exit).toBeGreaterThan(1);
      expect(failure.remedy).not.toBe("");
    }
  });

  it("that nobody expected end with 1 and are called a bug", () => {
    expect(failureOf(new Error("boom"))).toMatchObject({ exit: 1, code: "INTERNAL" });
  });

  it("say what happened, the code and what to do, to people and to programs", () => {
    const failure = failureOf(new AntipodeError("VDISK_NOT_FOUND", "no vDisk d", { name: "d" }));
    expect(failureText(failure)).toBe(
      [
        "antipode: no vDisk d",
        "  code: VDISK_NOT_FOUND",
        "  what to do: List the vDisks with `antipode vdisk list`.",
      ].join("\n"),
    );
    expect(JSON.parse(failureJson(failure))).toEqual({
      error: {
        code: "VDISK_NOT_FOUND",
        message: "no vDisk d",
        remedy: "List the vDisks with `antipode vdisk list`.",
        details: { name: "d" },
      },
    });
  });
});

describe("targets of chaos", () => {
  it.each([
    ["stargate@A/1", { kind: "service", id: "stargate@A/1", site: "A" }],
    ["etcd@paris", { kind: "service", id: "etcd@paris", site: "paris" }],
    ["wan", { kind: "service", id: "wan", site: "" }],
    ["leader", { kind: "leader", site: "first" }],
    ["leader@B", { kind: "leader", site: "B" }],
    ["cerebro.leader@B", { kind: "leader", site: "B" }],
    ["stargate.owner(d)@B", { kind: "owner", vdisk: "d", site: "B" }],
    ["cvm@B:random", { kind: "random", of: "cvm", site: "B" }],
    ["site@A", { kind: "site", site: "A" }],
    ["cvm@A/3", { kind: "cvm", site: "A", cvm: 3 }],
    ["genesis", { kind: "genesis" }],
  ])("%s is understood", (text, target) => {
    expect(parseTarget(text, "first")).toEqual(target);
  });

  it.each([
    "",
    "site",
    "cvm@A",
    "@A",
    "genesis@A",
    "stargate@",
    "a b",
    "mesos.leader@A",
    "leader@A/1",
  ])("P10: %j is refused", (text) => {
    expect(() => parseTarget(text, "A")).toThrow("is no target");
  });
});

describe("links that a command means", () => {
  const text = (from?: string, to?: string, oneWay = false): string =>
    chooseLinks(["A", "B", "C"], from, to, oneWay)
      .map((link) => link.from + link.to)
      .join(" ");

  it("are all, those of a site, both directions, or one", () => {
    expect(text()).toBe("AB AC BA BC CA CB");
    expect(text("A")).toBe("AB AC BA CA");
    expect(text("A", "C")).toBe("AC CA");
    expect(text("A", "C", true)).toBe("AC");
  });

  it("P10: need sites that exist and differ", () => {
    expect(() => text("X")).toThrow('no site "X"');
    expect(() => text("A", "A")).toThrow("itself");
    expect(() => text("A", undefined, true)).toThrow("--one-way");
    expect(() => chooseLinks(["A"], undefined, undefined, false)).toThrow("one site");
  });
});

describe("options of lab up", () => {
  it("have defaults, and know what was given on purpose", () => {
    const { shape, given } = shapeOf({ latency: "20ms" });
    expect(shape).toEqual({
      sites: [
        { name: "A", cvms: 3 },
        { name: "B", cvms: 3 },
      ],
      latencyMs: 20,
      jitterMs: 0,
      bitsPerSecond: 1e9,
      etcd: "embedded",
    });
    expect(given).toEqual({ latencyMs: 20 });
  });

  it.each([
    { latency: "5" },
    { bandwidth: "1MB" },
    { etcd: "consul" },
    { cvms: "0" },
    { sites: "A,A" },
  ])("P10: %j is refused", (options) => {
    expect(() => shapeOf(options)).toThrow(AntipodeError);
  });
});

describe("addresses on the command line", () => {
  it("are host:port with commas between", () => {
    expect(parseAddresses("10.0.0.1:2020, b:1", "--cerebro")).toEqual([
      { host: "10.0.0.1", port: 2020 },
      { host: "b", port: 1 },
    ]);
  });

  it.each(["", "a", "a:", "a:0", "a:70000", ":1"])("P10: %j is refused", (text) => {
    expect(() => parseAddresses(text, "--cerebro")).toThrow("--cerebro");
  });
});

describe("output for people", () => {
  it("aligns text to the left and numbers to the right, whatever the alphabet", () => {
    expect(
      table(
        ["name", "n"],
        [
          ["é→x", 5],
          ["longer", 100],
        ],
      ),
    ).toBe(["NAME      N", "é→x       5", "longer  100"].join("\n"));
    expect(facts([["a", 1] as const, ["long", "x"] as const])).toBe("a     1\nlong  x");
  });

  it("shows a bar with rate and time left on a terminal, in place", () => {
    let nowMs = 0;
    let written = "";
    const sink = {
      isTerminal: true,
      columns: 200,
      write: (text: string) => {
        written += text;
      },
      now: () => nowMs,
    };
    const bar = progressOn(sink).bar("copying", "bytes");
    bar.update(0, 4096);
    nowMs = 1000;
    bar.update(1024, 4096);
    expect(written.split("\r").at(-1)).toContain("25%  1.0 KiB of 4.0 KiB  1.0 KiB/s  3.0 s left");
    bar.end();
    bar.end();
    expect(written.match(/\n/g)).toHaveLength(1);
  });

  it("never wraps a bar on 80 columns, and keeps the time left and the reason of a wait", () => {
    let nowMs = 0;
    const drawn: string[] = [];
    const sink = {
      isTerminal: true,
      columns: 80,
      write: (text: string) => {
        drawn.push(text.replace(CLEAR_LINE, ""));
      },
      now: () => nowMs,
    };
    const bar = progressOn(sink).bar("reading disk@rp-3 at A", "bytes");
    bar.update(0, 1e9, "sent 0 B");
    nowMs = 1000;
    bar.update(123_456_789, 1e9, "sent 100.0 MiB");
    expect(drawn.at(-1)).toMatch(/12% {2}117\.7 MiB {2}117\.7 MiB\/s {2}7\.1 s left/);
    nowMs = 9000;
    bar.update(123_456_789, 1e9, "sent 100.0 MiB, remote unreachable: the site B does not answer");
    nowMs = 18_000;
    bar.update(123_456_789, 1e9, "sent 100.0 MiB, remote unreachable: the site B does not answer");
    expect(drawn.at(-1)).toMatch(/sent 100\.0 MiB, .*…$/);
    expect(Math.max(...drawn.map((text) => text.length))).toBeLessThan(80);
  });

  it("puts a line that stays in a live bar's place, and the bar below it", () => {
    let written = "";
    const sink = {
      isTerminal: true,
      columns: 80,
      write: (text: string) => {
        written += text;
      },
      now: () => 0,
    };
    const progress = progressOn(sink);
    const bar = progress.bar("copying", "items");
    bar.update(1, 2);
    written = "";
    progress.line("a leader was killed");
    expect(written.startsWith(`${CLEAR_LINE}a leader was killed\n${CLEAR_LINE}copying `)).toBe(
      true,
    );
    expect(written).toContain(" 50%");
    bar.end();
    written = "";
    progress.line("over");
    expect(written).toBe("over\n");
  });

  it("does not repeat the last plain line at the end", () => {
    let written = "";
    const sink = {
      isTerminal: false,
      columns: 80,
      write: (text: string) => {
        written += text;
      },
      now: () => 0,
    };
    const bar = progressOn(sink).bar("copying", "items");
    bar.update(2, 2);
    bar.end();
    expect(written).toBe("copying 100%  2 of 2 items\n");
  });

  it("writes few plain lines when piped", () => {
    let nowMs = 0;
    const lines: string[] = [];
    const sink = {
      isTerminal: false,
      columns: 80,
      write: (text: string) => {
        lines.push(text);
      },
      now: () => nowMs,
    };
    const bar = progressOn(sink).bar("copying", "items");
    for (; nowMs < 5000; nowMs += 10) bar.update(nowMs / 10, 500);
    bar.end();
    expect(lines.length).toBeLessThan(6);
    expect(lines.join("")).not.toContain("\u001b");
  });
});
