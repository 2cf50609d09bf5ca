/**
 * The programs that antipode is measured beside: NBD servers over a file on the same disk, in the same
 * run. What each guarantees for an acknowledged write stands beside its figures.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AntipodeError } from "../../base/errors.ts";
import type { LabWorld } from "../../lab/index.ts";

export interface Peer {
  readonly name: string;
  readonly guarantee: string;
  readonly command: string;
  args(path: string, port: number): readonly string[];
}

export const PEERS: readonly Peer[] = [
  {
    name: "nbdkit file",
    guarantee: "page cache: lost with the power",
    command: "nbdkit",
    args: (path, port) => [
      "--foreground",
      "--exit-with-parent",
      "--ipaddr=127.0.0.1",
      `--port=${port}`,
      "file",
      path,
    ],
  },
  {
    name: "nbdkit file, fua",
    guarantee: "durable, 1 copy",
    command: "nbdkit",
    args: (path, port) => [
      "--foreground",
      "--exit-with-parent",
      "--ipaddr=127.0.0.1",
      `--port=${port}`,
      "--filter=fua",
      "file",
      path,
      "fuamode=force",
    ],
  },
  {
    name: "qemu-nbd",
    guarantee: "page cache: lost with the power",
    command: "qemu-nbd",
    args: (path, port) => [
      "--bind=127.0.0.1",
      `--port=${port}`,
      "--format=raw",
      "--persistent",
      "--shared=8",
      path,
    ],
  },
];

export interface RunningPeer {
  readonly uri: string;
  end(): Promise<void>;
}

const START_MS_MAX = 5000;
const POLL_MS = 50;

/** Starts a peer over a new sparse file. @throws AntipodeError `LAB_START_FAILED` */
export async function startPeer(
  world: LabWorld,
  peer: Peer,
  folder: string,
  sizeBytes: number,
): Promise<RunningPeer> {
  const path = join(folder, `${peer.name.replaceAll(/[^a-z]/g, "-")}.img`);
  await writeFile(path, "");
  await truncate(path, sizeBytes);
  const listener = await world.net.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    connection.destroy();
  });
  const { port } = listener.address;
  await listener.close();
  const child = spawn(peer.command, [...peer.args(path, port)], { stdio: "ignore" });
  await answered(world, peer, child, port);
  return {
    uri: `nbd://127.0.0.1:${port}`,
    async end() {
      const gone = new Promise<void>((resolve) =>
        child.once("exit", () => {
          resolve();
        }),
      );
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await gone;
      }
      await world.removeTree(path);
    },
  };
}

async function answered(
  world: LabWorld,
  peer: Peer,
  child: ChildProcess,
  port: number,
): Promise<void> {
  const untilMs = world.clock.now() + START_MS_MAX;
  let failure: unknown;
  child.once("error", (error) => {
    failure = error;
  });
  while (world.clock.now() < untilMs && failure === undefined && child.exitCode === null) {
    try {
      const connection = await world.net.connect({ host: "127.0.0.1", port }, POLL_MS * 4);
      connection.destroy();
      return;
    } catch {
      // Not listening yet.
      await world.clock.sleep(POLL_MS);
    }
  }
  child.kill("SIGKILL");
  throw new AntipodeError(
    "LAB_START_FAILED",
    `${peer.name} did not start`,
    { command: peer.command },
    failure,
  );
}
