/**
 * Calls to a site as a whole: any CVM may be asked, so that one that is down, frozen or no leader is
 * passed over. Every request is safe to repeat, or carries a request id that makes it so.
 */

import { toHex } from "../base/bytes.ts";
import { AntipodeError, type ErrorCode } from "../base/errors.ts";
import type { Method } from "../base/wire.ts";
import type { CvmPlan, OpenLab, SitePlan } from "../lab/index.ts";
import type { Address } from "../platform/net.ts";
import type { Context } from "./command.ts";

/** Long enough for a CVM that works hard; a frozen one is passed over after it. */
const CALL_TIMEOUT_MS = 8000;
/** An election takes a lease and a bit; a new owner somewhat more. */
const PATIENCE_MS = 15_000;
const RETRY_INTERVAL_MS = 200;
/** Worth another try after a moment, at any CVM. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  "NO_LEADER",
  "COORDINATOR_UNAVAILABLE",
  "COORDINATOR_CONFLICT",
  "OWNER_UNAVAILABLE",
  "PEERS_UNAVAILABLE",
]);

export type CvmService = "stargate" | "cerebro";

export interface CallPlan {
  readonly service: CvmService;
  /** For calls whose work takes long. */
  readonly deadlineMs?: number;
  /** Told before an attempt whether an earlier one may have been carried out. */
  readonly onAmbiguous?: () => void;
}

/** The site that a command works at: the named one, or the first. */
export function siteOf(open: OpenLab, name: string | undefined): SitePlan {
  const { sites } = open.plan;
  const site = name === undefined ? sites[0] : sites.find((one) => one.name === name);
  if (site !== undefined) return site;
  const names = sites.map((one) => one.name).join(", ");
  throw new AntipodeError("SITE_NOT_FOUND", `there is no site "${name}"; there are ${names}`, {
    site: name ?? "",
  });
}

/** A new identity for a request that makes something. */
export function newRequestId(context: Context): string {
  return toHex(context.world.random.bytes(16));
}

/** Asks CVM after CVM until one answers. */
export async function callSite<Q, A>(
  context: Context,
  site: SitePlan,
  plan: CallPlan,
  method: Method<Q, A, "unary">,
  request: Q,
): Promise<A> {
  return trySite(context, site, plan, (address) =>
    context.world.rpc.connect(address).unary(method, request, {
      deadlineMs: plan.deadlineMs ?? CALL_TIMEOUT_MS,
      signal: context.signal,
    }),
  );
}

/** Runs `act` against CVM after CVM until one succeeds or the failure is final. */
export async function trySite<A>(
  context: Context,
  site: SitePlan,
  plan: CallPlan,
  act: (address: Address) => Promise<A>,
): Promise<A> {
  const { clock } = context.world;
  const startedMs = clock.now();
  let unreachable = 0;
  for (let attempt = 0; ; attempt++) {
    const cvm = site.cvms[attempt % site.cvms.length];
    if (cvm === undefined) throw new AntipodeError("CVM_NOT_FOUND", `${site.name} has no CVM`);
    try {
      return await act(addressOf(cvm, plan.service));
    } catch (error) {
      if (!(error instanceof AntipodeError) || context.signal.aborted) throw error;
      if (error.code === "PEER_UNREACHABLE" || error.code === "DEADLINE_EXCEEDED") unreachable += 1;
      else unreachable = 0;
      // Every CVM was asked and none is there: waiting would not bring them back.
      if (unreachable >= site.cvms.length) throw allDown(site, plan.service, error);
      if (!isWorthRetrying(error) || clock.now() - startedMs > PATIENCE_MS) throw error;
      if (error.details["sent"] !== false) plan.onAmbiguous?.();
    }
    if (attempt + 1 >= site.cvms.length) await clock.sleep(RETRY_INTERVAL_MS, context.signal);
  }
}

function addressOf(cvm: CvmPlan, service: CvmService): Address {
  return cvm[service];
}

function isWorthRetrying(error: AntipodeError): boolean {
  return (
    error.retry === "elsewhere" || error.code === "DEADLINE_EXCEEDED" || PASSING.has(error.code)
  );
}

function allDown(site: SitePlan, service: CvmService, cause: AntipodeError): AntipodeError {
  return new AntipodeError(
    "PEER_UNREACHABLE",
    `no ${service} of site ${site.name} answers (${site.cvms.length} asked); if the site is down, name another with --site, or start it: antipode chaos start site@${site.name}`,
    { site: site.name, service },
    cause,
  );
}
