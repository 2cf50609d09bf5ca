/**
 * Hands a command to the site's leader, which may be this process. While an election is under way it
 * waits; when an answer was lost it asks the next leader again, which is safe because commands are
 * idempotent. A forwarded command is never forwarded again.
 */

import { AntipodeError, codeOf, messageOf } from "../../base/errors.ts";
import { ownMember } from "../../base/siteConfig.ts";
import { CerebroPeerService } from "../../platform/wire/remoteCerebro.ts";
import type { Leadership } from "../leader/leadership.ts";
import type { Office } from "../leader/office.ts";
import {
  CONFLICTS_MAX,
  FORWARD_DEADLINE_MS,
  LEADER_WAIT_MS_MAX,
  RETRY_BACKOFF_MS,
} from "../limits.ts";
import { freshId, memberOf, type Site } from "../site.ts";
import { Wakeup } from "../state/wakeup.ts";
import { type Command, commands } from "./commands.ts";

export interface DispatchInput {
  readonly site: Site;
  readonly leadership: Leadership;
  /** The office of the present term, once it has begun. */
  readonly office: () => Office | undefined;
}

/** Codes that mean "ask again, maybe another leader": the command may have been carried out. */
const ASK_AGAIN = ["NOT_LEADER", "NO_LEADER", "PEER_UNREACHABLE"];
/** Codes of the store that a repetition at the same leader cures. */
const TRY_AGAIN = ["COORDINATOR_CONFLICT", "COORDINATOR_UNAVAILABLE"];

/** A request with an id, so that every repetition of it is the same request. */
function identified<Q>(site: Site, request: Q): Q {
  const named = request as { readonly requestId?: unknown };
  return named.requestId === "" ? { ...request, requestId: freshId(site) } : request;
}

/**
 * Has the leader carry a command out.
 * @throws AntipodeError `NO_LEADER` when none was found in time; else what the leader answered
 */
export async function dispatch(
  input: DispatchInput,
  command: Command,
  request: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  const { site } = input;
  const whole = identified(site, request);
  let lostSince = site.clock.now();
  let repeated = false;
  for (;;) {
    const startedAt = site.clock.now();
    try {
      return await ask(input, command, whole, signal);
    } catch (error) {
      const code = codeOf(error);
      if (repeated && code !== undefined && code === command.doneCode) return {};
      if (signal.aborted || code === undefined || !ASK_AGAIN.includes(code)) throw error;
      // While there is no leader nobody is asked: only an answer that was lost can hide a deletion.
      repeated ||= code !== "NO_LEADER";
      const now = site.clock.now();
      // A leader that worked on it for long and then went away: the wait begins anew.
      if (now - startedAt > LEADER_WAIT_MS_MAX) lostSince = now;
      if (now - lostSince > LEADER_WAIT_MS_MAX)
        throw new AntipodeError(
          "NO_LEADER",
          `no Cerebro leads the site ${site.config.site} now: ${messageOf(error)}`,
          { site: site.config.site },
          error,
        );
      const pause = new Wakeup();
      const stop = input.leadership.onChange(() => {
        pause.notify();
      });
      await pause.wait(site.clock, RETRY_BACKOFF_MS, signal);
      stop();
    }
  }
}

async function ask(
  input: DispatchInput,
  command: Command,
  request: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  const { site } = input;
  const office = input.office();
  if (office !== undefined) return await carryOut(office, command, request);
  const leader = await input.leadership.leader();
  const member = leader === undefined ? undefined : memberOf(site, leader.cvm);
  if (member === undefined || member.cvm === ownMember(site.config).cvm)
    throw new AntipodeError("NO_LEADER", "an election is under way");
  const answer = await site.rpc
    .connect(member.cerebro)
    .unary(
      CerebroPeerService.forward,
      { path: command.method.path, request: command.method.request.encode(request) },
      { deadlineMs: FORWARD_DEADLINE_MS, signal },
    );
  return command.method.response.decode(answer.response);
}

/** Runs a command at this leader. */
async function carryOut(office: Office, command: Command, request: unknown): Promise<unknown> {
  const { term, site } = office;
  for (let conflict = 1; ; conflict++) {
    try {
      return await command.handle(office, request);
    } catch (error) {
      const code = codeOf(error);
      if (!term.isLeader() && code !== undefined)
        throw new AntipodeError(
          "NOT_LEADER",
          "this Cerebro lost its lead during the request",
          {},
          error,
        );
      if (code === undefined || !TRY_AGAIN.includes(code) || conflict >= CONFLICTS_MAX) throw error;
      const pause = new Wakeup();
      await pause.wait(site.clock, RETRY_BACKOFF_MS, term.signal);
    }
  }
}

/** The leader's answer to another CVM of the site. */
export async function onForward(
  input: DispatchInput,
  forwarded: { readonly path: string; readonly request: Uint8Array },
): Promise<{ readonly response: Uint8Array }> {
  const command = commands.get(forwarded.path);
  if (command === undefined)
    throw new AntipodeError("UNIMPLEMENTED", `there is no command ${forwarded.path.slice(0, 120)}`);
  const office = input.office();
  if (office === undefined) {
    const leader = await input.leadership.leader();
    const member = leader === undefined ? undefined : memberOf(input.site, leader.cvm);
    throw new AntipodeError(
      "NOT_LEADER",
      member === undefined
        ? "this Cerebro is not the leader, and there is none now"
        : `the leader is CVM ${member.cvm} at ${member.cerebro.host}:${member.cerebro.port}`,
      member === undefined
        ? {}
        : { cvm: member.cvm, host: member.cerebro.host, port: member.cerebro.port },
    );
  }
  const request = command.method.request.decode(forwarded.request);
  const answer = await carryOut(office, command, request);
  return { response: command.method.response.encode(answer) };
}
