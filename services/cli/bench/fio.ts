/** fio as the measuring client: one job, its figures. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { AntipodeError } from "../../base/errors.ts";

const run = promisify(execFile);

export interface FioJob {
  readonly name: string;
  readonly readWrite: "randwrite" | "randread" | "write" | "read";
  readonly blockBytes: number;
  readonly depth: number;
}

export interface FioFigures {
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly latencyMsP50: number;
  readonly latencyMsP99: number;
}

interface Side {
  readonly iops?: number;
  readonly bw_bytes?: number;
  readonly clat_ns?: { readonly percentile?: Readonly<Record<string, number>> };
}

const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Runs a job against an NBD export.
 * @param seconds measured time; a fifth of it before is not counted
 * @throws AntipodeError `CHECK_FAILED` with what fio said
 */
export async function runFio(
  job: FioJob,
  uri: string,
  spanBytes: number,
  seconds: number,
): Promise<FioFigures> {
  const args = [
    `--name=${job.name}`,
    "--ioengine=nbd",
    `--uri=${uri}`,
    `--rw=${job.readWrite}`,
    `--bs=${job.blockBytes}`,
    `--iodepth=${job.depth}`,
    `--size=${spanBytes}`,
    "--time_based=1",
    `--runtime=${seconds}`,
    `--ramp_time=${Math.max(1, Math.round(seconds / 5))}`,
    "--randrepeat=0",
    "--refill_buffers=1",
    "--buffer_compress_percentage=50",
    "--output-format=json",
  ];
  return figuresOf(job, await fio(args));
}

/** Writes the span once, so that reads find data. */
export async function prefill(uri: string, spanBytes: number): Promise<void> {
  await fio([
    "--name=prefill",
    "--ioengine=nbd",
    `--uri=${uri}`,
    "--rw=write",
    "--bs=1m",
    "--iodepth=8",
    `--size=${spanBytes}`,
    "--refill_buffers=1",
    "--buffer_compress_percentage=50",
    "--output-format=json",
  ]);
}

async function fio(args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run("fio", [...args], { maxBuffer: OUTPUT_BYTES_MAX });
    return stdout;
  } catch (cause) {
    throw new AntipodeError("CHECK_FAILED", "fio failed", { args: args.join(" ") }, cause);
  }
}

function figuresOf(job: FioJob, output: string): FioFigures {
  // fio may print notes before the object.
  const parsed = JSON.parse(output.slice(output.indexOf("{"))) as {
    readonly jobs?: readonly Readonly<Record<string, unknown>>[];
  };
  const side = parsed.jobs?.[0]?.[job.readWrite.endsWith("write") ? "write" : "read"] as
    | Side
    | undefined;
  if (side?.iops === undefined)
    throw new AntipodeError("CHECK_FAILED", "fio printed no figures", { job: job.name });
  const percentile = side.clat_ns?.percentile ?? {};
  return {
    iops: side.iops,
    bytesPerSecond: side.bw_bytes ?? 0,
    latencyMsP50: (percentile["50.000000"] ?? 0) / 1e6,
    latencyMsP99: (percentile["99.000000"] ?? 0) / 1e6,
  };
}
