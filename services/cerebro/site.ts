/**
 * The world as Cerebro's parts see it: the ports, this CVM's place in the site, and calls to the
 * site's Stargates, any of which forwards to the owner of a vDisk.
 */

import { assert } from "../base/assert.ts";
import { toHex, utf8 } from "../base/bytes.ts";
import { AntipodeError, codeOf } from "../base/errors.ts";
import { type CvmConfig, type MemberConfig, ownMember } from "../base/siteConfig.ts";
import type { Method } from "../base/wire.ts";
import type { Clock } from "../platform/clock.ts";
import type { Codec, Signer } from "../platform/codec.ts";
import type { Coordinator } from "../platform/coordinator.ts";
import type { Log } from "../platform/log.ts";
import type { Random } from "../platform/random.ts";
import type { Rpc } from "../platform/rpc.ts";

/** Ports and identity, handed to every part. */
export interface Site {
  readonly config: CvmConfig;
  readonly coordinator: Coordinator;
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly random: Random;
  readonly codec: Pick<Codec, "sha256">;
  readonly signer: Signer;
  readonly log: Log;
}

/** 32 hexadecimal digits, never seen before. */
export function freshId(site: Site): string {
  return toHex(site.random.bytes(16));
}

/** The id of what a request makes: the same for the same request at the same site. */
export function idOfRequest(site: Site, kind: string, requestId: string): string {
  assert(requestId !== "", "a request has an id before it reaches the leader");
  const text = `${kind}\n${site.config.siteIncarnation}\n${requestId}`;
  return toHex(site.codec.sha256(utf8(text)).subarray(0, 16));
}

/** Codes after which another CVM may answer. */
function isElsewhere(error: unknown): boolean {
  const code = codeOf(error);
  return code === "PEER_UNREACHABLE" || code === "DEADLINE_EXCEEDED";
}

/** Own CVM first, then the others. */
function membersInTurn(site: Site): readonly MemberConfig[] {
  const own = ownMember(site.config);
  return [own, ...site.config.members.filter((member) => member.cvm !== own.cvm)];
}

/**
 * Calls a Stargate of the site: the own CVM's, or another when that one does not answer. The request
 * must be idempotent.
 * @throws AntipodeError what Stargate answered, or `PEER_UNREACHABLE` / `DEADLINE_EXCEEDED` when none did
 */
export async function callStargate<Q, A>(
  site: Site,
  method: Method<Q, A, "unary">,
  request: Q,
  deadlineMs: number,
): Promise<A> {
  let failure: unknown;
  for (const member of membersInTurn(site)) {
    try {
      return await site.rpc.connect(member.stargate).unary(method, request, { deadlineMs });
    } catch (error) {
      if (!isElsewhere(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

/** The member with this number. */
export function memberOf(site: Site, cvm: number): MemberConfig | undefined {
  return site.config.members.find((member) => member.cvm === cvm);
}

/** Makes sure that a name is one; `what` begins the sentence. */
export function checkName(what: string, name: string, valid: boolean): void {
  if (!valid)
    throw new AntipodeError("NAME_INVALID", `${what} "${name.slice(0, 80)}" is not a valid name`);
}
