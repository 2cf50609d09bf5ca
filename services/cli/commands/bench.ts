/** `antipode bench`: block I/O beside other NBD servers, and replication, on labs of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { AntipodeError } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import { type BlockIoResult, benchBlockIo } from "../bench/blockIo.ts";
import { describeMachine, type Machine } from "../bench/machine.ts";
import { benchReplication, type CutResult, type ReplicationResult } from "../bench/replication.ts";
import { addCommand, type Context, type Outcome, optional } from "../command.ts";
import { table } from "../output.ts";

const SCENARIOS = ["block", "replication"] as const;
const SECONDS_DEFAULT = 8;
const REPETITIONS_DEFAULT = 1;

export function addBenchCommand(program: Command): void {
  addCommand(program, {
    usage: "bench [scenarios...]",
    summary: "measure block I/O (with fio, beside nbdkit and qemu-nbd) and replication",
    more: "Scenarios: block, replication (default: both). Nothing else should run on the machine.",
    options: [
      ["--seconds <n>", `measured time of each fio job (default: ${SECONDS_DEFAULT})`],
      ["--repetitions <n>", `rounds of block I/O (default: ${REPETITIONS_DEFAULT})`],
      [
        "--work <directory>",
        "folder for labs and files, on the disk to measure (default: the system's temporary folder)",
      ],
    ],
    examples: ["bench", "bench block --seconds 20 --repetitions 5", "bench replication --json"],
    run: bench,
  });
}

interface Bench {
  readonly machine: Machine;
  readonly blockIo: readonly BlockIoResult[];
  readonly replications: readonly ReplicationResult[];
  readonly cuts: readonly CutResult[];
}

async function bench(context: Context, given: readonly (string | undefined)[]): Promise<Outcome> {
  const wanted = given.filter((one) => one !== undefined);
  for (const one of wanted)
    if (!SCENARIOS.some((scenario) => scenario === one))
      throw new AntipodeError(
        "INVALID_ARGUMENT",
        `there is no scenario "${one}"; there are ${SCENARIOS.join(", ")}`,
      );
  const runs = (scenario: string): boolean => wanted.length === 0 || wanted.includes(scenario);
  const machine = await describeMachine();
  if (runs("block") && machine.tools["fio"] === "")
    throw new AntipodeError(
      "INVALID_ARGUMENT",
      "fio is needed for block I/O: install it, or run `bench replication`",
    );
  const workFolder = await mkdtemp(
    join(optional(context.options, "work") ?? tmpdir(), "antipode-bench-"),
  );
  const tell = (line: string): void => {
    if (!context.json) context.tell(line);
  };
  try {
    const plan = {
      context,
      workFolder,
      seconds: count(context, "seconds", SECONDS_DEFAULT),
      repetitions: count(context, "repetitions", REPETITIONS_DEFAULT),
      tell,
    };
    const blockIo = runs("block")
      ? await benchBlockIo(plan, (command) => machine.tools[command] !== "")
      : [];
    const { replications, cuts } = runs("replication")
      ? await benchReplication(context, workFolder, tell)
      : { replications: [], cuts: [] };
    const results: Bench = { machine, blockIo, replications, cuts };
    return { json: { ...results }, text: textOf(results) };
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

function count(context: Context, name: string, fallback: number): number {
  const text = optional(context.options, name);
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 3600)
    throw new AntipodeError("INVALID_ARGUMENT", `--${name}: "${text}" is no number from 1 to 3600`);
  return value;
}

function textOf({ machine, blockIo, replications, cuts }: Bench): string {
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}, ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}`,
  ];
  if (blockIo.length > 0)
    parts.push(
      table(
        ["block I/O", "subject", "IOPS", "MB/s", "p50 ms", "p99 ms", "guarantee"],
        blockIo.map((one) => [
          one.scenario,
          one.subject,
          Math.round(one.iops),
          (one.bytesPerSecond / 1e6).toFixed(1),
          one.latencyMsP50.toFixed(2),
          one.latencyMsP99.toFixed(2),
          one.guarantee,
        ]),
      ),
    );
  if (replications.length > 0)
    parts.push(
      table(
        ["replication", "logical", "new", "wire", "took ms", "MB/s logical", "CPU s/GiB"],
        replications.map((one) => [
          one.scenario,
          formatBytes(one.logicalBytes),
          formatBytes(one.uniqueBytes),
          formatBytes(one.wireBytes),
          Math.round(one.durationMs),
          (one.logicalBytesPerSecond / 1e6).toFixed(0),
          one.cpuSecondsPerGib.toFixed(1),
        ]),
      ),
    );
  for (const cut of cuts) parts.push(`${cut.scenario}: writes held ${cut.holdMs.toFixed(1)} ms`);
  return parts.join("\n\n");
}
