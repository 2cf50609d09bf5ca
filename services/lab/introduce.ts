/**
 * What a fresh lab needs before it is of use: a container on every site, and every site known to every
 * other one as a remote. Repeating it changes nothing; when a lab has moved to other addresses the
 * remotes are made anew.
 */

import { AntipodeError, codeOf } from "../base/errors.ts";
import type { Address } from "../platform/net.ts";
import { CerebroService } from "../platform/wire/cerebro.ts";
import { VdiskService } from "../platform/wire/stargate.ts";
import type { LabPlan, RemotePlan, SitePlan } from "./addresses.ts";
import { type LabShape, replicationFactorOf } from "./shape.ts";
import type { LabWorld } from "./world.ts";

/** Name of the container that every site begins with. */
export const DEFAULT_CONTAINER = "default";
const CALL_TIMEOUT_MS = 5000;
const RETRY_INTERVAL_MS = 50;
/** A leader must be elected, which takes at most a lease and a bit. */
const INTRODUCE_TIMEOUT_MS = 30_000;

/**
 * Makes containers and remotes.
 * @throws the last AntipodeError when a site does not do it in time
 */
export async function introduceSites(
  world: LabWorld,
  plan: LabPlan,
  shape: Pick<LabShape, "replicationFactor">,
  signal?: AbortSignal,
): Promise<void> {
  const deadlineMs = world.clock.now() + INTRODUCE_TIMEOUT_MS;
  await Promise.all(
    plan.sites.flatMap((site) => [
      insist(world, deadlineMs, signal, (attempt) => createContainer(world, site, shape, attempt)),
      ...site.remotes.map((remote) =>
        insist(world, deadlineMs, signal, (attempt) => createRemote(world, site, remote, attempt)),
      ),
    ]),
  );
}

/** Tries until it succeeds or the failure is one that trying again cannot cure. */
async function insist(
  world: LabWorld,
  deadlineMs: number,
  signal: AbortSignal | undefined,
  act: (attempt: number) => Promise<void>,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await act(attempt);
      return;
    } catch (error) {
      if (!(error instanceof AntipodeError) || error.retry === "never") throw error;
      if (world.clock.now() > deadlineMs) throw error;
    }
    await world.clock.sleep(RETRY_INTERVAL_MS, signal);
  }
}

/** Another CVM at every attempt. */
function pick(addresses: readonly Address[], attempt: number): Address {
  const address = addresses[attempt % addresses.length];
  if (address === undefined) throw new AntipodeError("CVM_NOT_FOUND", "a site has no CVM");
  return address;
}

async function createContainer(
  world: LabWorld,
  site: SitePlan,
  shape: Pick<LabShape, "replicationFactor">,
  attempt: number,
): Promise<void> {
  const stargates = site.cvms.map((cvm) => cvm.stargate);
  const client = world.rpc.connect(pick(stargates, attempt));
  const replicationFactor = replicationFactorOf(shape, { cvms: site.cvms.length });
  try {
    await client.unary(
      VdiskService.createContainer,
      { name: DEFAULT_CONTAINER, replicationFactor, compression: true },
      { deadlineMs: CALL_TIMEOUT_MS },
    );
  } catch (error) {
    if (codeOf(error) !== "CONTAINER_EXISTS") throw error;
  }
}

async function createRemote(
  world: LabWorld,
  site: SitePlan,
  remote: RemotePlan,
  attempt: number,
): Promise<void> {
  const cerebros = site.cvms.map((cvm) => cvm.cerebro);
  const client = world.rpc.connect(pick(cerebros, attempt));
  const options = { deadlineMs: CALL_TIMEOUT_MS };
  const wanted = {
    name: remote.site,
    cerebros: remote.cvms.map((cvm) => cvm.cerebro),
    stargates: remote.cvms.map((cvm) => cvm.stargate),
    containers: [{ local: DEFAULT_CONTAINER, remote: DEFAULT_CONTAINER }],
  };
  const { remotes } = await client.unary(CerebroService.listRemotes, {}, options);
  const known = remotes.find((one) => one.name === remote.site);
  if (known !== undefined) {
    if (sameAddresses(known.stargates, wanted.stargates)) return;
    await client.unary(CerebroService.deleteRemote, { name: remote.site }, options);
  }
  try {
    await client.unary(CerebroService.createRemote, { ...wanted, requestId: "" }, options);
  } catch (error) {
    if (codeOf(error) !== "REMOTE_EXISTS") throw error;
  }
}

function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  const text = (list: readonly Address[]): string =>
    list.map(({ host, port }) => `${host}:${port}`).join();
  return text(a) === text(b);
}
