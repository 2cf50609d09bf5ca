/** What the lab needs of the machine; the CLI brings it. */

import type { Clock } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Net } from "../platform/net.ts";
import type { Processes } from "../platform/processes.ts";
import type { Random } from "../platform/random.ts";
import type { Rpc } from "../platform/rpc.ts";
import type { Launch } from "./configs.ts";

export interface LabWorld {
  readonly clock: Clock;
  readonly net: Net;
  readonly rpc: Rpc;
  readonly processes: Processes;
  readonly random: Random;
  readonly launch: Launch;
  /** Environment that genesis, and so every service, gets. */
  readonly environment: Readonly<Record<string, string>>;
  /** Pid of this process. */
  readonly ownPid: number;
  /** Files below an absolute path. */
  readonly diskAt: (path: string) => Disk;
  /** Removes a folder with everything in it; harmless when it does not exist. */
  readonly removeTree: (path: string) => Promise<void>;
  /** Absolute path of the folder with what this user's labs share. */
  readonly registryFolder: string;
  /** Absolute path of a program in PATH. */
  readonly findProgram: (name: string) => Promise<string | undefined>;
  /** Tells people what is going on, and what is odd but no failure. */
  readonly tell: (line: string) => void;
}
