/** Why a service did not start: the last thing it said, and where the rest of it is. */

import { fromUtf8 } from "../base/bytes.ts";
import { AntipodeError, codeOf } from "../base/errors.ts";
import type { ServiceStatus } from "../platform/wire/genesis.ts";
import type { LabWorld } from "./world.ts";

/** Enough for the last few lines. */
const TAIL_BYTES = 16 * 1024;
const SENTENCE_MAX = 400;

/** `LAB_START_FAILED` with the last words of the service. */
export async function failureOf(
  world: LabWorld,
  service: ServiceStatus,
  what: string,
): Promise<AntipodeError> {
  const words = lastWords(await tailOf(world, service.logFile));
  const because = words === "" ? "" : `: ${words}`;
  return new AntipodeError("LAB_START_FAILED", `${service.id} ${what}${because}`, {
    id: service.id,
    logFile: service.logFile,
    lastExit: service.lastExit,
  });
}

async function tailOf(world: LabWorld, path: string): Promise<string> {
  const slash = path.lastIndexOf("/");
  try {
    const disk = world.diskAt(path.slice(0, slash));
    const file = await disk.open(path.slice(slash + 1), "read");
    try {
      const sizeBytes = await file.sizeBytes();
      const bytes = await file.read(Math.max(0, sizeBytes - TAIL_BYTES), TAIL_BYTES);
      // It may begin in the middle of a character, but a line is only looked at whole.
      const firstLine = bytes.indexOf(10);
      return fromUtf8(bytes.subarray(sizeBytes > TAIL_BYTES ? firstLine + 1 : 0));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof TypeError)) throw error;
    return "";
  }
}

/** Message of the last error in a log of JSON lines, or its last line that is not JSON. */
export function lastWords(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  for (const line of lines.reverse()) {
    const said = sentenceOf(line);
    if (said !== undefined) return said.slice(0, SENTENCE_MAX);
  }
  return "";
}

function sentenceOf(line: string): string | undefined {
  try {
    const value = JSON.parse(line) as {
      readonly level?: unknown;
      readonly err?: { readonly message?: unknown };
    } | null;
    const message = value?.err?.message;
    const bad = value?.level === "fatal" || value?.level === "error";
    return bad && typeof message === "string" ? message : undefined;
  } catch {
    return line.trim();
  }
}
