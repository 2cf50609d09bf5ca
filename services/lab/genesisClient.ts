/** Starts genesis and speaks with it. */

import { AntipodeError, codeOf } from "../base/errors.ts";
import type { Infer } from "../base/wire.ts";
import type { ProcessHandle } from "../platform/processes.ts";
import { GenesisService, type ListResponse } from "../platform/wire/genesis.ts";
import type { LabPlan } from "./addresses.ts";
import { GENESIS_CONFIG, nodeFlags } from "./configs.ts";
import type { LabWorld } from "./world.ts";

export type ProcessList = Infer<typeof ListResponse>;

const CALL_TIMEOUT_MS = 5000;
/** Node starts in well under a second; a machine under load takes some. */
const START_TIMEOUT_MS = 15_000;
const POLL_INTERVAL_MS = 40;

/** Starts genesis over the configuration that lies in the lab's directory. */
export async function spawnGenesis(world: LabWorld, directory: string): Promise<ProcessHandle> {
  return world.processes.spawn(
    {
      command: world.launch.node,
      args: [
        ...nodeFlags("genesis"),
        world.launch.entryOf("genesis"),
        `${directory}/${GENESIS_CONFIG}`,
      ],
      env: world.environment,
      logFile: `${directory}/logs/genesis.log`,
    },
    () => undefined,
  );
}

/** What genesis says of all processes. */
export async function listProcesses(world: LabWorld, plan: LabPlan): Promise<ProcessList> {
  const client = world.rpc.connect(plan.genesis);
  return client.unary(GenesisService.list, {}, { deadlineMs: CALL_TIMEOUT_MS });
}

/**
 * Waits until genesis answers.
 * @throws AntipodeError `LAB_START_FAILED` when it ends or does not answer in time
 */
export async function awaitGenesis(
  world: LabWorld,
  plan: LabPlan,
  directory: string,
  genesis: ProcessHandle,
  signal?: AbortSignal,
): Promise<ProcessList> {
  const startedMs = world.clock.now();
  const logFile = `${directory}/logs/genesis.log`;
  for (;;) {
    try {
      // A plain connection first: it is refused at once, where gRPC would back off for a second.
      const connection = await world.net.connect(plan.genesis, CALL_TIMEOUT_MS);
      connection.onClose(() => undefined);
      connection.destroy();
      return await listProcesses(world, plan);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "PEER_UNREACHABLE" && code !== "DEADLINE_EXCEEDED") throw error;
    }
    if (!(await world.processes.isAlive(genesis)))
      throw new AntipodeError("LAB_START_FAILED", "genesis ended while it started", { logFile });
    if (world.clock.now() - startedMs > START_TIMEOUT_MS)
      throw new AntipodeError("LAB_START_FAILED", "genesis does not answer", { logFile });
    await world.clock.sleep(POLL_INTERVAL_MS, signal);
  }
}
